"""The same on the wire to PostgreSQL: the connection ends after so many bytes, or before COMMIT is answered."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

from exequatur_log.log import Log
from exequatur_log.storage.place import Postgres
from tests.faults import victim
from tests.faults.judge import Promises, judge
from tests.faults.logs import requests
from tests.faults.trial import Found, Place
from tests.log import scene
from tests.support.proxy import End, Plan, Proxy

FAULTS: Final = {"reset": End.RESET, "close": End.CLOSE, "half-close": End.HALF}
# Odd, so that it meets messages at their ends and in their middles.
_SENT: Final = 149
_ANSWERED: Final = 37
_COMMIT: Final = b"COMMIT\0"


def run(direct: Postgres, proxied: Postgres, proxy: Proxy) -> Found:
    """Cut the connection of a log wherever a batch can be cut, and return the outcomes; all is judged at last."""
    promises = Promises()
    with scene.create(direct) as log:
        head = log.head()
        promises.head(head.size, head.root)
    found = asyncio.run(_cut(proxied, proxy, promises))
    judge(direct, promises)
    return found


async def _cut(place: Postgres, proxy: Proxy, promises: Promises) -> Found:
    found: Found = {}
    async with await Log.open(place, scene.KEYS, clock=lambda: scene.NOW) as log:
        attempts = victim.count_attempts(log)
        promises.hear(await _register(log))
        for fault, end in FAULTS.items():
            for row, plans in _plans(end):
                outcomes = found.setdefault((row, fault), set())
                for plan in plans:
                    attempts.clear()
                    before = proxy.spoiled
                    proxy.spoil(plan)
                    told = await _register(log)
                    proxy.spoil(Plan())
                    promises.hear(told)
                    if proxy.spoiled == before:
                        # The whole batch passes before the connection would be cut.
                        assert plan.after is None
                        break
                    outcomes.add(victim.word(told[-1][1], attempts))
    return found


def _plans(end: End) -> Iterator[tuple[Place, Iterator[Plan]]]:
    yield Place("the batch", "cut on its way"), (Plan(sent=size, end=end, times=1) for size in count(0, _SENT))
    yield (
        Place("the answers", "cut on their way back"),
        (Plan(answered=size, end=end, times=1) for size in count(0, _ANSWERED)),
    )
    yield Place("COMMIT", "done, its answer withheld"), iter([Plan(after=_COMMIT, end=end, times=1)])


async def _register(log: Log) -> list[tuple[str, Sequence[object]]]:
    batch = requests(2)
    return [("sent", batch), ("answered", await log.register_many(batch))]
