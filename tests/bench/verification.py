"""Verification: ``verify()`` of one bundle against the raw checks of just the signatures that it checked.

Every bundle is verified once, so nothing of it is known from before but the policy record, which stands behind
all of them as it does in reality. *Head seen*: the runtime remembers the head and the policy, and only the
issuer's signature is left to check.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exequatur_verifier.memory import Clock, Memory
from exequatur_verifier.trust import Trust
from exequatur_verifier.verdict import Verdict
from exequatur_verifier.verify import verify
from tests.bench import deep, raw
from tests.bench.rounds import alternate, over
from tests.bench.table import Row, Target, cost
from tests.support import world

SUBJECT = f"verify() of a bundle, path of {deep.DEPTH} hashes"
COUNT = 16  # bundles a round


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of ``verify()``."""
    rounds = 4 if quick else 20
    plain, witnessed = (deep.trust(witnessed=flag) for flag in (False, True))

    def cold(number: int, flag: bool) -> list[bytes]:
        return [deep.bundles(number * COUNT + index, 1, witnessed=flag)[0] for index in range(COUNT)]

    head = deep.bundles(-1, 64 if quick else 256, witnessed=False)
    learned = _verdict(head[0], plain, None).learned
    known = world.memory(*learned.heads, policies={policy.id: policy for policy in (learned.policy,) if policy})
    return [
        _compare("cold: 3 signatures", 3, 1.6, plain, None, [cold(number, False) for number in range(rounds)]),
        _compare(
            "cold, with checkpoint and one witness: 5 signatures",
            5,
            1.6,
            witnessed,
            None,
            [cold(rounds + number, True) for number in range(rounds)],
        ),
        _compare(
            "head seen: 1 signature",
            1,
            2.5,
            plain,
            known,
            [head[start : start + COUNT] for start in range(0, len(head), COUNT)],
        ),
    ]


def _compare(
    name: str, signatures: int, bound: float, trust: Trust, memory: Memory | None, batches: list[list[bytes]]
) -> Row:
    works: list[list[Callable[[], object]]] = []
    checks: list[list[Callable[[], object]]] = []
    for batch in batches:
        works.append([partial(_verdict, data, trust, memory) for data in batch])
        made = [raw.checks_in(partial(_verdict, data, trust, memory)) for data in batch]
        assert all(len(one) == signatures for one in made)
        checks.append([check for one in made for check in one])
    ours, bare = alternate(len(batches), COUNT, over(works), over(checks), clock=time.thread_time)
    return cost(SUBJECT, name, ours, bare, "µs", target=Target("≤", bound), statistic="best")


def _verdict(data: bytes, trust: Trust, memory: Memory | None) -> Verdict:
    verdict = verify(data, world.COMMAND, world.FACTS, trust, memory, (), Clock(world.NOW + 1))
    assert verdict.code is None, verdict.failure
    return verdict
