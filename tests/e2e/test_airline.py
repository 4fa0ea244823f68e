"""577 calls of a real model through a whole home: request, decision, artifact, log, gate, recorded outcome, audit."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest

from exequatur_cli.audit import audit
from exequatur_cli.home import Home, now, unique
from exequatur_gate import records
from exequatur_gate.gate import Gate
from exequatur_issuer import policyset, publish
from exequatur_issuer.authorize import Asked, Issued, Refused
from exequatur_verifier import statement
from exequatur_verifier.action import parse_json_arguments
from exequatur_verifier.constraints import Facts
from exequatur_verifier.records import Kind, Outcome
from exequatur_verifier.statement import Statement
from tests.airline.corpus import CHANGES, DESK, POLICY, calls
from tests.data import requires_data
from tests.support.founded import ask

# So many calls are asked about at once, that none expires before its turn comes on a slow machine.
TOGETHER = 100


@pytest.fixture
def desk(opened: Home) -> Home:
    """A home whose newest policy is the desk's."""
    previous = opened.log.newest_policy(opened.settings.policy_set)
    assert previous is not None

    opened.log.register(
        publish.publish(
            policyset.read(POLICY),
            opened.signer("owner"),
            opened.content,
            name=opened.settings.policy_set,
            iss=opened.settings.owner.iss,
            previous=statement.parse(previous.statement),
            now=now(),
            unique=unique(),
        )
    )
    return opened


def asked(desk: Home, called: Iterable[tuple[str, Any]], claims: dict[str, Any]) -> Iterator[Asked]:
    """Yield a request for each tool that is called with these arguments."""
    signer = desk.signer("requester")
    for tool, arguments in called:
        descriptor = {"type": "mcp.tool", "name": tool, "resource": DESK, "args": arguments}
        yield ask(desk, descriptor, {}, signer=signer, claims=claims)


def drive(desk: Home, claims: dict[str, Any]) -> list[tuple[Asked, Issued | Refused]]:
    """Ask about every call, and let the gate admit what was issued and record that nobody executed it."""
    answered: list[tuple[Asked, Issued | Refused]] = []
    waiting = asked(desk, ((call.tool, parse_json_arguments(call.arguments)) for call in calls()), claims)
    with desk.gate() as gate:
        while batch := list(islice(waiting, TOGETHER)):
            answers = desk.authority(now()).authorize_many(batch, now=now())
            pairs = list(zip(batch, answers, strict=True))
            record(gate, pairs)
            answered += pairs
        flushed = gate.flush()
    assert (flushed.refused, flushed.waiting) == (0, 0)
    return answered


def record(gate: Gate, answered: Sequence[tuple[Asked, Issued | Refused]]) -> None:
    for one, answer in answered:
        if isinstance(answer, Issued):
            decision = gate.decide(answer.bundle, one.descriptor, Facts())
            assert decision.permit is not None, decision.failure
            reservation = decision.permit.take()
            gate.settle(reservation, records.not_executed(reservation.verification))
            decision.permit.close()


def logged(desk: Home, kind: Kind) -> list[Statement]:
    return [statement.parse(entry.statement) for entry in desk.log.find(kind=kind, limit=1 << 20)]


@requires_data
@pytest.mark.parametrize(("claims", "issued"), [({}, 454), ({"confirmed": True}, 570)], ids=["absent", "present"])
def test_every_call_is_governed_recorded_and_replayed(desk: Home, claims: dict[str, Any], issued: int) -> None:
    answered = drive(desk, claims)
    assert Counter(type(answer) for _, answer in answered) == {Issued: issued, Refused: 577 - issued}
    for one, answer in answered:
        if not claims:
            assert isinstance(answer, Refused) == (one.descriptor["name"] in CHANGES)
        if isinstance(answer, Refused):
            assert answer.code == "POLICY_FORBID"
            assert answer.decision is not None
    outcomes = [item.record for item in logged(desk, Kind.OUTCOME)]
    assert Counter(item.status for item in outcomes if isinstance(item, Outcome)) == {"not-executed": issued}
    report = audit(desk.path)
    assert report.ok, report
    assert report.decisions == {"total": 577, "equal": 577}
    assert report.entries == {
        "authorization": issued, "decision": 577, "enrolment": 6, "outcome": issued, "policy": 2, "request": 577,
        "status": 1, "verification": issued,
    }  # fmt: skip


def test_permit_for_one_call_is_none_for_the_next(desk: Home) -> None:
    first, second = asked(desk, [("list_all_airports", {}), ("think", {"thought": "on it"})], {})
    answer, _ = desk.authority(now()).authorize_many([first, second], now=now())
    assert isinstance(answer, Issued)
    with desk.gate() as gate:
        denied = gate.decide(answer.bundle, second.descriptor, Facts())
        assert denied.failure is not None
        assert denied.failure.code is not None
        assert denied.failure.code.name == "ACTION_MISMATCH"
        record(gate, [(first, answer)])
        again = gate.decide(answer.bundle, first.descriptor, Facts())
        assert again.failure is not None
        assert again.failure.code is not None
        assert again.failure.code.name == "USES_EXHAUSTED"
        gate.flush()
    assert audit(desk.path).ok
