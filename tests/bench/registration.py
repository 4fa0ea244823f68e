"""Registration through the library: durable, checked and provable, against the raw signature checks that it contains.

One log in one file on a disk, one process. The raw work checks the same signatures with one thread for each
core, which is as fast as this machine can check them at all.
"""

import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exequatur_log.blocking import BlockingLog
from exequatur_log.entry import Registered
from exequatur_verifier import statement
from tests.bench import raw
from tests.bench.rounds import alternate
from tests.bench.table import Row, Target, cost, rate
from tests.log import scene

SUBJECT = "registration through the library"
_CORES = os.cpu_count() or 1


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of registration."""
    with scene.create(folder / "log.db") as log:
        batches = [(256, 6), (1024, 2)] if quick else [(256, 20), (1024, 6), (4096, 2)]
        rows = [_batch(log, size, rounds) for size, rounds in batches]
        return rows + _single(log, folder, 50 if quick else 200)


def register(log: BlockingLog, requests: Sequence[bytes]) -> None:
    """Register requests that the log has not seen."""
    assert all(isinstance(answer, Registered) and answer.fresh for answer in log.register_many(requests))


def _batch(log: BlockingLog, size: int, rounds: int) -> Row:
    requests = [[scene.request() for _ in range(size)] for _ in range(rounds)]
    key = scene.REQUESTER.public_key
    checks = [[raw.check_of(statement.parse(data), key) for data in batch] for batch in requests]
    with ThreadPoolExecutor(_CORES) as pool:
        ours, bare = alternate(
            rounds,
            size,
            lambda number: register(log, requests[number]),
            lambda number: raw.run_all(pool, _CORES, checks[number]),
        )
    return rate(
        SUBJECT,
        f"statements a second, batch of {size}, against ES256 checks on {_CORES} cores",
        ours,
        bare,
        target=Target("≥", 0.3),
        statistic="best",
    )


def _single(log: BlockingLog, folder: Path, rounds: int) -> list[Row]:
    """Return the rows for one statement at a time: submit to receipt, against SQLite's commit of the same bytes."""
    requests = [scene.request() for _ in range(rounds)]
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA synchronous = FULL")
    plain.execute("CREATE TABLE entries (statement BLOB)")

    ours, bare = alternate(
        rounds,
        1,
        lambda number: log.register(requests[number]),
        lambda number: plain.execute("INSERT INTO entries VALUES (?)", (requests[number],)),
    )
    plain.close()
    name = "submit to receipt, idle, against one SQLite commit"
    return [
        cost(SUBJECT, name, ours, bare, "ms", target=Target("≤", 10, "measured"), statistic="p50"),
        cost(SUBJECT, name, ours, bare, "ms", statistic="p99"),
    ]
