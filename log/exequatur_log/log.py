"""The log: register statements, get entries and receipts, prove. One file or database, any number of processes.

Ack means durable and provable: a registration is answered once its entry is committed, integrated and covered
by a signed head whose proof the log has checked itself. The receipt is frozen then, and returned byte for
byte for ever.
"""

import time
from collections.abc import AsyncIterator, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import Final, Self

from exequatur_verifier import statement as statements
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Kind

from . import head as heads
from . import tlog_proof, tree
from .batch import Answer, Appender, Clock
from .entry import Entry, NamedKey, Registered, entry_of, key_series, named_key, policy_series, runtime_series
from .errors import FatalLogError, NotFoundError, Refused, StorageError
from .genesis import check_keys, read_genesis
from .head import Identity, LogKeys, SignedHead, WitnessedHead
from .intake import Intake, KeyName
from .observe import Observe, ignore
from .quota import Quota
from .sequencer import Sequencer
from .startup import check_clock, check_head, check_identity, identities, in_force
from .storage import proofs, queries, writer
from .storage.connection import Connection
from .storage.database import Database, create_database, open_database
from .storage.place import Place

_PAGE: Final = 256
LEEWAY: Final = 60


def now() -> int:
    """Return the time in unix seconds."""
    return int(time.time())


class Log:
    """An opened log; close it, or use it as an asynchronous context manager. Without keys it is for reading only."""

    def __init__(self, database: Database, identity: Identity, sequencer: Sequencer | None) -> None:
        self._database = database
        self._sequencer = sequencer
        # With the keys that were in force when the log was opened; ``identities`` has the later ones.
        self.identity: Final = identity

    @classmethod
    async def create(
        cls, place: Place, genesis: bytes, keys: LogKeys, *, clock: Clock = now, leeway: int = LEEWAY
    ) -> Self:
        """Make the log whose entry 0 is ``genesis``, and open it. It appears at ``place`` whole or not at all.

        Raises ``MalformedError`` or ``NotProvenError`` for a genesis that is unsound or does not name
        ``keys``.
        """
        keys.check()
        first = statements.parse(genesis)
        identity = read_genesis(first)
        check_keys(identity, keys)
        growth = tree.append(tree.EMPTY, [first.leaf])
        head = heads.sign(1, growth.root, clock(), keys)
        heads.check(head, identity)
        async with create_database(place) as connection:
            entry = entry_of(first, first.leaf, 0, 1)
            key = named_key(first)
            await writer.write(connection, None, [entry], [key] if key else [], growth.gains, head, growth.edge)
        return await cls.open(place, keys, clock=clock, leeway=leeway)

    @classmethod
    async def open(
        cls,
        place: Place,
        keys: LogKeys | None = None,
        *,
        clock: Clock = now,
        leeway: int = LEEWAY,
        quota: Quota | None = None,
        observe: Observe = ignore,
    ) -> Self:
        """Open a log, without ``keys`` for reading only. Raises ``FatalLogError`` if anything is amiss (specs/03 §6).

        ``leeway``: how many seconds the clock may be behind the last head. ``quota`` is what each key may register,
        ``observe`` is told of each batch.
        """
        database = await open_database(place, writable=keys is not None)
        try:
            async with database.read() as connection:
                identity = await check_identity(connection, keys)
                head = await check_head(connection, identity)
            if keys is None:
                return cls(database, identity, None)
            check_clock(head, clock(), leeway)
        except BaseException:
            await database.close()
            raise

        async def fetch_keys(wanted: set[KeyName]) -> list[NamedKey]:
            async with database.read() as connection:
                return await queries.keys(connection, wanted)

        appender = Appender(database, identity, keys, head, clock=clock, leeway=leeway, quota=quota, observe=observe)
        return cls(database, identity, Sequencer(Intake(fetch_keys), appender, observe))

    async def close(self) -> None:
        """Finish what is waiting, then close the database. A process that does not close its log may not end."""
        if self._sequencer is not None:
            await self._sequencer.close()
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def register(self, statement: bytes, *, deadline: float | None = None) -> Registered:
        """Register one statement; return its index and frozen receipt, also when it stood already.

        ``deadline``: refuse (``BUSY``) what is not expected to be answered within so many seconds. Raises
        ``Refused``, or ``FatalLogError`` after which this log answers nothing any more.
        """
        answer = await self._appending().register(statement, deadline)
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def register_many(
        self, batch: Sequence[bytes], *, waits: bool = True, deadline: float | None = None
    ) -> list[Answer]:
        """Register statements in order; return one answer each, refusals too. Later ones may link earlier ones.

        With a deadline, or without ``waits``, raises ``Refused`` (``BUSY``) where it would wait for room or be late.
        """
        return await self._appending().register_many(batch, waits=waits, deadline=deadline)

    @property
    def waiting(self) -> int:
        """How many statements wait to be taken into a batch; none in a log that is open for reading."""
        return 0 if self._sequencer is None else self._sequencer.waiting

    def check(self) -> None:
        """Raise ``FatalLogError`` if this log has stopped registering."""
        if self._sequencer is not None and self._sequencer.fatal is not None:
            raise self._sequencer.fatal

    def stop(self, error: FatalLogError) -> None:
        """Register nothing any more: the log contradicts what is known of it elsewhere."""
        if self._sequencer is not None:
            self._sequencer.stop(error)

    async def checked_head(self) -> SignedHead:
        """Return the current head, its signatures checked with the keys in force; raise ``FatalLogError``."""
        async with self._database.read() as connection:
            try:
                identity = await in_force(connection, self.identity)
                head = await _head(connection)
                heads.check(head, identity)
            except StorageError:
                raise
            except ExequaturError as error:
                raise FatalLogError(f"the signature of the head does not hold: {error}") from error
            return head

    async def head(self) -> SignedHead:
        """Return the current head: size, root, iat, what its receipts share, and its checkpoint as a note."""
        async with self._database.read() as connection:
            return await _head(connection)

    async def heads(self, *, after: int = 0, limit: int = _PAGE) -> list[SignedHead]:
        """Return the signed heads larger than ``after``, the smallest first. Entry ``after`` was frozen at that one."""
        async with self._database.read() as connection:
            return await queries.heads(connection, after, limit)

    async def get(self, place: int | bytes) -> Entry:
        """Return the entry at an index, or of a record id; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            if isinstance(place, int):
                found = await queries.entry(connection, place)
            else:
                found = await queries.entry_by_id(connection, place)
        if found is None:
            name = f"entry {place}" if isinstance(place, int) else f"record {place.hex()}"
            raise NotFoundError(f"{name} is not in this log")
        return found

    async def page(self, start: int, end: int | None = None) -> list[Entry]:
        """Return the entries from ``start`` up to ``end``, or as many of them as make a page."""
        stop = start + _PAGE
        async with self._database.read() as connection:
            return await queries.entries(connection, start, stop if end is None else min(end, stop))

    async def entries(self, start: int = 0, end: int | None = None) -> AsyncIterator[Entry]:
        """Yield the entries from ``start`` up to ``end``, or to the end of the log, a page in memory at a time."""
        while page := await self.page(start, end):
            for entry in page:
                yield entry
            start = page[-1].leaf_index + 1

    async def find(
        self,
        *,
        sub: str | None = None,
        iss: str | None = None,
        kind: Kind | None = None,
        key_id: bytes | None = None,
        since: int | None = None,
        before: int | None = None,
        start: int = 0,
        end: int | None = None,
        limit: int = _PAGE,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return at most ``limit`` entries of a subject, issuer, kind and signer, in the order of their indices.

        Only those issued from ``since`` up to ``before`` (unix seconds), with indices from ``start`` up to ``end``.
        """
        wanted = {"sub": sub, "iss": iss, "kind": None if kind is None else kind.value, "key_id": key_id}
        columns = {name: value for name, value in wanted.items() if value is not None}
        async with self._database.read() as connection:
            return await queries.find(
                connection, columns, (since, before), (start, end), limit, newest_first=newest_first
            )

    async def receipt(self, index: int) -> bytes:
        """Return the receipt that the entry was answered with, byte for byte; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            found = await proofs.frozen_receipts(connection, [index])
        if index not in found:
            raise NotFoundError(f"entry {index} is not in this log")
        return found[index]

    async def fresh_receipt(self, index: int) -> bytes:
        """Return a receipt of the entry under the current head; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            head = await _head(connection)
            if not 0 <= index < head.size:
                raise NotFoundError(f"entry {index} is not in this log of {head.size} entries")
            return await proofs.receipt(connection, index, head)

    async def tlog_proof(self, index: int) -> bytes:
        """Return the C2SP tlog-proof of the entry under the current checkpoint; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            head = await _head(connection)
            if not 0 <= index < head.size:
                raise NotFoundError(f"entry {index} is not in this log of {head.size} entries")
            path = await proofs.hashes(connection, tree.inclusion_spans(index, head.size))
            return tlog_proof.encode(index, path, head.note)

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion path of an entry in the tree of any size that the log had; raise ``NotFoundError``."""
        return (await self.inclusions([index], size))[0]

    async def inclusions(self, indices: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """Return the inclusion path of each entry in the tree of one size, read at once; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            now = (await _head(connection)).size
            for index in indices:
                if not 0 <= index < size <= now:
                    raise NotFoundError(f"entry {index} and size {size} are not both within this log of {now} entries")
            spans = [tree.inclusion_spans(index, size) for index in indices]
            found = iter(await proofs.hashes(connection, list(chain.from_iterable(spans))))
            return [tuple(islice(found, len(path))) for path in spans]

    async def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """Return the consistency proof between two sizes that the log had; raise ``NotFoundError``."""
        return (await self.consistencies([size1], size2))[0]

    async def consistencies(self, older: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """Return the consistency proof from each older size to ``size``, read at once; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            now = (await _head(connection)).size
            if not all(0 < one <= size <= now for one in older):
                raise NotFoundError(f"no proofs lead from sizes {older} to size {size} in this log of {now} entries")
            spans = [tree.consistency_spans(one, size) for one in older]
            found = iter(await proofs.hashes(connection, list(chain.from_iterable(spans))))
            return [tuple(islice(found, len(path))) for path in spans]

    async def root(self, size: int) -> bytes:
        """Return the root of the tree of any size that the log had; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            now = (await _head(connection)).size
            if not 0 <= size <= now:
                raise NotFoundError(f"this log of {now} entries never had the size {size}")
            return tree.fold((await proofs.edge(connection, size)).hashes)

    async def tile(self, level: int, number: int) -> bytes:
        """Return the hashes of a tile of the tree, concatenated; raise ``NotFoundError``."""
        async with self._database.read() as connection:
            found = await queries.tiles(connection, [(level, number)])
        if not found:
            raise NotFoundError(f"tile {level}/{number} is not in this log")
        return found[level, number]

    async def last_seq(self, key_id: bytes) -> int | None:
        """Return the largest ``seq`` of the runtime records that a key signed, or ``None`` if it signed none."""
        async with self._database.read() as connection:
            return await queries.last_number(connection, runtime_series(key_id))

    async def newest_policy(self, name: str) -> Entry | None:
        """Return the newest policy record of a set, or ``None`` if there is none."""
        async with self._database.read() as connection:
            found = await queries.newest(connection, [policy_series(name)])
        return found[0] if found else None

    async def identities(self) -> list[Identity]:
        """Return the log under its genesis and after each rotation of its keys, the newest first.

        Receipts and checkpoints of older heads verify with the keys of older identities.
        """
        async with self._database.read() as connection:
            return await identities(connection)

    async def enrolment(self, key_id: bytes) -> Entry | None:
        """Return the standing enrolment of a key, or ``None`` if it has none."""
        async with self._database.read() as connection:
            found = await queries.newest(connection, [key_series(key_id)])
        return found[0] if found else None

    async def keep_witnessed(self, head: WitnessedHead) -> None:
        """Keep a checkpoint that a quorum cosigned, as the caller has verified. Nothing of the tree changes."""
        async with self._database.annotate() as connection:
            await writer.keep_witnessed(connection, head)
            await writer.commit(connection)

    async def witnessed(self, size: int | None = None) -> WitnessedHead | None:
        """Return the checkpoint of that size, or the largest, that a quorum cosigned, as it was cosigned last."""
        async with self._database.read() as connection:
            return await queries.witnessed(connection, size)

    def _appending(self) -> Sequencer:
        if self._sequencer is None:
            raise ValueError("this log was opened for reading; open it with its keys to register")
        return self._sequencer


async def _head(connection: Connection) -> SignedHead:
    found = await queries.head(connection)
    if found is None:
        raise FatalLogError("the log has lost its head; restore it from a copy")
    return found[0]
