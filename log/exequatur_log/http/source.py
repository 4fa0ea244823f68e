"""Where tiles, entries and proofs come from: the live log, or what is published of it (``publish.mirror``)."""

from typing import Protocol

from exequatur_log import tlog_proof
from exequatur_log.errors import NotFoundError
from exequatur_log.kept import Kept
from exequatur_log.log import Log
from exequatur_log.publish.publication import Publication
from exequatur_verifier import merkle, tiles
from exequatur_verifier.tiles import Tile


class TileSource(Protocol):
    """A tree and its entries. A place is an index or a record id; what is not there is a ``NotFoundError``."""

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint as a note."""
        ...

    async def hashes(self, tile: Tile) -> bytes:
        """Return the hashes of a tile, at its width."""
        ...

    async def bundle(self, tile: Tile) -> bytes:
        """Return a bundle of entries, at its width."""
        ...

    async def statement(self, place: int | bytes) -> bytes:
        """Return an entry."""
        ...

    async def tlog_proof(self, place: int | bytes) -> bytes:
        """Return the C2SP tlog-proof of an entry under the newest checkpoint."""
        ...

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion path of an entry in the tree of any size that there was."""
        ...

    async def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """Return the consistency proof between any two sizes that there were."""
        ...


class LogSource:
    """The live log. Full tiles and bundles never change, so the last ones are kept in memory."""

    def __init__(self, log: Log, publication: Publication) -> None:
        self._log = log
        self._publication = publication
        self._full: Kept[Tile] = Kept()

    async def checkpoint(self) -> bytes:
        """As ``TileSource.checkpoint``."""
        return (await self._publication.checkpoint()).note

    async def hashes(self, tile: Tile) -> bytes:
        """As ``TileSource.hashes``."""
        data = self._full.get(tile)
        if data is None:
            assert tile.level is not None
            try:
                data = (await self._log.tile(tile.level, tile.number))[: tile.width * merkle.HASH_SIZE]
            except NotFoundError:
                data = b""
            if len(data) != tile.width * merkle.HASH_SIZE:
                raise _beyond(tile)
            self._keep(tile, data)
        return data

    async def bundle(self, tile: Tile) -> bytes:
        """As ``TileSource.bundle``."""
        data = self._full.get(tile)
        if data is None:
            start = tile.number * tiles.WIDTH
            page = await self._log.page(start, start + tile.width)
            if len(page) != tile.width:
                raise _beyond(tile)
            data = tiles.encode_entries([entry.statement for entry in page])
            self._keep(tile, data)
        return data

    async def statement(self, place: int | bytes) -> bytes:
        """As ``TileSource.statement``."""
        return (await self._log.get(place)).statement

    async def tlog_proof(self, place: int | bytes) -> bytes:
        """As ``TileSource.tlog_proof``."""
        index = place if isinstance(place, int) else (await self._log.get(place)).leaf_index
        shown = await self._publication.checkpoint()
        return tlog_proof.encode(index, await self._log.inclusion(index, shown.size), shown.note)

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """As ``TileSource.inclusion``."""
        return await self._log.inclusion(index, size)

    async def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """As ``TileSource.consistency``."""
        return await self._log.consistency(size1, size2)

    def _keep(self, tile: Tile, data: bytes) -> None:
        if tile.width == tiles.WIDTH:
            self._full.keep(tile, data)


def _beyond(tile: Tile) -> NotFoundError:
    return NotFoundError(f"{tiles.format_path(tile)} is beyond this log's tree")
