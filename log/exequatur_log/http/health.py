"""Health for whoever operates the log (specs/10 §7): alive, ready, metrics.

Alive means that the process answers. Ready means that the database answers, the head in it is validly signed and, where
the operator says how old it may be, young enough, and nothing has stopped the log from registering. A head is as old as
the newest proof of its time: its own signature, or the quorum that cosigned it since.
"""

import hmac
from hashlib import sha256
from http import HTTPStatus
from typing import Final, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exequatur_log.batch import Clock
from exequatur_log.errors import LogError
from exequatur_log.head import SignedHead
from exequatur_log.log import Log
from exequatur_log.publish.publication import Publication

from .metrics import Metrics
from .problems import Problem

FRESH: Final = {"cache-control": "no-store"}


async def alive(_: Request) -> Response:
    """``GET /healthz``."""
    return JSONResponse({"alive": True}, headers=FRESH)


class Settings(NamedTuple):
    """What an operator may set.

    ``tokens``: the SHA-256 of each operator's token, who alone then reads the metrics. ``most_age``: how old the head
    of a log that is ready may be, in seconds; ``None`` for any age.
    """

    tokens: frozenset[bytes] = frozenset()
    most_age: int | None = None


class Health:
    """The routes over one log."""

    def __init__(self, log: Log, publication: Publication, metrics: Metrics, settings: Settings, clock: Clock) -> None:
        self._log = log
        self._publication = publication
        self._metrics = metrics
        self._settings = settings
        self._clock = clock

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
            return _ready({"why": type(error).__name__})
        publication, age = self._publication, self._age(head)
        body: dict[str, object] = {
            "size": head.size,
            "iat": head.iat,
            "age": age,
            "waiting": self._log.waiting,
            "shown": publication.shown.size if publication.shown.note else None,
            "witnessed": publication.witnessed._asdict() if publication.witnessed.size else None,
            "witnesses": dict(publication.told),
            # Why is for the journal: it may name files and hosts.
            "publishing": publication.trouble is None,
        }
        most = self._settings.most_age
        return _ready(body | ({"why": f"the head is older than {most} s"} if most is not None and age > most else {}))

    def _age(self, head: SignedHead) -> int:
        """Return how long ago the head was last proven to be the log's newest, in seconds."""
        witnessed = self._publication.witnessed
        return max(0, self._clock() - max(head.iat, witnessed.time if witnessed.size >= head.size else 0))

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``: for operators alone, where they have tokens."""
        if self._settings.tokens and not self._is_operator(request):
            raise Problem(
                HTTPStatus.UNAUTHORIZED, "Unauthorized", "send an operator's token", {"www-authenticate": "Bearer"}
            )
        head = await self._log.head()
        text = self._metrics.render(
            self._publication, waiting=self._log.waiting, size=head.size, time=head.iat, age=self._age(head)
        )
        return Response(text, HTTPStatus.OK, FRESH, CONTENT_TYPE_LATEST)

    def _is_operator(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest = sha256(token.strip().encode()).digest()
        return scheme.lower() == "bearer" and any(hmac.compare_digest(digest, known) for known in self._settings.tokens)


def _ready(body: dict[str, object]) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if "why" in body else HTTPStatus.OK
    return JSONResponse({"ready": "why" not in body, **body}, status, headers=FRESH)
