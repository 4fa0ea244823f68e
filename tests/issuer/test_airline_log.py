"""577 calls of a real model, end to end: request, decision, artifact, a real log, the kernel's verdict, replay."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import policyset
from exequatur_issuer.authorize import Asked, Issued, Refused
from exequatur_issuer.replay import collect, replay
from exequatur_verifier import statement
from exequatur_verifier.action import parse_json_arguments
from exequatur_verifier.constraints import Facts
from exequatur_verifier.records import Kind, Request
from tests.airline.corpus import CHANGES, DESK, POLICY, calls
from tests.data import requires_data
from tests.issuer.house import NOW, House
from tests.issuer.ledger import RealLog

CONFIRMED = {"confirmed": True}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[House]:
    log = RealLog(tmp_path / "log.db")
    yield House(tmp_path, log, policyset.read(POLICY))
    log.close()


def descriptors() -> list[dict[str, Any]]:
    return [
        {"type": "mcp.tool", "name": call.tool, "resource": DESK, "args": parse_json_arguments(call.arguments)}
        for call in calls()
    ]


def drive(desk: House, claims: dict[str, Any]) -> list[tuple[Asked, Issued | Refused]]:
    asked = [desk.asked(descriptor, {}, claims=claims) for descriptor in descriptors()]
    return list(zip(asked, desk.authority.authorize_many(asked, now=NOW), strict=True))


def check(desk: House, answers: list[tuple[Asked, Issued | Refused]]) -> None:
    """Check that each bundle is admissible, that every record is in the log, and that every decision replays equal."""
    for asked, answer in answers:
        if isinstance(answer, Issued):
            verdict = desk.verify(answer.bundle, asked.descriptor, Facts())
            assert verdict.code is None, (asked.descriptor, verdict.failure)
        else:
            assert answer.decision is not None
    logged = desk.log.statements()
    kinds = Counter(item.kind for item in logged)
    issued = sum(isinstance(answer, Issued) for _, answer in answers)
    assert (kinds[Kind.REQUEST], kinds[Kind.DECISION], kinds[Kind.AUTHORIZATION]) == (577, 577, issued)
    by_id = {item.id: item.entry for item in logged}
    replayed = Counter(item.result for item in replay(list(collect(logged, by_id.get)), desk.folder / "content"))
    assert replayed == {"equal": 577}


@requires_data
def test_unconfirmed_every_change_is_denied_and_logged(desk: House) -> None:
    answers = drive(desk, {})
    for asked, answer in answers:
        if asked.descriptor["name"] in CHANGES:
            assert isinstance(answer, Refused)
            assert answer.code == "POLICY_FORBID"
            assert "forbid change-is-confirmed: Nothing is changed before the traveller has confirmed it." in (
                answer.explanation
            )
        else:
            assert isinstance(answer, Issued)
    assert Counter(type(answer).__name__ for _, answer in answers) == {"Issued": 454, "Refused": 123}
    check(desk, answers)


@requires_data
def test_confirmed_calls_are_authorized_but_for_seven(desk: House) -> None:
    answers = drive(desk, CONFIRMED)
    assert Counter(type(answer).__name__ for _, answer in answers) == {"Issued": 570, "Refused": 7}
    for asked, answer in answers:
        if isinstance(answer, Issued):
            ttl = 120 if asked.descriptor["name"] in CHANGES else 300
            assert (answer.expires, answer.uses) == (NOW + ttl, 1)
    check(desk, answers)


@requires_data
@pytest.mark.parametrize("part", ["sources", "entities", "request"])
def test_one_flipped_input_names_the_decisions_that_rest_on_it(desk: House, part: str) -> None:
    #
    asked = [desk.asked(descriptor, {}, claims=CONFIRMED) for descriptor in descriptors()[:3]]
    desk.authority.authorize_many(asked, now=NOW)
    record = statement.parse(asked[1].request).record
    assert isinstance(record, Request)
    digest = record.action.commitment if part == "request" else desk.policy.record._asdict()[part]
    path = desk.folder / "content" / digest.hex()[:2] / digest.hex()[2:]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    logged = desk.log.statements()
    decisions = [item.id for item in logged if item.kind is Kind.DECISION]
    results = replay(list(collect(logged, desk.find)), desk.folder / "content")
    named = [item.decision for item in results if (item.result, item.digest) == ("not-replayable", digest)]
    assert named == (decisions[1:2] if part == "request" else decisions)
    assert [item.result for item in results].count("equal") == len(decisions) - len(named)


@requires_data
def test_a_bundle_for_one_call_is_none_for_another(desk: House) -> None:
    first, second = (desk.asked(descriptor, {}, claims=CONFIRMED) for descriptor in descriptors()[:2])
    issued = desk.issue(first)
    assert desk.verify(issued.bundle, first.descriptor, Facts()).code is None
    assert str(desk.verify(issued.bundle, second.descriptor, Facts()).code) == "Code.ACTION_MISMATCH"
    assert statement.parse(first.request).claims.sub == issued.subject
