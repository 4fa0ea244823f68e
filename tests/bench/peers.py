"""Peers: what somebody who builds a log in Python today would pick, on the same entries and the same disk.

pymerkle appends durably and neither verifies, signs nor proves; scitt-cose makes receipts from the whole list of
entries. Our figures are of all that a registration is: signature checked, durable, under a signed head, proven.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from exequatur_log.blocking import BlockingLog
from exequatur_verifier import merkle, receipt
from tests.bench import fresh
from tests.bench.registration import register
from tests.bench.rounds import Timing
from tests.bench.table import Row, cost, rate
from tests.data import ROOT
from tests.log import scene
from tests.oracles.environment import interpreter

SUBJECT: Final = "what else there is in Python"
BATCH: Final = 256


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of peers."""
    size, rounds, count = (1_000, 2, 10) if quick else (10_000, 8, 20)
    path = folder / "log.db"
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(size - 4)])
        requests = [[scene.request() for _ in range(BATCH)] for _ in range(rounds)]
        registered = _timed(lambda batch: register(log, batch), requests, BATCH)
        made = _timed(log.fresh_receipt, range(0, size, size // count), 1)
        verified = _timed(_check, [_receipt(log, index) for index in range(0, size, size // count)], 1)
    appended = _ask("pymerkle", "append.py", path, folder / "pymerkle.db", size, BATCH)
    issued = _ask("scitt-cose", "issue.py", path, size, count)
    return [
        rate(
            SUBJECT,
            f"registrations a second, batch of {BATCH}, {size:,} entries, against appends by pymerkle",
            registered,
            Timing(tuple(seconds / BATCH for seconds in appended["seconds"][:rounds])),
            statistic="best",
        ),
        cost(
            SUBJECT,
            f"a receipt of a committed entry, {size:,} entries, against scitt-cose",
            made,
            Timing(tuple(issued["made"])),
            "ms",
            faster=True,
        ),
        cost(
            SUBJECT,
            "a receipt verified, against scitt-cose",
            verified,
            Timing(tuple(issued["verified"])),
            "ms",
            faster=True,
        ),
    ]


def _timed(work: Any, items: Sequence[Any], count: int) -> Timing:
    seconds: list[float] = []
    for item in items:
        begun = time.perf_counter()
        work(item)
        seconds.append((time.perf_counter() - begun) / count)
    return Timing(tuple(seconds))


def _receipt(log: BlockingLog, index: int) -> tuple[bytes, bytes]:
    return log.fresh_receipt(index), log.get(index).statement


def _check(pair: tuple[bytes, bytes]) -> None:
    parsed = receipt.parse(pair[0])
    root = receipt.root(parsed, merkle.leaf_hash(pair[1]))
    receipt.verify_head(parsed.protected, parsed.signature, root, scene.KEYS.receipt.public_key)


def _ask(oracle: str, program: str, *arguments: object) -> Any:
    python = (interpreter(oracle), str(ROOT / "tests" / "oracles" / oracle / program))
    return fresh.run(str(arguments[0]), *arguments[1:], python=python)
