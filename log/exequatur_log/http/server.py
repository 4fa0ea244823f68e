"""The process: one log behind uvicorn, until it is told to stop, and then until everybody is answered.

SIGTERM, SIGINT   no new connections; what was taken is registered and answered; the log is closed
"""

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final, NamedTuple

import structlog
import uvicorn
from starlette.types import ASGIApp

from exequatur_log.batch import Clock
from exequatur_log.head import LogKeys
from exequatur_log.log import Log, now
from exequatur_log.publish.mirror import Mirror
from exequatur_log.publish.publication import Prepare, Publication, nothing
from exequatur_log.quota import Quota, Rate
from exequatur_log.storage.place import Place
from exequatur_log.witness.cosigner import Cosigner

from .app import DEFAULTS, create_app
from .health import Settings
from .metrics import Metrics
from .protocol import Protocol
from .reader import create_reader
from .witness import create_witness

_GRACE: Final = 30
_BACKLOG: Final = 2048
_CONNECTIONS: Final = 4096


# What else is served on the same port: given the open log, its application and what counts requests, both together.
Around = Callable[[Log, ASGIApp, Metrics], AbstractAsyncContextManager[ASGIApp]]


@asynccontextmanager
async def alone(_: Log, app: ASGIApp, __: Metrics) -> AsyncIterator[ASGIApp]:
    """Serve the log, and nothing else."""
    yield app


class Running(NamedTuple):
    """A server that answers: the log it opened, and how to stop it from within its event loop."""

    log: Log
    stop: Callable[[], None]


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. Raises ``OSError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)


async def serve(
    place: Place,
    keys: LogKeys,
    listener: socket.socket,
    started: Callable[[Running], None],
    *,
    settings: Settings = DEFAULTS,
    rate: Rate | None = None,
    prepare: Prepare = nothing,
    clock: Clock = now,
    around: Around = alone,
) -> None:
    """Serve the log at ``place`` on a listening socket; ``started`` is called when it answers.

    ``prepare`` says what publication consists of, once the log is open, and ``around`` what stands beside it.
    """
    metrics = Metrics()
    quota = None if rate is None else Quota(rate)
    async with (
        await Log.open(place, keys, clock=clock, quota=quota, observe=metrics.observe) as log,
        prepare(log) as prepared,
    ):
        publication = Publication(log, *prepared, clock=clock, observe=metrics.observe)
        app = create_app(log, publication, metrics, settings, clock)
        async with around(log, app, metrics) as whole:
            await _run(whole, listener, lambda stop: started(Running(log, stop)))


async def serve_published(
    mirror: Mirror, listener: socket.socket, started: Callable[[Callable[[], None]], None]
) -> None:
    """Serve what is published of a log; ``started`` is called when it answers, with how to stop it from within."""
    await _run(create_reader(mirror), listener, started)


async def serve_witness(
    cosigner: Cosigner, listener: socket.socket, started: Callable[[Callable[[], None]], None]
) -> None:
    """Serve a witness; ``started`` is called as by ``serve_published``. Its memory stays open."""
    await _run(create_witness(cosigner), listener, started)


async def _run(app: ASGIApp, listener: socket.socket, started: Callable[[Callable[[], None]], None]) -> None:
    config = uvicorn.Config(
        app,
        loop="none",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config, lambda: started(server.end))
    # What was loaded by now stays for good, and what a batch allocates goes with it: no need to walk either often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    await server.serve(sockets=[listener])


def write_journal() -> None:
    """Write the journal to stderr, one JSON object a line. It holds no statements, tokens or addresses."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    journal = logging.getLogger("exequatur")
    journal.handlers = [handler]
    journal.setLevel(logging.INFO)
    journal.propagate = False


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and do not raise it again afterwards, as uvicorn would: what it asked for was done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def end(self) -> None:
        """Begin to stop, as a signal does; from the server's own event loop."""
        self.should_exit = True
