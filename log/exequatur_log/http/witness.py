"""A witness over HTTP: c2sp.org/tlog-witness for logs, its monitoring for auditors (specs/11 §3, §6).

POST /add-checkpoint                     a log's checkpoint, to be cosigned
GET  /<SHA-256 of the origin>/checkpoint  what was cosigned last for a log
GET  /healthz, /readyz, /metrics          for who operates the witness

What it says is text. Nothing needs a token: a checkpoint authenticates itself, and what a witness knows is public.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from exequatur_log.errors import LogError
from exequatur_log.witness.cosigner import Cosigner
from exequatur_log.witness.wire import MAX_REQUEST

from .app import Counted
from .body import read_any
from .health import FRESH, alive
from .metrics import Requests
from .problems import Problem

T = TypeVar("T")

_journal = logging.getLogger("exequatur.witness")


class WitnessMetrics(Requests):
    """The metrics of one witness: its requests, and for each log what was cosigned last and what evidence there is."""

    def __init__(self) -> None:
        super().__init__()
        self._size = Gauge("exequatur_cosigned_size", "Entries cosigned last", ["origin"], registry=self._registry)
        self._time = Gauge("exequatur_cosigned_timestamp_seconds", "When that was", ["origin"], registry=self._registry)
        self._evidence = Gauge(
            "exequatur_witness_evidence", "Contradictions that are kept", ["origin", "kind"], registry=self._registry
        )

    def render(self, cosigner: Cosigner) -> bytes:
        """Return the text format; reads the witness's memory."""
        status = cosigner.status()
        for held in status.held:
            self._size.labels(held.checkpoint.origin).set(held.checkpoint.size)
            self._time.labels(held.checkpoint.origin).set(held.time)
        for (origin, kind), count in status.evidence.items():
            self._evidence.labels(origin, kind).set(count)
        return generate_latest(self._registry)


class WitnessRoutes:
    """The routes over one witness, whose work is done by one thread, one request after the other."""

    def __init__(self, cosigner: Cosigner, metrics: WitnessMetrics) -> None:
        self._cosigner = cosigner
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="exequatur-witness")

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/add-checkpoint", self.add_checkpoint, methods=["POST"]),
            Route("/{name}/checkpoint", self.checkpoint, methods=["GET"]),
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    def close(self) -> None:
        """End the thread once it has done what it was given."""
        self._thread.shutdown()

    async def add_checkpoint(self, request: Request) -> Response:
        """``POST /add-checkpoint``: 200 and cosignatures, or why not."""
        body = await read_any(request, MAX_REQUEST)
        answered = await self._do(lambda: self._cosigner.add_checkpoint(body))
        if answered.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _journal.error("not cosigned", extra={"why": answered.body.decode().strip()})
        # Named as a header, because a media type that is text would be given a charset.
        return Response(answered.body, answered.status, {**FRESH, "content-type": answered.media_type})

    async def checkpoint(self, request: Request) -> Response:
        """``GET /<SHA-256 of the origin>/checkpoint``: the note that was cosigned last."""
        name = request.path_params["name"]
        found = await self._do(lambda: self._cosigner.latest(name))
        if found is None:
            return PlainTextResponse("nothing was cosigned for a log of that name\n", HTTPStatus.NOT_FOUND, FRESH)
        return PlainTextResponse(found, headers={"cache-control": "public, max-age=1"})

    async def ready(self, _: Request) -> Response:
        """``GET /readyz``: 200 if the witness would cosign, or 503 and why it would not."""
        try:
            await self._do(self._cosigner.check)
        except LogError as error:
            body = {"ready": False, "why": type(error).__name__}
            return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, headers=FRESH)
        return JSONResponse({"ready": True}, headers=FRESH)

    async def metrics(self, _: Request) -> Response:
        """``GET /metrics``."""
        text = await self._do(lambda: self._metrics.render(self._cosigner))
        return Response(text, HTTPStatus.OK, FRESH, CONTENT_TYPE_LATEST)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def create_witness(cosigner: Cosigner) -> ASGIApp:
    """Return the application. The memory stays open."""
    metrics = WitnessMetrics()
    witness = WitnessRoutes(cosigner, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        witness.close()

    app = Starlette(routes=witness.routes(), lifespan=lifespan, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False
    return Counted(app, metrics)


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return PlainTextResponse(f"{error.detail}\n", error.status, {**FRESH, **error.headers})


async def _answer_error(_: Request, error: Exception) -> Response:
    # What it says of files is for the operator alone.
    _journal.error("unavailable", extra={"why": str(error)})
    return PlainTextResponse("the witness cannot reach its memory\n", HTTPStatus.SERVICE_UNAVAILABLE, FRESH)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, {**FRESH, **(error.headers or {})})


async def _answer_bug(_: Request, error: Exception) -> Response:
    _journal.error("unforeseen", exc_info=error)
    return PlainTextResponse("this is a bug of the witness\n", HTTPStatus.INTERNAL_SERVER_ERROR, FRESH)


_HANDLERS: Final = {
    Problem: _answer_problem,
    LogError: _answer_error,
    HTTPException: _answer_http,
    Exception: _answer_bug,
}
