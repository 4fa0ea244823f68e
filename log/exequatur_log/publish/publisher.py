"""Publishing: the tiles and bundles of a signed head are copied to a store, then its checkpoint (specs/10 §9).

The checkpoint that stands in the store says what is there already, so a round copies what came since, and one that
was interrupted is begun again. Whoever reads the store finds every tile that its checkpoint reaches.

Tiles are written once and for ever, so they are checked before: each bundle against its hashes, each full tile
against the tile above it, the partial ones together against the root that the checkpoint signs.

Several may publish to one store at a time: they write the same bytes. Where the store cannot compare and replace in
one step (a bucket), the slower of two may put an older checkpoint over a newer one. Both are true, the tiles of both
are there, and the next round puts it right; until then a reader sees the older one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple

from exequatur_log import tree
from exequatur_log.errors import FatalLogError, StorageError, StoreError
from exequatur_log.log import Log, now
from exequatur_log.tree import TileKey
from exequatur_verifier import checkpoint, merkle, tiles
from exequatur_verifier import note as notes
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.tiles import Tile

from .store import CHECKPOINT, Store, create

# Called with how many tiles have been copied, of how many that this round copies.
Progress = Callable[[int, int], None]
_AT_ONCE: Final = 8
_ROUNDS: Final = 8
_KEPT: Final = 64


class Published(NamedTuple):
    """What a round did. ``size`` and ``note`` are what stands in the store now, which may be another's newer one.

    ``behind`` is how many entries of the log are not published, and ``lag`` for how many seconds the oldest of their
    heads has waited.
    """

    size: int
    note: bytes
    former_size: int
    objects: int
    bytes: int
    seconds: float
    behind: int
    lag: int


class Standing(NamedTuple):
    """The checkpoint that stands in a store, proven to be of this log, and its bytes."""

    checkpoint: Checkpoint
    note: bytes


def ignore_progress(_done: int, _total: int) -> None:
    """Watch nothing."""


async def check_published(log: Log, store: Store) -> Standing | None:
    """Return the checkpoint that stands in the store, or ``None`` if none does.

    Raises ``FatalLogError`` if the log did not sign it, is older than it, or never had its root: the log was replaced,
    or restored from an older copy. Raises ``StoreError``.
    """
    # The store first: what is published was committed before, so the log has it by the time that it is asked.
    data = await store.get(CHECKPOINT)
    if data is None:
        return None
    what = f"the checkpoint in {store.name}"
    try:
        point = await _open(log, data)
    except StorageError:
        raise
    except ExequaturError as error:
        raise FatalLogError(f"{what} is not one that this log signed: {error}") from error
    await _check_root(log, point, what)
    return Standing(point, data)


async def publish(
    log: Log,
    store: Store,
    note: bytes,
    *,
    clock: Callable[[], int] = now,
    progress: Progress = ignore_progress,
    at_once: int = _AT_ONCE,
) -> Published:
    """Publish the head whose checkpoint ``note`` is, with whatever cosignatures it carries; return what was done.

    Raises ``FatalLogError`` as ``check_published``, or if the log does not hold what the note signs;
    ``DifferingRewriteError`` if a tile stands in the store with other bytes; ``StoreError`` when the store fails. In
    each case the checkpoint in the store stays, and publishing again is safe. A note that the log did not sign is a
    ``NotProvenError``.
    """
    begun = time.monotonic()
    standing = await check_published(log, store)
    former = 0 if standing is None else standing.checkpoint.size
    point = await _open(log, note)
    await _check_root(log, point, "the checkpoint to publish")
    copy = _Copy(log, store, point)
    if point.size > former:
        await copy.read_partial()
        total = sum(1 for _ in _work(former, point.size))

        async def each(tile: Tile) -> None:
            await copy.publish(tile)
            progress(copy.done, total)

        await _spread(_work(former, point.size), each, at_once)
    stands = await _advance(log, store, Standing(point, note), standing)
    behind, lag = await _lag(log, stands.checkpoint.size, clock)
    spent = time.monotonic() - begun
    return Published(stands.checkpoint.size, stands.note, former, copy.objects, copy.bytes, spent, behind, lag)


class _Copy:
    """One round: reads from the log, checks, writes to the store."""

    def __init__(self, log: Log, store: Store, point: Checkpoint) -> None:
        self._log = log
        self._store = store
        self._point = point
        # Tiles that others are checked against: all partial ones, and the last full ones that were read.
        self._partial: dict[TileKey, bytes] = {}
        self._recent: dict[TileKey, bytes] = {}
        self.done = 0
        self.objects = 0
        self.bytes = 0

    async def read_partial(self) -> None:
        """Read the partial tiles of the tree, which have its root together; raise ``FatalLogError``."""
        size = self._point.size
        spans = [(node,) for node in tree.edge_span(size)]
        for level, number in tree.plan(spans):
            width = (size >> 8 * level) % tiles.WIDTH
            self._partial[level, number] = (await self._log.tile(level, number))[: width * merkle.HASH_SIZE]
        if tree.fold(tree.compute(spans, self._partial)) != self._point.root:
            raise FatalLogError("the newest tiles do not have the root of the checkpoint; run fsck")

    async def publish(self, tile: Tile) -> None:
        """Publish a tile of hashes, and with one of level 0 the bundle of its entries."""
        assert tile.level is not None
        hashes = await self._hashes(tile.level, tile.number)
        if tile.width == tiles.WIDTH:
            await self._check_above(tile.level, tile.number, hashes)
        if tile.level == 0:
            await self._put(tile._replace(level=None), await self._bundle(tile, hashes))
        await self._put(tile, hashes)
        self.done += 1

    async def _put(self, tile: Tile, data: bytes) -> None:
        if await create(self._store, tiles.format_path(tile), data):
            self.objects += 1
            self.bytes += len(data)

    async def _hashes(self, level: int, number: int) -> bytes:
        """Return the hashes of a tile in the tree that is published."""
        found = self._partial.get((level, number)) or self._recent.get((level, number))
        if found is None:
            found = await self._log.tile(level, number)
            if len(found) != tiles.WIDTH * merkle.HASH_SIZE:
                raise FatalLogError(f"tile {level}/{number} of the log is too short; run fsck")
            self._recent[level, number] = found
            if len(self._recent) > _KEPT:
                del self._recent[next(iter(self._recent))]
        return found

    async def _check_above(self, level: int, number: int, hashes: bytes) -> None:
        above, position = divmod(number, tiles.WIDTH)
        parent = await self._hashes(level + 1, above)
        start = position * merkle.HASH_SIZE
        if tiles.subtree_root(tiles.decode_hashes(hashes)) != parent[start : start + merkle.HASH_SIZE]:
            raise FatalLogError(f"tile {level}/{number} of the log does not have the hash in the tile above; run fsck")

    async def _bundle(self, tile: Tile, hashes: bytes) -> bytes:
        start = tile.number * tiles.WIDTH
        entries = [entry.statement for entry in await self._log.page(start, start + tile.width)]
        if b"".join(merkle.leaf_hash(entry) for entry in entries) != hashes:
            raise FatalLogError(f"the entries from {start} on are not those of tile 0/{tile.number}; run fsck")
        return tiles.encode_entries(entries)


def _work(former: int, size: int) -> Iterator[Tile]:
    """Yield the tiles that a tree of ``size`` leaves has and one of ``former`` leaves has not, level by level."""
    level = 0
    while size > former:
        full, rest = divmod(size, tiles.WIDTH)
        yield from (Tile(level, number) for number in range(former // tiles.WIDTH, full))
        if rest:
            yield Tile(level, full, rest)
        former, size, level = former // tiles.WIDTH, full, level + 1


async def _spread(work: Iterator[Tile], each: Callable[[Tile], Awaitable[None]], at_once: int) -> None:
    """Do all work, so many pieces of it at a time; the first failure ends it, and an alarm is raised before others."""

    async def some() -> None:
        for tile in work:
            await each(tile)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(some())
    except BaseExceptionGroup as failures:
        raise min(failures.exceptions, key=lambda error: isinstance(error, StoreError)) from None


async def _advance(log: Log, store: Store, ours: Standing, standing: Standing | None) -> Standing:
    """Put our checkpoint in the store unless one as good stands there; return what stands there then."""
    for _ in range(_ROUNDS):
        if standing is not None and not _is_better(ours, standing):
            return standing
        if await store.replace(CHECKPOINT, ours.note, None if standing is None else standing.note):
            return ours
        standing = await check_published(log, store)
    raise StoreError(f"the checkpoint in {store.name} changes all the time; find out who else writes there")


def _is_better(ours: Standing, standing: Standing) -> bool:
    """Say whether our checkpoint is of a larger tree, or of the same and has a signature that the other lacks."""
    if ours.checkpoint.size != standing.checkpoint.size:
        return ours.checkpoint.size > standing.checkpoint.size
    return not set(notes.parse(ours.note).signatures) <= set(notes.parse(standing.note).signatures)


async def _open(log: Log, note: bytes) -> Checkpoint:
    """Return the checkpoint of a note that this log signed, with keys of whatever time; raise ``ExequaturError``."""
    keys = [key for identity in await log.identities() for key in identity.checkpoint_keys]
    return checkpoint.open(note, keys).checkpoint


async def _check_root(log: Log, point: Checkpoint, what: str) -> None:
    """Raise ``FatalLogError`` unless the log had the root of a checkpoint, which it signed."""
    size = (await log.head()).size
    if point.size > size:
        raise FatalLogError(
            f"{what} is of {point.size} entries, and the log holds {size}: it was restored from an older copy; "
            "restore it from a newer one"
        )
    if await log.root(point.size) != point.root:
        raise FatalLogError(f"{what} has a root that the log of {point.size} entries never had; run fsck")


async def _lag(log: Log, size: int, clock: Callable[[], int]) -> tuple[int, int]:
    """Return how many entries are not published, and for how many seconds the oldest of their heads has waited."""
    behind = max(0, (await log.head()).size - size)
    waiting = await log.heads(after=size, limit=1) if behind else []
    return behind, max(0, clock() - waiting[0].iat) if waiting else 0
