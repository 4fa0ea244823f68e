"""One batch: from checked statements to entries under one new head, in one transaction (specs/03 §3).

Under the log's lock: the head is read again and compared with what this process has seen; records that stand
already get their first receipt; the others are decided on in order; leaves, tiles, edge and head follow; the
head is signed once, its signatures and every path are checked; COMMIT. What was signed leaves this module
only after that.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import merkle
from exequatur_verifier.errors import ExequaturError, NotProvenError
from exequatur_verifier.statement import Statement

from . import head as heads
from . import tree
from .entry import Registered, entry_of
from .errors import Code, Conflict, FatalLogError, Refused, StorageError
from .genesis import check_keys, rotated
from .head import Identity, LogKeys, SignedHead
from .intake import Checked
from .observe import Observe
from .quota import Quota
from .registration import admit
from .registry import BatchRegistry, Found
from .startup import in_force
from .storage import proofs, queries
from .storage.connection import Connection
from .storage.database import Database
from .storage.writer import commit, write
from .tree import Edge, TileKey

Answer = Registered | Refused
Clock = Callable[[], int]


class _Ruling(NamedTuple):
    """What was decided on a batch, at what time: the new entries in order; for each statement its index or refusal.

    ``delegated`` has, for each new entry, how many uses of the grant above it were taken before.
    """

    time: int
    admitted: list[Checked]
    delegated: list[int]
    places: list[int | Refused]


class _Grown(NamedTuple):
    """What was written for a batch: the new head, whole tiles, and the receipt of each new entry by index.

    ``identity`` has the keys in force at that head, which a record of the batch may have replaced.
    """

    head: SignedHead
    identity: Identity
    tiles: Mapping[TileKey, bytes]
    receipts: dict[int, bytes]


class Appender:
    """The only writer of a log in this process. ``seen`` is the head that every later one must extend."""

    def __init__(
        self,
        database: Database,
        identity: Identity,
        keys: LogKeys,
        seen: SignedHead,
        *,
        clock: Clock,
        leeway: int,
        quota: Quota | None,
        observe: Observe,
    ) -> None:
        self._database: Final = database
        self._identity = identity
        self._keys: Final = keys
        self._clock: Final = clock
        self._leeway: Final = leeway
        self._quota: Final = quota
        self._observe: Final = observe
        self._registry: Final = BatchRegistry(identity.operator.thumbprint, identity.origin)
        # The partial tiles of the head seen last, as far as this process wrote them.
        self._partial: dict[TileKey, bytes] = {}
        self.seen = seen

    async def register(self, batch: Sequence[Checked | Refused]) -> list[Answer]:
        """Return the answer to each statement, the new ones durable and provable.

        Raises ``FatalLogError`` if the log is not what this process has seen, and ``StorageError`` if the
        database fails twice; then nothing is known of the batch but that sending it again is safe.
        """
        try:
            return await self._attempt(batch)
        except StorageError:
            # The COMMIT may have happened. What was signed is discarded, the log is read again, and whatever
            # did get in is answered as standing already.
            self._registry.discard()
            self._partial = {}
            return await self._attempt(batch)

    async def _attempt(self, batch: Sequence[Checked | Refused]) -> list[Answer]:
        async with self._database.append() as connection:
            former, edge = await self._locked_head(connection)
            ruling = await self._decide(connection, batch, former)
            receipts: dict[int, bytes] = {}
            try:
                if ruling.admitted:
                    grown = await self._grow(connection, former, edge, ruling)
                    await commit(connection)
                    # The batch is durable from here on.
                    receipts = grown.receipts
                    self._partial = tree.partial_tiles({**self._partial, **grown.tiles}, grown.head.size)
                    self.seen = grown.head
                    self._identity = grown.identity
            except BaseException:
                self._registry.discard()
                raise
            self._registry.commit()
        return await self._answer(batch, ruling, receipts)

    async def _locked_head(self, connection: Connection) -> tuple[SignedHead, Edge]:
        """Return the head under the lock; raise ``FatalLogError`` unless it is the one seen last, or extends it."""
        found = await queries.head(connection)
        if found is None:
            raise FatalLogError("the log has lost its head; restore it, and run fsck")
        locked, edge = found
        if tree.fold(edge.hashes) != locked.root:
            raise FatalLogError("the right edge does not have the root of the head; run fsck")
        if locked == self.seen:
            return locked, edge
        if locked.size <= self.seen.size:
            raise FatalLogError(
                f"the log's head of size {locked.size} is not the one of size {self.seen.size} that this process has "
                "seen: the database was replaced or restored from an older copy"
            )
        # Another process appended: its head must be well signed, and its tree must contain ours. It may have replaced
        # the keys; the record of that is the operator's.
        try:
            identity = await in_force(connection, self._identity)
            check_keys(identity, self._keys)
            heads.check(locked, identity)
            path = await proofs.hashes(connection, tree.consistency_spans(self.seen.size, locked.size))
            merkle.check_consistency(self.seen.size, locked.size, self.seen.root, locked.root, path)
        except StorageError:
            raise
        except ExequaturError as error:
            raise FatalLogError(
                f"the log's head does not extend the one that this process has seen: {error}"
            ) from error
        if await queries.head_at(connection, self.seen.size) != self.seen:
            raise FatalLogError(f"the log's head of size {self.seen.size} is not the one that this process has seen")
        self._registry.forget()
        self._partial = {}
        self.seen = locked
        self._identity = identity
        return locked, edge

    async def _decide(self, connection: Connection, batch: Sequence[Checked | Refused], former: SignedHead) -> _Ruling:
        sound = [item for item in batch if isinstance(item, Checked)]
        known = await queries.known(connection, [item.statement.id for item in sound])
        new = [item.statement for item in sound if item.statement.id not in known]
        await self._learn(connection, new)
        self._registry.begin(former.size)
        now = self._clock()
        ruling = _Ruling(max(now, former.iat), [], [], [])
        for item in batch:
            if isinstance(item, Refused):
                ruling.places.append(item)
                continue
            statement = item.statement
            index = former.size + len(ruling.admitted)
            standing = known.get(statement.id)
            if standing is not None:
                # Before everything that time or enrolments could change, so that a retry always gets its
                # receipt.
                ruling.places.append(standing[0] if standing[1] == item.leaf_hash else Conflict(standing[0]))
                continue
            try:
                if now < former.iat - self._leeway:
                    raise Refused(
                        Code.CLOCK_BEHIND, f"the log's clock is {former.iat - now} s behind its last head; set it right"
                    )
                admit(statement, index, ruling.time, self._registry)
                self._refuse_own_end(statement)
                self._charge(statement)
            except Refused as refusal:
                ruling.places.append(refusal.with_traceback(None))
                continue
            ruling.delegated.append(self._registry.delegated_beside(statement))
            self._registry.add(statement, index)
            known[statement.id] = (index, item.leaf_hash)
            ruling.admitted.append(item)
            ruling.places.append(index)
        return ruling

    async def _learn(self, connection: Connection, new: Sequence[Statement]) -> None:
        """Fetch what the registry does not know of what the new statements depend on."""
        needs = self._registry.plan(new)
        found = Found(
            await queries.entries_by_id(connection, needs.ids),
            await queries.newest(connection, needs.newest),
            await queries.oldest(connection, needs.oldest),
            await queries.issued(connection, needs.subjects),
        )
        self._registry.learn(found)
        self._registry.learn(Found(await queries.entries_by_id(connection, self._registry.plan_askers(new))))

    async def _grow(self, connection: Connection, former: SignedHead, edge: Edge, ruling: _Ruling) -> _Grown:
        """Write the admitted statements under a new signed head, all proofs checked. Nothing is committed."""
        leaves = [item.leaf_hash for item in ruling.admitted]
        growth = tree.append(edge, leaves)
        size = growth.edge.size
        identity = self._identity
        for item in ruling.admitted:
            identity = rotated(identity, item.statement)
        # The signers may be tokens or daemons: they work beside the event loop, which prepares the rest meanwhile.
        loop = asyncio.get_running_loop()
        signing = loop.run_in_executor(None, _signed, size, growth.root, ruling.time, self._keys, identity)
        try:
            paths = [tree.path(growth, index) for index in range(former.size, size)]
            tree.check_paths(former.size, leaves, paths, size, growth.root)
            entries = [
                entry_of(item.statement, item.leaf_hash, index, size, delegated)
                for index, (item, delegated) in enumerate(
                    zip(ruling.admitted, ruling.delegated, strict=True), former.size
                )
            ]
        finally:
            head, seconds = await signing
        self._observe("sign", seconds, len(leaves))
        named = [item.introduces for item in ruling.admitted if item.introduces is not None]
        partial = tree.partial_tiles(growth.gains, former.size).keys()
        if not partial <= self._partial.keys():
            self._partial = await queries.tiles(connection, partial)
        tiles = {key: (self._partial[key] if key in partial else b"") + gain for key, gain in growth.gains.items()}
        await write(connection, former, entries, named, tiles, head, growth.edge)
        writer = heads.ReceiptWriter(head)
        receipts = {index: writer.encode(index, path) for index, path in enumerate(paths, former.size)}
        return _Grown(head, identity, tiles, receipts)

    def _charge(self, statement: Statement) -> None:
        """Refuse what exceeds its signer's quota. Only new records are charged, so a retry gets its receipt."""
        wait = None if self._quota is None else self._quota.take(statement.key_id, time.monotonic())
        if wait is not None:
            raise Refused(Code.BUSY, "the key's quota is used up; send it again later", retry_after=wait)

    def _refuse_own_end(self, statement: Statement) -> None:
        """Refuse the record that would retire this process's own keys: it has to sign the head over it."""
        identity = rotated(self._identity, statement)
        if identity is self._identity:
            return
        try:
            check_keys(identity, self._keys)
        except NotProvenError as error:
            raise Refused(
                Code.ENROLMENT_INVALID,
                f"{error}, and this process signs with it; let the log sign with new keys first, then retire these",
            ) from None

    async def _answer(
        self, batch: Sequence[Checked | Refused], ruling: _Ruling, fresh: Mapping[int, bytes]
    ) -> list[Answer]:
        """Return the answers: ``fresh`` receipts by index for the new entries, the first ones for those that stood."""
        again = {place for place in ruling.places if isinstance(place, int) and place not in fresh}
        standing: Mapping[int, bytes] = {}
        if again:
            async with self._database.read() as connection:
                standing = await proofs.frozen_receipts(connection, again)
        answers: list[Answer] = []
        answered: set[int] = set()
        for item, place in zip(batch, ruling.places, strict=True):
            if isinstance(place, Refused):
                answers.append(place)
            elif isinstance(item, Checked):
                new = place in fresh and place not in answered
                answers.append(Registered(place, item.statement.id, fresh.get(place) or standing[place], new))
                answered.add(place)
        return answers


def _signed(size: int, root: bytes, iat: int, keys: LogKeys, identity: Identity) -> tuple[SignedHead, float]:
    """Sign a head, and check both signatures; return it with the seconds that this took."""
    begun = time.monotonic()
    head = heads.sign(size, root, iat, keys)
    heads.check(head, identity)
    return head, time.monotonic() - begun
