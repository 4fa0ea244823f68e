"""Serving: the log over HTTP against a bare FastAPI echo and static files, on the same server and the same cores."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import service
from tests.bench.rounds import alternate
from tests.bench.table import Row, Target, cost, rate
from tests.log import scene

SUBJECT: Final = "the log over HTTP, client on the same cores"


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of serving."""
    path, static = folder / "log.db", folder / "static"
    static.mkdir()
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(600)])
        (static / "tile").write_bytes(log.tile(0, 0))
    with (
        service.log(path) as ours,
        service.process(["-m", "tests.bench.echo"], str(static)) as bare,
        asyncio.Runner() as runner,
    ):

        def send(served: service.Served, requests: Sequence[bytes], clients: int) -> None:
            runner.run(service.spread([served.port], requests, clients))

        rounds, count = (2, 500) if quick else (6, 2000)
        rows: list[Row] = []
        for clients in (64, 256):
            batches = [[scene.request() for _ in range(count)] for _ in range(rounds)]
            registered, echoed = alternate(
                rounds,
                count,
                lambda number: send(ours, _posts("/entries", batches[number]), clients),  # noqa: B023  # called here
                lambda number: send(bare, _posts("/echo", batches[number]), clients),  # noqa: B023  # likewise
            )
            name = f"registrations a second, one a request, {clients} clients, against a FastAPI echo"
            rows.append(rate(SUBJECT, name, registered, echoed, target=Target("≥", 0.45), statistic="best"))
        tile, file = alternate(
            rounds,
            count,
            lambda _: send(ours, [service.request("/tile/0/000")] * count, 64),
            lambda _: send(bare, [service.request("/static/tile")] * count, 64),
        )
        name = "full tiles a second, against a static file"
        rows.append(rate(SUBJECT, name, tile, file, target=Target("≥", 0.8), statistic="best"))
        waits = 50 if quick else 200
        idle = [scene.request() for _ in range(waits)]
        answered, echoed = alternate(
            waits,
            1,
            lambda number: send(ours, _posts("/entries", [idle[number]]), 1),
            lambda number: send(bare, _posts("/echo", [idle[number]]), 1),
        )
        name = "submit to receipt, idle, connection included, against the echo"
        rows.append(cost(SUBJECT, name, answered, echoed, "ms", target=Target("≤", 10, "measured"), statistic="p50"))
        rows.append(cost(SUBJECT, name, answered, echoed, "ms", statistic="p99"))
        return rows


def _posts(target: str, bodies: Sequence[bytes]) -> list[bytes]:
    return [service.request(target, body) for body in bodies]
