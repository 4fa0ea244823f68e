"""fsck: everything that the log keeps, derived again from the entries alone, and compared (specs/03 §7).

For each entry: its columns, its signature, the decision to register it, its leaf; for each head: root,
signatures, order; all tiles, the right edge, the keys. It reads one snapshot, writes nothing, and needs
memory for one page of entries and for what is in force (keys, enrolments, policies, status lists, the uses taken of
each grant), whatever the size of the log.
"""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from exequatur_verifier import checkpoint, merkle, tiles
from exequatur_verifier import statement as statements
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.statement import Statement

from . import head as heads
from . import tree
from .entry import Entry, NamedKey, entry_of
from .errors import LogError, Refused, StorageError
from .genesis import read_genesis, rotated
from .head import Identity, SignedHead, WitnessedHead
from .intake import Checked, Intake, KeyName
from .registration import admit
from .registry import BatchRegistry, Found
from .storage import queries
from .storage.connection import Connection
from .storage.database import open_database
from .storage.place import Place
from .threads import Threads
from .tree import TileKey

_PAGE: Final = 512
_MOST: Final = 100
_FULL: Final = tiles.WIDTH * merkle.HASH_SIZE


class Page(NamedTuple):
    """Entries that were found to be right, with what follows from them, or was signed over them, and was so as well.

    ``tiles`` are those that are full with these entries. After all entries come the partial tiles, and cosigned heads.
    """

    entries: Sequence[Entry] = ()
    keys: Sequence[NamedKey] = ()
    heads: Sequence[SignedHead] = ()
    tiles: Mapping[TileKey, bytes] = MappingProxyType({})
    witnessed: Sequence[WitnessedHead] = ()


# Called with each page in its order, as long as nothing was found.
Take = Callable[[Page], Awaitable[None]]
# Called with the number of entries that are done, and the number there are.
Progress = Callable[[int, int], None]


class Finding(NamedTuple):
    """Something that is not as it should be: a code, the entry or the size where it shows, and what it is."""

    code: str
    leaf_index: int | None
    detail: str


async def fsck(place: Place, progress: Progress | None = None) -> list[Finding]:
    """Return what is wrong with the log at that place: nothing, or about 100 findings, after which it stops looking.

    Codes: ``DATABASE`` the file or database itself; ``GENESIS``; ``ENTRY`` columns, order or bytes; ``SIGNATURE``;
    ``REGISTRATION`` a statement that should have been refused; ``HEAD``; ``TILE``; ``EDGE``; ``KEY``.
    """
    try:
        database = await open_database(place, writable=False)
    except LogError as error:
        return [Finding("DATABASE", None, str(error))]
    walk = Walk()
    try:
        async with database.read() as connection:
            await walk.run(connection, progress)
    except StorageError as error:
        walk.find("DATABASE", walk.edge.size, str(error))
    finally:
        walk.close()
        await database.close()
    return walk.findings


