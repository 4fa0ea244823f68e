"""A log that is really served: uvicorn on a free port, in a thread of this process, over a log of the scene."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from exequatur_log.head import LogKeys
from exequatur_log.http import server
from exequatur_log.http.app import DEFAULTS
from exequatur_log.http.health import Settings
from exequatur_log.log import Log
from exequatur_log.quota import Rate
from tests.log import scene


class Served(NamedTuple):
    """A served log: where it lies, its opened self, and a client of it."""

    path: Path
    url: str
    log: Log
    client: httpx2.Client
    stop: Callable[[], None]

    def post(self, data: bytes, **headers: str) -> httpx2.Response:
        return self.client.post("/entries", content=data, headers={"content-type": "application/cose", **headers})


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve the log at a path, which is made if it is not there."""
    stops: list[Callable[[], None]] = []

    def start(
        path: Path = tmp_path / "log.db",
        *,
        keys: LogKeys = scene.KEYS,
        settings: Settings = DEFAULTS,
        rate: Rate | None = None,
    ) -> Served:
        if not path.exists():
            scene.create(path).close()
        listener = server.listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        opened: list[server.Running] = []
        ready, loop = threading.Event(), asyncio.new_event_loop()

        def started(running: server.Running) -> None:
            opened.append(running)
            ready.set()

        async def run() -> None:
            try:
                await server.serve(path, keys, listener, started, settings=settings, rate=rate, clock=_clock)
            finally:
                ready.set()

        task: asyncio.Task[None] = loop.create_task(run())
        thread = threading.Thread(target=loop.run_until_complete, args=(task,))
        thread.start()
        assert ready.wait(20)
        client = httpx2.Client(base_url=url, timeout=20)

        def stop() -> None:
            client.close()
            if thread.is_alive():
                loop.call_soon_threadsafe(opened[0].stop)
                thread.join(30)
            assert not thread.is_alive()
            task.result()
            if not loop.is_closed():
                loop.close()

        stops.append(stop)
        return Served(path, url, opened[0].log, client, stop)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


def _clock() -> int:
    return scene.NOW
