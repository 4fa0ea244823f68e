"""The tally of a load, and the report that is made of it: how much, how fast, how often again, and what was wrong."""

from array import array
from collections import Counter
from statistics import quantiles
from typing import NamedTuple

from .violation import Violation


class Latency(NamedTuple):
    """From a request to its answer, in milliseconds, the wait for this client's own work included."""

    answers: int
    p50: float
    p90: float
    p99: float
    longest: float


class Tally:
    """What is counted while the load runs, until there are ``most`` violations.

    acknowledged   records, at their first answer         duplicates   answers to what was acknowledged before
    disconnected   requests without a whole answer        pushed_back  answers 429 and 502 to 504
    unanswered     requests that were given up
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.acknowledged = 0
        self.duplicates = 0
        self.disconnected = 0
        self.pushed_back = 0
        self.unanswered = 0
        self.checks: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self._took: dict[str, array[float]] = {}

    def took(self, name: str, seconds: float) -> None:
        """Note how long an answer took to a request of that name."""
        self._took.setdefault(name, array("d")).append(seconds)

    def found(self, violation: Violation) -> None:
        """Note a violation."""
        if not self.enough:
            self.violations.append(violation)

    @property
    def enough(self) -> bool:
        """Say whether as many violations as were wanted are found."""
        return len(self.violations) >= self.most

    def latencies(self) -> dict[str, Latency]:
        """Return the latencies of each name of a request."""
        return {name: _latency(seconds) for name, seconds in sorted(self._took.items())}


class Report(NamedTuple):
    """What came of a load. ``whole`` says that the whole log was read back at the end, up to ``size``."""

    origin: str
    seed: int
    seconds: float
    acknowledged: int
    duplicates: int
    per_second: float
    disconnected: int
    pushed_back: int
    unanswered: int
    checks: dict[str, int]
    heads: int
    whole: bool
    size: int
    root: bytes
    latencies: dict[str, Latency]
    violations: tuple[Violation, ...]

    def to_object(self) -> dict[str, object]:
        """Return the report as an object for JSON."""
        return {
            "ok": self.whole and not self.violations,
            **self._asdict(),
            "latencies": {name: found._asdict() for name, found in self.latencies.items()},
            "violations": [violation.to_object() for violation in self.violations],
        }


def _latency(seconds: "array[float]") -> Latency:
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    p50, p90, p99 = (round(1000 * cuts[place - 1], 3) for place in (50, 90, 99))
    return Latency(len(seconds), p50, p90, p99, round(1000 * max(seconds), 3))