class Walk:
    """One pass over the entries, from the first to the last; ``edge`` is the tree of those that are done.

    ``take`` is given whatever was found right. Close it afterwards.
    """

    def __init__(self, take: Take | None = None) -> None:
        self._take = take
        self.findings: list[Finding] = []
        self.edge = tree.EMPTY
        self._threads = Threads()
        self._introduced: dict[KeyName, NamedKey] = {}
        self._intake = Intake(self._fetch_keys)
        self._unfinished: dict[TileKey, bytes] = {}
        self._tiles = 0
        self._last: SignedHead | None = None
        # With the keys in force after an index.
        self._identities: list[tuple[int, Identity]] = []

    def close(self) -> None:
        """Stop the threads."""
        self._intake.close()
        self._threads.close()

    def find(self, code: str, leaf_index: int | None, detail: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(code, leaf_index, detail))

    async def run(self, connection: Connection, progress: Progress | None) -> None:
        """Walk over the log of that connection."""
        for damage in await queries.damage(connection):
            self.find("DATABASE", None, damage)
        identity = await self._genesis(connection)
        if identity is None:
            return
        self._identities.append((-1, identity))
        registry = BatchRegistry(identity.operator.thumbprint, identity.origin, replay=True)
        total = await queries.width(connection)
        while self.edge.size < total and len(self.findings) < _MOST:
            start = self.edge.size
            page = await queries.entries(connection, start, start + _PAGE)
            if [entry.leaf_index for entry in page] != list(range(start, start + len(page))) or not page:
                self.find("ENTRY", start, "the indices are not contiguous from here on")
                return
            # One more than the page can need: the head that the page's last entries were frozen at.
            signed = await queries.heads(connection, start, len(page) + 1)
            keys = await self._check_entries(connection, page, signed, registry)
            heads = await self._check_heads(page, signed)
            full = {key for key, value in self._unfinished.items() if len(value) == _FULL}
            await self._hand(Page(page, keys, heads, await self._check_tiles(connection, full)))
            if progress is not None:
                progress(self.edge.size, total)
        if self.edge.size == total:
            await self._hand(Page(tiles=await self._check_end(connection)))
            await self._check_witnessed(connection)

    async def _hand(self, page: Page) -> None:
        if self._take is not None and not self.findings:
            await self._take(page)

    async def _genesis(self, connection: Connection) -> Identity | None:
        first = await queries.entry(connection, 0)
        if first is None:
            self.find("GENESIS", 0, "the log has no genesis")
            return None
        try:
            return read_genesis(statements.parse(first.statement))
        except ExequaturError as error:
            self.find("GENESIS", 0, f"{error}")
            return None

    async def _check_entries(
        self, connection: Connection, page: Sequence[Entry], signed: Sequence[SignedHead], registry: BatchRegistry
    ) -> list[NamedKey]:
        checked = await self._intake.check([entry.statement for entry in page])
        sound = [item.statement for item in checked if isinstance(item, Checked)]
        needs = registry.plan(sound)
        _learn(
            registry,
            [Found(linked=[entry]) for entry in await queries.entries_by_id(connection, needs.ids)]
            + [Found(oldest=[entry]) for entry in await queries.oldest(connection, needs.oldest)]
            + [Found(issued=[entry]) for entry in await queries.issued(connection, needs.subjects)],
        )
        askers = registry.plan_askers(sound)
        _learn(registry, [Found(linked=[entry]) for entry in await queries.entries_by_id(connection, askers)])
        sizes = [head.size for head in signed]
        for entry, item in zip(page, checked, strict=True):
            place = bisect_right(sizes, entry.leaf_index)
            registry.begin(entry.leaf_index)
            if place == len(signed):
                self.find("ENTRY", entry.leaf_index, "no signed head covers the entry")
            elif isinstance(item, Refused):
                self.find("SIGNATURE", entry.leaf_index, str(item))
            else:
                self._check_entry(entry, item, signed[place], registry)
        registry.commit()
        return [item.introduces for item in checked if isinstance(item, Checked) and item.introduces is not None]

    def _check_entry(self, entry: Entry, item: Checked, head: SignedHead, registry: BatchRegistry) -> None:
        index = entry.leaf_index
        delegated = registry.delegated_beside(item.statement)
        expected = entry_of(item.statement, item.leaf_hash, index, head.size, delegated)
        wrong = [name for name, is_, ought in zip(Entry._fields, entry, expected, strict=True) if is_ != ought]
        if wrong:
            self.find("ENTRY", index, f"columns that do not follow from the statement: {', '.join(wrong)}")
        if index:
            try:
                admit(item.statement, index, head.iat, registry)
            except Refused as refusal:
                self.find("REGISTRATION", index, str(refusal))
        if item.introduces is not None:
            # Under its first encoding, as the log keeps it.
            self._introduced.setdefault((item.introduces.thumbprint, item.introduces.algorithm), item.introduces)
        registry.add(item.statement, index)
        self._rotate(index, item.statement)

    def _rotate(self, index: int, statement: Statement) -> None:
        former = self._identities[-1][1]
        try:
            identity = rotated(former, statement)
        except ExequaturError as error:
            self.find("REGISTRATION", index, str(error))
            return
        if identity is not former:
            self._identities.append((index, identity))

    async def _check_heads(self, page: Sequence[Entry], signed: Sequence[SignedHead]) -> list[SignedHead]:
        """Grow the tree by the page, from head to head, and compare each root; return the heads within it."""
        leaves = [merkle.leaf_hash(entry.statement) for entry in page]
        start, end = self.edge.size, self.edge.size + len(page)
        within = [head for head in signed if head.size <= end]
        for head in within:
            self._grow(leaves[self.edge.size - start : head.size - start])
            if tree.fold(self.edge.hashes) != head.root:
                self.find("HEAD", head.size, "the entries up to this size have another root")
            if self._last is not None and head.iat < self._last.iat:
                self.find("HEAD", head.size, "the head is older than the one before it")
            self._last = head
        self._grow(leaves[self.edge.size - start :])
        problems = await self._threads.run(lambda part: [_problem(head, self._in_force(head)) for head in part], within)
        for head, problem in zip(within, problems, strict=True):
            if problem is not None:
                self.find("HEAD", head.size, problem)
        return within

    def _in_force(self, head: SignedHead) -> Identity:
        return next(identity for index, identity in reversed(self._identities) if index < head.size)

    def _grow(self, leaves: Sequence[bytes]) -> None:
        growth = tree.append(self.edge, leaves)
        self.edge = growth.edge
        for key, gain in growth.gains.items():
            self._unfinished[key] = self._unfinished.get(key, b"") + gain

    async def _check_tiles(self, connection: Connection, done: set[TileKey]) -> dict[TileKey, bytes]:
        """Compare tiles to which nothing is added any more, and return them."""
        stored = await queries.tiles(connection, done)
        derived = {key: self._unfinished.pop(key) for key in sorted(done)}
        for key, hashes in derived.items():
            self._tiles += 1
            level, number = key
            if stored.get(key) != hashes:
                first = number * tiles.WIDTH ** (level + 1)
                self.find("TILE", first, f"tile {level}/{number} does not hold the hashes of the entries")
        return derived

    async def _check_end(self, connection: Connection) -> dict[TileKey, bytes]:
        """Compare what stands once, and return the partial tiles."""
        partial = await self._check_tiles(connection, set(self._unfinished))
        size = self.edge.size
        if await queries.count_tiles(connection) != self._tiles:
            self.find("TILE", size, f"there are other tiles than the {self._tiles} of this size")
        found = await queries.head(connection)
        if found is None:
            self.find("HEAD", size, "the log has no head")
            return partial
        head, edge = found
        if head != self._last or head.size != size or await queries.heads(connection, size, 1):
            self.find(
                "HEAD", head.size, f"the head is not the newest of the signed heads, or not that of {size} entries"
            )
        if edge != self.edge:
            self.find("EDGE", size, "the right edge is not that of the entries")
        if set(await queries.all_keys(connection)) != set(self._introduced.values()):
            self.find("KEY", None, "the keys are not those that the entries introduce")
        return partial

    async def _check_witnessed(self, connection: Connection) -> None:
        """Compare each checkpoint that was cosigned with the head of its size; whether a quorum did is a policy's."""
        last = (0, 0)
        while (page := await queries.witnessed_after(connection, *last, _PAGE)) and len(self.findings) < _MOST:
            last = page[-1].size, page[-1].time
            for kept in page:
                head = await queries.head_at(connection, kept.size)
                if head is None or not _shows(kept.note, head, self._in_force(head)):
                    self.find("HEAD", kept.size, "a cosigned checkpoint is not that of the head of its size")
            await self._hand(Page(witnessed=page))

    async def _fetch_keys(self, wanted: set[KeyName]) -> list[NamedKey]:
        return [self._introduced[name] for name in wanted if name in self._introduced]


def _learn(registry: BatchRegistry, found: Sequence[Found]) -> None:
    for one in found:
        try:
            registry.learn(one)
        except ExequaturError:
            # It has its own finding at its own index; what links it will miss it.
            continue


def _problem(head: SignedHead, identity: Identity) -> str | None:
    try:
        heads.check(head, identity)
    except ExequaturError as error:
        return str(error)
    return None


def _shows(note: bytes, head: SignedHead, identity: Identity) -> bool:
    try:
        shown = checkpoint.open(note, identity.checkpoint_keys).checkpoint
    except ExequaturError:
        return False
    return shown == checkpoint.Checkpoint(identity.origin, head.size, head.root)
