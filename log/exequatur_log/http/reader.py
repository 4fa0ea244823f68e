"""The application over what is published of a log, which needs neither its database nor its keys (specs/10 §10)."""

import logging
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exequatur_log.errors import LogError
from exequatur_log.publish.mirror import Mirror

from .health import FRESH, alive
from .problems import HANDLERS
from .proofs import Proofs
from .tiles import Tiles

_journal = logging.getLogger("exequatur.http")


def create_reader(mirror: Mirror) -> Starlette:
    """Return the application: checkpoint, tiles, bundles, entries by index, proofs, and health."""
    routes = [*Tiles(mirror).routes(), *Proofs(mirror).routes(), *_Health(mirror).routes()]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return app


class _Health:
    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def routes(self) -> list[BaseRoute]:
        return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", self.ready, methods=["GET"])]

    async def ready(self, _: Request) -> Response:
        """``GET /readyz``: 200 and what the checkpoint is of, or 503 and what is wrong."""
        try:
            point = await self._mirror.point()
        except LogError as error:
            _journal.warning("not ready", extra={"why": str(error)})
            body = {"ready": False, "why": type(error).__name__}
            return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, headers=FRESH)
        return JSONResponse({"ready": True, "origin": point.origin, "size": point.size}, headers=FRESH)
