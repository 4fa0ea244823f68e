"""The application: every surface of an authority, every error answered, every request counted.

It stands beside the log's on one port, so its paths are few and its own (``owns``); whatever connects the two asks it
first. The routes are plain Starlette's: what is posted is CBOR, or JSON that is read more strictly than models would.
"""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exequatur_issuer.identity.subject import Credentials

from . import openapi
from .approvals import ApprovalRoutes
from .authorize import Authorize
from .authzen import METADATA, AuthZenRoutes
from .desk import Desk
from .entry import Door, json_response
from .office import Office
from .problems import of_error, response
from .settings import Settings

_journal = logging.getLogger("exequatur.authority")

OPENAPI: Final = "/authority/openapi.json"
_OWN: Final = ("/authorize", "/plan", "/approvals", METADATA, OPENAPI)
_BELOW: Final = ("/approvals/", "/access/")

# Told of each answer: the route, the status, the seconds, and the code of a refusal.
Count = Callable[[str, int, float, str | None], None]


def owns(path: str) -> bool:
    """Say whether a path is one of the authority's, whether or not there is anything."""
    return path in _OWN or path.startswith(_BELOW)


def create_app(
    desk: Desk[Office],
    credentials: Credentials,
    settings: Settings,
    clock: Callable[[], int],
    *,
    shows_approvals: bool = False,
    count: Count = lambda *_: None,
) -> ASGIApp:
    """Return the application to a desk, which stays open. ``shows_approvals``: its office has a keeper of them."""
    door = Door(credentials, clock)
    routes: list[BaseRoute] = [
        *Authorize(desk, door).routes(),
        *ApprovalRoutes(desk, door, shows=shows_approvals).routes(),
    ]
    if settings.authzen is not None:
        routes += AuthZenRoutes(desk, door, settings.authzen).routes()
    document = openapi.describe({route.path for route in routes if isinstance(route, Route)}, shows_approvals)
    routes.append(Route(OPENAPI, _Document(document).answer, methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _answer, Exception: _answer})
    app.router.redirect_slashes = False
    return _Counted(app, count)


class _Document:
    def __init__(self, document: object) -> None:
        self._document = document

    async def answer(self, _: Request) -> Response:
        """``GET /authority/openapi.json``."""
        return json_response(self._document)


async def _answer(_: Request, error: Exception) -> Response:
    return response(of_error(error))


class _Counted:
    """Counts each request, and notes in the journal what was refused. No token, address or body is ever in it."""

    def __init__(self, app: ASGIApp, count: Count) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status, code = HTTPStatus.INTERNAL_SERVER_ERROR.value, None

        async def note(message: Message) -> None:
            nonlocal status, code
            if message["type"] == "http.response.start":
                status = message["status"]
                code = next((value.decode() for name, value in message["headers"] if name == b"exequatur-code"), None)
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("endpoint"), "__qualname__", "none")
            seconds = time.monotonic() - begun
            self._count(route, status, seconds, code)
            if status >= HTTPStatus.BAD_REQUEST:
                told = {"route": route, "status": status, "code": code, "seconds": round(seconds, 4)}
                _journal.info("refused", extra=told)
