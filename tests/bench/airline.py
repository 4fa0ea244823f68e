"""The 577 calls that a model made at an airline's desk: the whole chain, and the share of each stage of it.

    request     the requester signs what it intends
    authority   Cedar decides, decision and artifact are signed, journal and content store are written
    log         both registrations: checked, durable, provable
    verify      the runtime's verdict on each bundle, offline and without memory

Once as one batch, and again one call after the other, as an agent makes them. The raw work is every signature
that this makes and every check of one, in one thread, and nothing else.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from exequatur_issuer import policyset
from exequatur_issuer.authorize import Asked, Issued
from exequatur_issuer.log import Refusal, Registered, Standing
from exequatur_verifier import cose, verify
from exequatur_verifier.action import parse_json_arguments
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Clock
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.statement import Statement
from exequatur_verifier.trust import Trust
from tests.airline.corpus import DESK, POLICY, calls
from tests.bench import raw
from tests.bench.rounds import Timing
from tests.bench.table import Row, cost
from tests.data import DATA
from tests.issuer.house import NOW, House
from tests.issuer.ledger import RealLog
from tests.support import world

SUBJECT = "577 calls of a model, request to verdict"
_CONFIRMED: Final = {"confirmed": True}
SCHEME: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class TimedLog(RealLog):
    """The product's log, which notes how long its registrations took."""

    seconds = 0.0

    def register(self, statements: Sequence[bytes]) -> list[Registered | Standing | Refusal]:
        begun = time.perf_counter()
        try:
            return super().register(statements)
        finally:
            self.seconds += time.perf_counter() - begun


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of the corpus; none where the shared data is absent."""
    if not DATA.is_dir():
        return []
    log = TimedLog(folder / "log.db")
    try:
        desk = House(folder, log, policyset.read(POLICY))
        descriptors: list[dict[str, Any]] = [
            {"type": "mcp.tool", "name": call.tool, "resource": DESK, "args": parse_json_arguments(call.arguments)}
            for call in calls()
        ]
        return [*_batch(desk, log, descriptors), *_singles(desk, log, descriptors[: 40 if quick else 200])]
    finally:
        log.close()


def _batch(desk: House, log: TimedLog, descriptors: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows of all calls as one batch: the whole, and each stage with its share of it as the ratio."""
    trust, before, log.seconds = desk.trust(), len(log.statements()), 0.0
    marks = [time.perf_counter()]
    asked = [desk.asked(descriptor, {}, claims=_CONFIRMED) for descriptor in descriptors]
    marks.append(time.perf_counter())
    answers = desk.authority.authorize_many(asked, now=NOW)
    marks.append(time.perf_counter())
    registering = log.seconds
    pairs = zip(asked, answers, strict=True)
    verdicts = [partial(_judge, trust, one, answer) for one, answer in pairs if isinstance(answer, Issued)]
    for verdict in verdicts:
        verdict()
    marks.append(time.perf_counter())
    requesting, authorizing, verifying = (end - start for start, end in pairwise(marks))
    bare = _bare(log.statements()[before:], verdicts)
    count, total = len(asked), marks[-1] - marks[0]
    stages = {
        "request": requesting,
        "authority": authorizing - registering,
        "log": registering,
        "verify": verifying,
    }
    whole = cost(
        SUBJECT,
        "a call, all in one batch, against its signatures and checks",
        Timing((total / count,)),
        Timing((bare / count,)),
        "ms",
        statistic="once",
    )
    return [
        whole,
        *(
            Row(SUBJECT, f"    {name}, and its share", spent / count * 1e3, None, "ms", spent / total, None, "once")
            for name, spent in stages.items()
        ),
        Row(SUBJECT, f"all {count} calls", total, bare, "s", total / bare, None, "once"),
    ]


def _singles(desk: House, log: TimedLog, descriptors: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows of calls that are made one after the other, each answered before the next."""
    trust, before = desk.trust(), len(log.statements())
    spent: list[float] = []
    verdicts: list[Callable[[], None]] = []
    for descriptor in descriptors:
        begun = time.perf_counter()
        asked = desk.asked(descriptor, {}, claims=_CONFIRMED)
        answer = desk.answer(asked)
        if isinstance(answer, Issued):
            _judge(trust, asked, answer)
            verdicts.append(partial(_judge, trust, asked, answer))
        spent.append(time.perf_counter() - begun)
    bare = Timing((_bare(log.statements()[before:], verdicts) / len(descriptors),) * len(spent))
    name = "a call, one after the other, against its signatures and checks"
    return [
        cost(SUBJECT, name, Timing(tuple(spent)), bare, "ms", statistic="p50"),
        cost(SUBJECT, name, Timing(tuple(spent)), bare, "ms", statistic="p99"),
    ]


def _judge(trust: Trust, asked: Asked, answer: Issued) -> None:
    verdict = verify(answer.bundle, asked.descriptor, Facts(), trust, None, (), Clock(NOW))
    assert verdict.code is None, verdict.failure


def _bare(statements: Sequence[Statement], verdicts: Sequence[Callable[[], None]]) -> float:
    """Return the seconds that these signatures take: each made once and checked by the log, and those of verdicts."""
    signers = {key.public_key.thumbprint: key for key in map(world.signer, ("requester", "authority"))}
    signed = [signing(item, signers[item.key_id]) for item in statements]
    registered = [raw.check_of(item, signers[item.key_id].public_key) for item in statements]
    verified = list(chain.from_iterable(raw.checks_in(verdict) for verdict in verdicts))
    begun = time.perf_counter()
    for call in (*signed, *registered, *verified):
        call()
    return time.perf_counter() - begun


def signing(statement: Statement, signer: LocalSigner) -> Callable[[], object]:
    """Return the signature of a statement as a raw one."""
    message = statement.message
    key: Any = signer._key
    return partial(key.sign, cose.signed_bytes(message.protected, message.payload or b""), SCHEME)
