"""Proofs: the first one of a fresh process, ours and pymerkle's, over the same million entries; and how cost grows.

Both are asked for the same proof of the same tree from a database that they have just opened; what the system
keeps of either file in memory stays there, which favours whoever reads more. The process and its imports are
not counted; opening is, in a row of its own.
"""

import random
import time
from functools import partial
from pathlib import Path

from tests.bench import fresh, wide
from tests.bench.registration import register
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, cost
from tests.data import ROOT
from tests.log import scene
from tests.oracles.environment import interpreter

SUBJECT = "proofs and appends in large logs"
BATCH = 256
_PROOFS = 64
_GOAL = 1_000_000  # the size for which there is a target: pymerkle's proof costs as much as its tree is large


def measure(folder: Path, *, quick: bool, large: bool = False) -> list[Row]:
    """Return the rows of proofs; if ``large``, up to ten million leaves."""
    sizes = [1_000, 10_000, 50_000] if quick else [10_000, 100_000, 1_000_000]
    logs = wide.grow(folder, [*sizes, *([10_000_000] if large else [])])
    cold = _cold(folder, logs[sizes[-1]], sizes[-1], 2 if quick else 3)
    return cold + _growth(logs, 4 if quick else 12) + _memory(logs)


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
        target = Target("≥", 100) if size >= _GOAL else None
        name = f"{kind}, cold, {size:,} leaves, against pymerkle"
        rows += [
            cost(SUBJECT, name, alone[0], alone[1], "ms", target=target, faster=True),
            cost(SUBJECT, f"{name}, opening included", opened[0], opened[1], "ms", faster=True),
        ]
    return rows


def _growth(paths: dict[int, Path], rounds: int) -> list[Row]:
    """Return the rows that compare an append and a proof in each log with the same in the smallest."""
    sizes = sorted(paths)
    logs = {size: scene.reopen(paths[size]) for size in sizes}
    # Each log takes the same ones.
    requests = [[scene.request() for _ in range(BATCH)] for _ in range(rounds)]
    chosen = random.Random(1)
    places = {size: [chosen.randrange(size) for _ in range(_PROOFS)] for size in sizes}

    def append(size: int, number: int) -> None:
        register(logs[size], requests[number])

    def prove(size: int, _: int) -> None:
        for place in places[size]:
            logs[size].inclusion(place, size)

    try:
        appends = alternate(rounds, BATCH, *(partial(append, size) for size in sizes))
        # A proof waits for no disk, so its cost is what all threads together compute for it.
        proofs = alternate(rounds, _PROOFS, *(partial(prove, size) for size in sizes), clock=time.process_time)
    finally:
        for log in logs.values():
            log.close()
    rows: list[Row] = []
    for what, timings in ((f"append, batch of {BATCH}", appends), ("inclusion proof", proofs)):
        for size, timing in list(zip(sizes, timings, strict=True))[1:]:
            # Flat, or as the logarithm grows.
            bound = round(len(f"{size:b}") / len(f"{sizes[0]:b}"), 2)
            name = f"{what}, {size:,} leaves, against {sizes[0]:,}"
            rows.append(cost(SUBJECT, name, timing, timings[0], "µs", target=Target("≤", bound), statistic="best"))
    return rows


def _memory(paths: dict[int, Path]) -> list[Row]:
    """Return the rows that compare the most memory that a fresh process needs to register and prove."""
    peaks = {size: fresh.run("register", path)["peak"] for size, path in paths.items()}
    least = min(peaks)
    return [
        Row(
            SUBJECT,
            f"most memory, registering and proving, {size:,} leaves, against {least:,}",
            peak,
            peaks[least],
            "MB",
            peak / peaks[least],
            Target("≤", 1.1),
            "once",
        )
        for size, peak in peaks.items()
        if size != least
    ]
