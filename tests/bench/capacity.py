"""Capacity: batches over HTTP against the raw signature checks that they contain, and how long one waits under load.

On SQLite one process serves; on PostgreSQL two do. Client, servers and database share the cores, and the note of a
row says what each of them used for a statement. Saturated is what 128 connections get, one statement a request.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_log.blocking import BlockingLog
from exequatur_log.storage.place import Place
from exequatur_verifier import cbor, statement
from tests.bench import raw, service
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, rate, taken
from tests.log import scene
from tests.support.postgres import Server

SUBJECT: Final = "the log over HTTP at capacity"
_CORES: Final = os.cpu_count() or 1
_CLIENTS: Final = 128


class Deployed(NamedTuple):
    """A log that is served: what it is called, the ports, and the processes that serve it and that store it."""

    name: str
    ports: list[int]
    servers: list[int]
    database: list[int]


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of capacity."""
    rows: list[Row] = []
    for deploy, goal in ((_sqlite, 0.25), (_postgres, 0.3)):
        with deploy(folder) as deployed, asyncio.Runner() as runner:
            rows.append(_batches(deployed, runner, goal, quick=quick))
            rows += _waits(deployed, runner, quick=quick)
    return rows


@contextmanager
def _sqlite(folder: Path) -> Iterator[Deployed]:
    path = folder / "log.db"
    scene.create(path).close()
    with service.log(path) as served:
        yield Deployed("one process, SQLite", [served.port], [served.pid], [])


@contextmanager
def _postgres(folder: Path) -> Iterator[Deployed]:
    database = Server(folder / "postgres")
    try:
        place: Place = database.database()
        with BlockingLog.create(place, scene.genesis(), scene.KEYS, clock=lambda: scene.NOW) as log:
            log.register_many(scene.enrolments())
        with ExitStack() as stack:
            served = [stack.enter_context(service.log(place)) for _ in range(2)]
            ports, pids = [one.port for one in served], [one.pid for one in served]
            yield Deployed("two processes, PostgreSQL", ports, pids, [database.pid])
    finally:
        database.stop()


def _batches(deployed: Deployed, runner: asyncio.Runner, goal: float, *, quick: bool) -> Row:
    size, at_once, rounds = (256, 4, 2) if quick else (1024, 4, 5)
    sent = [[[scene.request() for _ in range(size)] for _ in range(at_once)] for _ in range(rounds)]
    key = scene.REQUESTER.public_key
    checks = [[raw.check_of(statement.parse(data), key) for part in parts for data in part] for parts in sent]
    requests = [
        [service.request("/entries/batch", cbor.encode(part), service.CBOR) for part in parts] for parts in sent
    ]
    used = [0.0, 0.0, 0.0]

    def ours(number: int) -> None:
        before = _used(deployed)
        runner.run(service.spread(deployed.ports, requests[number], at_once))
        for place, (then, now) in enumerate(zip(before, _used(deployed), strict=True)):
            used[place] += now - then

    with ThreadPoolExecutor(_CORES) as pool:
        registered, checked = alternate(
            rounds, size * at_once, ours, lambda number: raw.run_all(pool, _CORES, checks[number])
        )
    each = [seconds / (rounds * size * at_once) * 1e6 for seconds in used]
    return rate(
        SUBJECT,
        f"statements a second, batches of {size}, {deployed.name}, against ES256 checks on {_CORES} cores",
        registered,
        checked,
        target=Target("≥", goal),
        statistic="best",
        note=f"µs of processor a statement: servers {each[0]:.0f}, client {each[1]:.0f}, database {each[2]:.0f}",
    )


def _used(deployed: Deployed) -> tuple[float, float, float]:
    return service.cpu(*deployed.servers), time.process_time(), service.cpu(*deployed.database)


def _waits(deployed: Deployed, runner: asyncio.Runner, *, quick: bool) -> list[Row]:
    """Return the rows of waiting: alone, and at four fifths of what can be had."""
    count = 500 if quick else 4000
    idle = Timing(tuple(runner.run(service.paced(deployed.ports, _posts(count // 20), 1, 20))))
    saturated = 0.0
    for _ in range(2 if quick else 3):
        requests = _posts(count)
        begun = runner.get_loop().time()
        runner.run(service.spread(deployed.ports, requests, _CLIENTS))
        saturated = max(saturated, count / (runner.get_loop().time() - begun))
    busy = Timing(tuple(runner.run(service.paced(deployed.ports, _posts(count), _CLIENTS, 0.8 * saturated))))
    at = f"at 80 % of {saturated:,.0f} a second"
    return [
        taken(
            SUBJECT,
            f"submit to receipt, idle, {deployed.name}",
            idle,
            "ms",
            target=Target("≤", 10, "measured"),
            statistic="p50",
        ),
        taken(SUBJECT, f"submit to receipt, {at}, {deployed.name}", busy, "ms", statistic="p50"),
        taken(
            SUBJECT,
            f"submit to receipt, {at}, {deployed.name}",
            busy,
            "ms",
            target=Target("≤", 250, "measured"),
            statistic="p99",
        ),
    ]


def _posts(count: int) -> Sequence[bytes]:
    return [service.request("/entries", scene.request()) for _ in range(count)]
