"""Proofs: the first one of a fresh process, ours and pymerkle's, over the same million entries; and how cost grows.

Both are asked for the same proof of the same tree from a database that they have just opened; what the system
keeps of either file in memory stays there, which favours whoever reads more. The process and its imports are
not counted; opening is, in a row of its own.
"""

import random
from pathlib import Path

from exequatur_log.blocking import BlockingLog
from tests.bench import fresh, wide
from tests.bench.registration import register
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, cost
from tests.data import ROOT
from tests.log import scene
from tests.oracles.environment import interpreter

SUBJECT = "proofs and appends in large logs"
BATCH = 256


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of proofs."""
    sizes = [1_000, 10_000, 100_000] if quick else [10_000, 100_000, 1_000_000]
    logs = wide.grow(folder, sizes)
    return _cold(folder, logs[sizes[-1]], sizes[-1], 2 if quick else 4) + _growth(logs, 6 if quick else 20)


def _cold(folder: Path, log: Path, size: int, rounds: int) -> list[Row]:
    theirs = (interpreter("pymerkle"), str(ROOT / "tests" / "oracles" / "pymerkle" / "cold.py"))
    tree = folder / "pymerkle.db"
    assert fresh.run("build", log, tree, python=theirs)["size"] == size
    rows: list[Row] = []
    for kind, first in (("inclusion", size // 3), ("consistency", size // 3)):
        found = [
            (fresh.run("prove", log, kind, first, size), fresh.run("prove", tree, kind, first, size, python=theirs))
            for _ in range(rounds)
        ]
        # Its consistency proofs are of another order (and another form), so only these are the same bytes.
        assert kind != "inclusion" or all(ours["path"] == other["path"] for ours, other in found)
        alone = [Timing(tuple(pair[place]["prove"] for pair in found)) for place in (0, 1)]
        opened = [Timing(tuple(pair[place]["open"] + pair[place]["prove"] for pair in found)) for place in (0, 1)]
        name = f"{kind}, cold, {size:,} leaves, against pymerkle"
        rows += [
            cost(SUBJECT, name, alone[0], alone[1], "ms", target=Target("≥", 100), faster=True),
            cost(SUBJECT, f"{name}, opening included", opened[0], opened[1], "ms", faster=True),
        ]
    return rows


def _growth(paths: dict[int, Path], rounds: int) -> list[Row]:
    """Return the rows that compare an append and a proof in each log with the same in the smallest."""
    sizes = sorted(paths)
    logs = [scene.reopen(paths[size]) for size in sizes]
    requests = [[[scene.request() for _ in range(BATCH)] for _ in range(rounds)] for _ in logs]
    chosen = random.Random(1)
    places = [[chosen.randrange(size) for _ in range(64)] for size in sizes]
    try:
        appends = alternate(
            rounds,
            BATCH,
            *(
                lambda number, log=log, mine=mine: register(log, mine[number])
                for log, mine in zip(logs, requests, strict=True)
            ),
        )
        proofs = alternate(
            rounds,
            len(places[0]),
            *(
                lambda _, log=log, size=size, mine=mine: _prove(log, size, mine)
                for log, size, mine in zip(logs, sizes, places, strict=True)
            ),
        )
    finally:
        for log in logs:
            log.close()
    rows: list[Row] = []
    for what, timings in ((f"append, batch of {BATCH}", appends), ("inclusion proof", proofs)):
        for size, timing in list(zip(sizes, timings, strict=True))[1:]:
            # Flat, or as the logarithm grows.
            bound = round(len(f"{size:b}") / len(f"{sizes[0]:b}"), 2)
            name = f"{what}, {size:,} leaves, against {sizes[0]:,}"
            rows.append(cost(SUBJECT, name, timing, timings[0], "µs", target=Target("≤", bound), statistic="best"))
    return rows


def _prove(log: BlockingLog, size: int, places: list[int]) -> None:
    for place in places:
        log.inclusion(place, size)
