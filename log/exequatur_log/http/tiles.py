"""The read side of C2SP tlog-tiles (specs/10 §4): checkpoint, tiles of hashes, bundles of entries.

A tile is served at its full width or at any width up to the one that the current checkpoint reaches. What was served
once is served again byte for byte, so caches may keep it for ever; the checkpoint alone changes.
"""

import asyncio
import gzip
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_log.errors import NotFoundError
from exequatur_log.log import Log
from exequatur_log.publication import Publication
from exequatur_verifier import merkle, tiles
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.tiles import Tile

from .body import takes_gzip
from .problems import Problem, not_found
from .scrapi import IMMUTABLE

_BYTES: Final = "application/octet-stream"
_KEPT: Final = 512


class Tiles:
    """The routes over one log. Full tiles never change, so the last few hundred are kept in memory."""

    def __init__(self, log: Log, publication: Publication) -> None:
        self._log = log
        self._publication = publication
        self._full: dict[Tile, bytes] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/checkpoint", self.checkpoint, methods=["GET"]),
            Route("/tile/entries/{path:path}", self.entries, methods=["GET"]),
            Route("/tile/{path:path}", self.hashes, methods=["GET"]),
        ]

    async def checkpoint(self, _: Request) -> Response:
        """``GET /checkpoint``: the head that is public, as a signed note."""
        note = await self._publication.checkpoint()
        if note is None:
            detail = "no checkpoint has met the quorum of witnesses yet; ask again soon"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable", detail, {"retry-after": "1"})
        return Response(note, HTTPStatus.OK, {"cache-control": "public, max-age=1"}, "text/plain; charset=utf-8")

    async def hashes(self, request: Request) -> Response:
        """``GET /tile/<level>/<number>[.p/<width>]``: that many hashes of 32 bytes."""
        tile = _named(request)
        data = self._full.get(tile)
        if data is None:
            assert tile.level is not None
            try:
                data = (await self._log.tile(tile.level, tile.number))[: tile.width * merkle.HASH_SIZE]
            except NotFoundError:
                data = b""
            if len(data) != tile.width * merkle.HASH_SIZE:
                raise not_found(f"{tiles.format_path(tile)} is beyond this log's tree")
            self._keep(tile, data)
        return Response(data, HTTPStatus.OK, {"cache-control": IMMUTABLE}, _BYTES)

    async def entries(self, request: Request) -> Response:
        """``GET /tile/entries/<number>[.p/<width>]``: that many entries, each after its length in two bytes."""
        tile = _named(request)
        data = self._full.get(tile)
        if data is None:
            start = tile.number * tiles.WIDTH
            page = await self._log.page(start, start + tile.width)
            if len(page) != tile.width:
                raise not_found(f"{tiles.format_path(tile)} is beyond this log's tree")
            data = tiles.encode_entries([entry.statement for entry in page])
            self._keep(tile, data)
        headers = {"cache-control": IMMUTABLE, "vary": "accept-encoding"}
        if takes_gzip(request):
            data = await asyncio.to_thread(gzip.compress, data, 6, mtime=0)
            headers["content-encoding"] = "gzip"
        return Response(data, HTTPStatus.OK, headers, _BYTES)

    def _keep(self, tile: Tile, data: bytes) -> None:
        if tile.width < tiles.WIDTH:
            return
        self._full[tile] = data
        if len(self._full) > _KEPT:
            del self._full[next(iter(self._full))]


def _named(request: Request) -> Tile:
    try:
        return tiles.parse_path(request.url.path.removeprefix("/"))
    except MalformedError as error:
        raise not_found(str(error)) from None
