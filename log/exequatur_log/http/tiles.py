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

from exequatur_verifier import tiles
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.tiles import Tile

from .body import takes_gzip
from .problems import not_found
from .scrapi import IMMUTABLE
from .source import TileSource

_BYTES: Final = "application/octet-stream"


class Tiles:
    """The routes over one source."""

    def __init__(self, source: TileSource) -> None:
        self._source = source

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/checkpoint", self.checkpoint, methods=["GET"]),
            Route("/tile/entries/{path:path}", self.entries, methods=["GET"]),
            Route("/tile/{path:path}", self.hashes, methods=["GET"]),
        ]

    async def checkpoint(self, _: Request) -> Response:
        """``GET /checkpoint``: the newest checkpoint, a signed note."""
        data = await self._source.checkpoint()
        headers = {"cache-control": "public, max-age=1"}
        return Response(data, HTTPStatus.OK, headers, "text/plain; charset=utf-8")

    async def hashes(self, request: Request) -> Response:
        """``GET /tile/<level>/<number>[.p/<width>]``: that many hashes of 32 bytes."""
        data = await self._source.hashes(_named(request))
        return Response(data, HTTPStatus.OK, {"cache-control": IMMUTABLE}, _BYTES)

    async def entries(self, request: Request) -> Response:
        """``GET /tile/entries/<number>[.p/<width>]``: that many entries, each after its length in two bytes."""
        data = await self._source.bundle(_named(request))
        headers = {"cache-control": IMMUTABLE, "vary": "accept-encoding"}
        if takes_gzip(request):
            data = await asyncio.to_thread(gzip.compress, data, 6, mtime=0)
            headers["content-encoding"] = "gzip"
        return Response(data, HTTPStatus.OK, headers, _BYTES)


def _named(request: Request) -> Tile:
    try:
        return tiles.parse_path(request.url.path.removeprefix("/"))
    except MalformedError as error:
        raise not_found(str(error)) from None
