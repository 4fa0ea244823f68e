"""Health for whoever operates the log (specs/10 §7): alive, ready, metrics.

Alive means that the process answers. Ready means that the database answers, the head in it is validly signed, and
nothing has stopped the log from registering.
"""

import hmac
from hashlib import sha256
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exequatur_log.errors import LogError
from exequatur_log.log import Log

from .metrics import Metrics
from .problems import Problem

FRESH: Final = {"cache-control": "no-store"}


async def alive(_: Request) -> Response:
    """``GET /healthz``."""
    return JSONResponse({"alive": True}, headers=FRESH)


class Health:
    """The routes over one log. ``tokens`` are the SHA-256 of the operators' tokens; without any, metrics are open."""

    def __init__(self, log: Log, metrics: Metrics, tokens: frozenset[bytes]) -> None:
        self._log = log
        self._metrics = metrics
        self._tokens = tokens

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def ready(self, _: Request) -> Response:
        """``GET /readyz``: 200 and the head, or 503 and what is wrong."""
        try:
            self._log.check()
            head = await self._log.checked_head()
        except LogError as error:
            body = {"ready": False, "why": type(error).__name__}
            return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, headers=FRESH)
        body = {"ready": True, "size": head.size, "iat": head.iat, "waiting": self._log.waiting}
        return JSONResponse(body, headers=FRESH)

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``: for operators alone, where they have tokens."""
        if self._tokens and not self._is_operator(request):
            raise Problem(
                HTTPStatus.UNAUTHORIZED, "Unauthorized", "send an operator's token", {"www-authenticate": "Bearer"}
            )
        head = await self._log.head()
        text = self._metrics.render(waiting=self._log.waiting, size=head.size, time=head.iat)
        return Response(text, HTTPStatus.OK, FRESH, CONTENT_TYPE_LATEST)

    def _is_operator(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest = sha256(token.strip().encode()).digest()
        return scheme.lower() == "bearer" and any(hmac.compare_digest(digest, known) for known in self._tokens)
