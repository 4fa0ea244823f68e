"""Rounds: what is compared runs by turns, so that a clock that drifts, or a neighbour, meets both alike.

    timings = alternate(rounds, count, ours, raw)

Each work runs once a round, in an order that turns over from round to round, and is handed the round's number;
what it needs is made beforehand. A timing keeps the seconds per operation of every round. Of those the *best*
says what the work costs when nothing disturbs it, and the *median* what it costs here and now; each row of the
table names the one it shows. A ratio is always of two figures of the same statistic and the same rounds.
"""

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Literal, NamedTuple

Statistic = Literal["best", "median", "p50", "p99", "once"]
Work = Callable[[int], object]


class Timing(NamedTuple):
    """Seconds per operation, by round."""

    seconds: tuple[float, ...]

    def value(self, statistic: Statistic) -> float:
        """Return one figure for all rounds; with fewer than 100 of them, ``p99`` is an extrapolation."""
        if statistic == "best":
            return min(self.seconds)
        if statistic == "p99":
            return quantiles(self.seconds, n=100, method="inclusive")[98]
        return median(self.seconds)


def alternate(rounds: int, count: int, *works: Work, clock: Callable[[], float] = time.perf_counter) -> list[Timing]:
    """Run each work once a round, each time for ``count`` operations, and return a timing for each.

    With ``time.thread_time`` as ``clock`` a work that only computes, in one thread, is charged for what it computes
    and not for what a busy machine made it wait; with ``time.process_time``, one in several threads.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        turn = range(len(works)) if number % 2 == 0 else range(len(works) - 1, -1, -1)
        for place in turn:
            # What an earlier work left behind is not for this one to clean up; its own is, as in real use.
            gc.collect()
            begun = clock()
            works[place](number)
            seconds[place].append((clock() - begun) / count)
    return [Timing(tuple(item)) for item in seconds]


def over(items: Sequence[Sequence[Callable[[], object]]]) -> Work:
    """Return the work that calls, in round n, everything in ``items[n]``."""

    def work(number: int) -> None:
        for call in items[number]:
            call()

    return work
