"""Quotas: how many statements a second each key may register, as token buckets (specs/10 §6).

A quota is asked after it is known that the record is new, so a retry always gets its receipt (specs/03 L-05). It is
this process's own: frontends of one log each grant it.
"""

from typing import Final, NamedTuple

_MAX_KEPT: Final = 65_536


class Rate(NamedTuple):
    """``per_second`` in the long run, ``burst`` at once."""

    per_second: float
    burst: float


class Quota:
    """The buckets of the keys that were seen of late; a full bucket is not kept, so memory is bounded by the busy."""

    def __init__(self, rate: Rate) -> None:
        if rate.per_second <= 0 or rate.burst < 1:
            raise ValueError("a quota grants something each second, and at least one statement at once")
        self._rate = rate
        # Key id: tokens left, at what time. In the order of that time.
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, key_id: bytes, now: float) -> float | None:
        """Take one statement's worth; return ``None``, or the seconds until there is one again.

        ``now``: a monotonic clock, in seconds.
        """
        left, then = self._buckets.pop(key_id, (self._rate.burst, now))
        left = min(self._rate.burst, left + (now - then) * self._rate.per_second)
        if left < 1:
            self._buckets[key_id] = (left, now)
            return (1 - left) / self._rate.per_second
        self._buckets[key_id] = (left - 1, now)
        if len(self._buckets) > _MAX_KEPT:
            self._forget(now)
        return None

    def _forget(self, now: float) -> None:
        """Let go of the buckets that are full again, which say nothing, and of the oldest beyond the bound."""
        filling = self._rate.burst / self._rate.per_second
        for key_id, (_, then) in list(self._buckets.items()):
            if now - then < filling and len(self._buckets) <= _MAX_KEPT:
                break
            del self._buckets[key_id]
