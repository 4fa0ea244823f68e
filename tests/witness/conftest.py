"""Witnesses that are really served, by uvicorn in a thread of this process, and servers that lie."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from exequatur_log.http import server
from tests.support.world import Log
from tests.witness import scene
from tests.witness.liar import Behave, Liar
from tests.witness.scene import LOG, Witness


class Served(NamedTuple):
    """A served witness, and a client of it."""

    witness: Witness
    url: str
    client: httpx2.Client
    stop: Callable[[], None]

    def add(self, old: int, size: int, log: Log = LOG) -> httpx2.Response:
        return self.client.post("/add-checkpoint", content=scene.body(old, size, log))


Serve = Callable[..., Served]
Lie = Callable[[Behave], Liar]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve the witness of a number, which knows the logs given, or the scene's."""
    stops: list[Callable[[], None]] = []

    def start(number: int = 0, *logs: Log) -> Served:
        witness = scene.witness(tmp_path / f"witness-{number}.db", scene.name_of(number), *logs)
        listener = server.listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ends: list[Callable[[], None]] = []
        ready, loop = threading.Event(), asyncio.new_event_loop()

        def started(end: Callable[[], None]) -> None:
            ends.append(end)
            ready.set()

        task: asyncio.Task[None] = loop.create_task(server.serve_witness(witness.cosigner, listener, started))
        thread = threading.Thread(target=loop.run_until_complete, args=(task,))
        thread.start()
        assert ready.wait(20)
        client = httpx2.Client(base_url=url, timeout=20)

        def stop() -> None:
            client.close()
            if thread.is_alive():
                loop.call_soon_threadsafe(ends[0])
                thread.join(30)
            assert not thread.is_alive()
            task.result()
            if not loop.is_closed():
                loop.close()
                witness.memory.close()

        stops.append(stop)
        return Served(witness, url, client, stop)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


@pytest.fixture
def lie() -> Iterator[Lie]:
    """Start a server that behaves like this."""
    liars: list[Liar] = []

    def start(behave: Behave) -> Liar:
        liars.append(Liar(behave))
        return liars[-1]

    yield start
    for liar in liars:
        liar.close()
