"""The application over one opened log: every surface, every error answered, every request counted.

Statements, receipts and tiles are plain routes, without models and dependencies between the socket and the log;
what people and their tools explore is described at ``/openapi.json``. There is no page to try it: FastAPI's has its
scripts from another host, which a log neither needs nor trusts.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exequatur_log.batch import Clock
from exequatur_log.log import Log, now
from exequatur_log.publish.publication import Publication

from . import lookup, openapi
from .health import Health, Settings
from .metrics import Metrics, Requests
from .problems import CODE_HEADER, HANDLERS, answered
from .proofs import Batches, Proofs
from .scrapi import Scrapi
from .source import LogSource
from .tiles import Tiles

_journal = logging.getLogger("exequatur.http")


DEFAULTS: Final = Settings()
Handler = Callable[[Request], Awaitable[Response]]
NONE: Final[Mapping[tuple[str, str], Handler]] = {}


def create_app(
    log: Log, publication: Publication, metrics: Metrics, settings: Settings = DEFAULTS, clock: Clock = now
) -> ASGIApp:
    """Return the application. ``metrics`` is the one whose ``observe`` the log was opened with; the log stays open."""
    scrapi = Scrapi(log, publication)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        publishing = asyncio.create_task(publication.run())
        yield
        await scrapi.finish()
        publication.finish()
        await publishing

    app = FastAPI(
        title="Exequatur log",
        summary="A transparency log of authorizations: SCRAPI, C2SP tiles, lookup",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    source, health = LogSource(log, publication), Health(log, publication, metrics, settings, clock)
    tiles, batches = Tiles(source), Batches(log, publication)
    for part in (tiles, Proofs(source), batches, scrapi, health):
        app.router.routes.extend(part.routes())
    app.include_router(lookup.router(log))
    own = app.openapi
    app.openapi = lambda: openapi.describe(own())  # type: ignore[method-assign]  # FastAPI's way to extend it
    for kind, answer in HANDLERS.items():
        app.add_exception_handler(kind, answer)
    return Counted(app, metrics, _plain(scrapi, batches, tiles))


def _plain(scrapi: Scrapi, batches: Batches, tiles: Tiles) -> Mapping[tuple[str, str], Handler]:
    """Return what most requests are for, which is answered without a router: by method and path."""
    return {
        ("POST", "/entries"): scrapi.register,
        ("POST", "/entries/batch"): batches.register,
        ("GET", "/checkpoint"): tiles.checkpoint,
    }


class Counted:
    """Counts each request, notes in the journal what was refused or went wrong, and answers the plain ones itself."""

    def __init__(self, app: ASGIApp, metrics: Requests, plain: Mapping[tuple[str, str], Handler] = NONE) -> None:
        self._app = app
        self._metrics = metrics
        self._plain = plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value
        code: str | None = None

        async def note(message: Message) -> None:
            nonlocal status, code
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= HTTPStatus.BAD_REQUEST:
                    headers = message["headers"]
                    code = next((value.decode() for name, value in headers if name == b"exequatur-code"), None)
            await send(message)

        plain = self._plain.get((scope["method"], scope["path"]))
        try:
            if plain is None:
                await self._app(scope, receive, note)
            else:
                response = await answered(plain, Request(scope, receive))
                status = response.status_code
                if status >= HTTPStatus.BAD_REQUEST:
                    code = response.headers.get(CODE_HEADER)
                await response(scope, receive, send)
        finally:
            route = getattr(plain or scope.get("endpoint"), "__qualname__", "none")
            seconds = time.monotonic() - begun
            self._metrics.answered(route, status, seconds, code)
            if status >= HTTPStatus.BAD_REQUEST:
                told = {"route": route, "status": status, "code": code, "seconds": round(seconds, 4)}
                _journal.info("refused", extra=told)
