"""The log read from where it is published, a directory or a bucket, without its database (specs/10 §10).

Nothing is given out that is not proven: the partial tiles have the root that the checkpoint signs, each full tile has
the hash in the tile above it, each bundle the hashes of its entries. What was given out is never taken back: a
checkpoint that is older than the last one is left aside, and one of another history stops the mirror.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_log import tlog_proof, tree
from exequatur_log.errors import FatalLogError, NotFoundError, StoreError
from exequatur_log.kept import Kept
from exequatur_log.tree import Span, TileKey
from exequatur_verifier import checkpoint, merkle, note, tiles
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.note import NoteKey
from exequatur_verifier.tiles import Tile

from .store import CHECKPOINT, Store

_SECONDS: Final = 1.0


class _Head(NamedTuple):
    """A checkpoint, its bytes, and the partial tiles that have its root."""

    point: Checkpoint
    note: bytes
    partial: Mapping[TileKey, bytes]


class Mirror:
    """What ``TileSource`` asks for, from a store. Without ``log_keys`` the signature of the checkpoint is not checked.

    Every method raises ``StoreError`` when the store fails or lacks what its checkpoint reaches, and ``FatalLogError``
    when it holds what cannot be proven.
    """

    def __init__(self, store: Store, log_keys: Sequence[NoteKey] = ()) -> None:
        self._store = store
        self._keys = tuple(log_keys)
        self._known: _Head | None = None
        self._asked = 0.0
        self._asking = asyncio.Lock()
        self._kept: Kept[Tile] = Kept()

    async def point(self) -> Checkpoint:
        """Return what the newest checkpoint says."""
        return (await self._head()).point

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint as a note."""
        return (await self._head()).note

    async def hashes(self, tile: Tile) -> bytes:
        """Return the hashes of a tile; raise ``NotFoundError`` beyond the checkpoint."""
        assert tile.level is not None
        head = await self._reaching(tile)
        return (await self._tile(head, tile.level, tile.number))[: tile.width * merkle.HASH_SIZE]

    async def bundle(self, tile: Tile) -> bytes:
        """Return a bundle of entries; raise ``NotFoundError`` beyond the checkpoint."""
        head = await self._reaching(tile)
        whole = await self._bundle(head, tile.number)
        entries = tiles.decode_entries(whole)
        return whole if len(entries) == tile.width else tiles.encode_entries(entries[: tile.width])

    async def statement(self, place: int | bytes) -> bytes:
        """Return the entry at an index; raise ``NotFoundError``, also for every record id."""
        index, _ = await self._within(place)
        number, position = divmod(index, tiles.WIDTH)
        return tiles.decode_entries(await self._bundle(await self._head(), number))[position]

    async def tlog_proof(self, place: int | bytes) -> bytes:
        """Return the C2SP tlog-proof of the entry at an index; raise ``NotFoundError``, also for every record id."""
        index, head = await self._within(place)
        path = await self._compute(head, tree.inclusion_spans(index, head.point.size))
        return tlog_proof.encode(index, path, head.note)

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """As ``Log.inclusion``."""
        head = await self._of_size(size)
        if not 0 <= index < size <= head.point.size:
            raise NotFoundError(f"entry {index} and size {size} are not both within these {head.point.size} entries")
        return await self._compute(head, tree.inclusion_spans(index, size))

    async def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """As ``Log.consistency``."""
        head = await self._of_size(size2)
        if not 0 < size1 <= size2 <= head.point.size:
            raise NotFoundError(f"no proof leads from size {size1} to size {size2} in these {head.point.size} entries")
        return await self._compute(head, tree.consistency_spans(size1, size2))

    async def _within(self, place: int | bytes) -> tuple[int, _Head]:
        if isinstance(place, bytes):
            raise NotFoundError("what is published has no index of records; name the entry by its index")
        head = await self._of_size(place + 1)
        if place >= head.point.size:
            raise NotFoundError(f"entry {place} is not in these {head.point.size} entries")
        return place, head

    async def _reaching(self, tile: Tile) -> _Head:
        """Return a head that reaches a tile at its width; raise ``NotFoundError``."""
        level = tile.level or 0
        head = await self._of_size(((tile.number * tiles.WIDTH) + tile.width) << 8 * level)
        if tile.width > _width(head.point.size, level, tile.number):
            raise NotFoundError(f"{tiles.format_path(tile)} is beyond the checkpoint of {head.point.size} entries")
        return head

    async def _of_size(self, size: int) -> _Head:
        """Return the newest head, asked for again if the one at hand is smaller than that."""
        head = await self._head()
        return head if size <= head.point.size else await self._head(again=True)

    async def _head(self, *, again: bool = False) -> _Head:
        begun = time.monotonic()
        async with self._asking:
            known = self._known
            # Whoever waited here for another's question has its answer.
            if known is None or self._asked < (begun if again else begun - _SECONDS):
                asked = time.monotonic()
                known = await self._newest(known)
                self._known, self._asked = known, asked
            return known

    async def _newest(self, known: _Head | None) -> _Head:
        data = await self._store.get(CHECKPOINT)
        if data is None:
            raise StoreError(f"{self._store.name} has no checkpoint; publish the log there first")
        if known is not None and known.note == data:
            return known
        point = self._open(data)
        if known is not None and point.size < known.point.size:
            # Two publishers to a bucket may leave an older checkpoint there for a while.
            return known
        head = _Head(point, data, await self._partial(point))
        if known is not None and await self._root(head, known.point.size) != known.point.root:
            raise FatalLogError(f"the checkpoint in {self._store.name} does not extend the one that stood there before")
        return head

    def _open(self, data: bytes) -> Checkpoint:
        try:
            if self._keys:
                return checkpoint.open(data, self._keys).checkpoint
            return checkpoint.parse(note.parse(data).text)
        except ExequaturError as error:
            raise FatalLogError(f"the checkpoint in {self._store.name} does not hold: {error}") from error

    async def _partial(self, point: Checkpoint) -> dict[TileKey, bytes]:
        """Return the partial tiles of a tree, which have its root."""
        spans = [(node,) for node in tree.edge_span(point.size)]
        found: dict[TileKey, bytes] = {}
        for level, number in tree.plan(spans):
            width = _width(point.size, level, number)
            _, data = await self._read(level, number, width)
            found[level, number] = data[: width * merkle.HASH_SIZE]
        if tree.fold(tree.compute(spans, found)) != point.root:
            raise FatalLogError(f"the newest tiles in {self._store.name} do not have the root of its checkpoint")
        return found

    async def _root(self, head: _Head, size: int) -> bytes:
        return tree.fold(await self._compute(head, [(node,) for node in tree.edge_span(size)]))

    async def _compute(self, head: _Head, spans: Sequence[Span]) -> tuple[bytes, ...]:
        keys = list(tree.plan(spans))
        found = await asyncio.gather(*(self._tile(head, *key) for key in keys))
        return tree.compute(spans, dict(zip(keys, found, strict=True)))

    async def _tile(self, head: _Head, level: int, number: int) -> bytes:
        """Return the hashes of a tile of the head's tree, proven."""
        found = head.partial.get((level, number)) or self._kept.get(Tile(level, number))
        if found is None:
            _, found = await self._read(level, number, tiles.WIDTH)
            above, position = divmod(number, tiles.WIDTH)
            start = position * merkle.HASH_SIZE
            expected = (await self._tile(head, level + 1, above))[start : start + merkle.HASH_SIZE]
            if tiles.subtree_root(tiles.decode_hashes(found)) != expected:
                raise self._unproven(Tile(level, number))
            self._kept.keep(Tile(level, number), found)
        return found

    async def _bundle(self, head: _Head, number: int) -> bytes:
        """Return the bundle of entries as wide as the head's tree has it, proven."""
        tile = Tile(None, number, _width(head.point.size, 0, number))
        found = self._kept.get(tile)
        if found is None:
            read, data = await self._read(None, number, tile.width)
            hashes = await self._tile(head, 0, number)
            try:
                entries = tiles.decode_entries(data)
            except ExequaturError:
                raise self._unproven(read) from None
            leaves = b"".join(merkle.leaf_hash(entry) for entry in entries[: tile.width])
            if len(entries) != read.width or leaves != hashes:
                raise self._unproven(read)
            found = tiles.encode_entries(entries[: tile.width])
            if tile.width == tiles.WIDTH:
                self._kept.keep(tile, found)
        return found

    async def _read(self, level: int | None, number: int, width: int) -> tuple[Tile, bytes]:
        """Return a tile or bundle of that width, or the full one: partial ones may be removed once there is that."""
        for tile in dict.fromkeys((Tile(level, number, width), Tile(level, number))):
            found = await self._store.get(tiles.format_path(tile))
            if found is not None:
                if level is not None and len(found) != tile.width * merkle.HASH_SIZE:
                    raise self._unproven(tile)
                return tile, found
        path = tiles.format_path(Tile(level, number, width))
        raise StoreError(f"{self._store.name} lacks {path}, which its checkpoint reaches; publish the log again")

    def _unproven(self, tile: Tile) -> FatalLogError:
        path = tiles.format_path(tile)
        return FatalLogError(f"{path} in {self._store.name} is not that of the tree that its checkpoint signs")


def _width(size: int, level: int, number: int) -> int:
    """Return how many hashes a tile has in the tree of ``size`` leaves; none if it is not part of it."""
    return max(0, min(tiles.WIDTH, (size >> 8 * level) - number * tiles.WIDTH))
