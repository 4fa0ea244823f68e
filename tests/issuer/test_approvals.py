"""Approvals: who may give them, which count, and what an artifact that rests on them says."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.approvals import sign_approval, usable
from exequatur_issuer.asked import Asked
from exequatur_issuer.replay import collect, replay
from exequatur_verifier import bundle, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.memory import Clock
from exequatur_verifier.records import Approval, Authorization, Decision, Kind, Link
from exequatur_verifier.statement import Statement
from exequatur_verifier.trust import ApprovalTrust, Issuer
from exequatur_verifier.verdict import Code
from exequatur_verifier.verify import verify
from tests.issuer.house import NOW, House, with_rules
from tests.issuer.ledger import ACTIONS, AUTHORITY, REQUESTER, MemoryLog
from tests.support import world

APPROVER = "urn:exequatur:approver:test"
ASKS = '@id("asks") @require_approval("{}") @uses("5") @ttl("1h") permit (principal, action, resource);'


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, MemoryLog(), with_rules(ASKS.format(1)))


def approve(house: House, asked: Asked, by: str = "approver", **more: Any) -> Statement:
    """Register an approval of a request, and return it."""
    request = statement.parse(asked.request)
    fields = {"iss": f"{APPROVER}:{by}", "scope": "once", "uses": 1, "expires": NOW + 600, "now": NOW, **more}
    entry = sign_approval(request, world.signer(by), unique=house.unique(), **fields)
    house.log.register([entry])
    return statement.parse(entry)


def artifact_of(data: bytes) -> Statement:
    return statement.parse_transparent(bundle.decode(data).artifact)[0]


def test_an_approved_request_becomes_an_artifact_that_the_kernel_admits(house: House) -> None:
    # A-25 A-06 A-07
    asked = house.asked()
    assert house.refuse(asked).code == "APPROVAL_MISSING"
    approval = approve(house, asked)
    issued = house.issue(asked, NOW + 1)
    artifact = artifact_of(issued.bundle)
    assert isinstance(artifact.record, Authorization)
    assert Link("approval", approval.id) in artifact.record.links
    # Policy grants five uses and an hour; the approval is for one use and ten minutes.
    assert (artifact.record.uses, artifact.record.approvals, artifact.claims.exp) == (1, 1, NOW + 600)
    approver = Issuer(f"{APPROVER}:approver", (world.signer("approver").public_key,), ACTIONS)
    trust = house.trust()._replace(approvers=(approver,), approvals=ApprovalTrust({"process.exec": 1}))
    verdict = verify(issued.bundle, world.COMMAND, world.FACTS, trust, None, (), Clock(NOW + 1))
    assert verdict.code is None, verdict.failure
    assert house.verify(issued.bundle, now=NOW + 1).code is Code.APPROVAL_INVALID
    # Who sends it again gets that very bundle.
    assert house.issue(asked, NOW + 2) == issued
    outcomes = [item.record.outcome for item in house.logged(artifact.claims.sub) if isinstance(item.record, Decision)]
    assert outcomes == ["needs-approval", "allow"]


def test_both_decisions_are_replayed(house: House) -> None:
    #
    asked = house.asked()
    house.refuse(asked)
    approval = approve(house, asked)
    house.issue(asked, NOW + 1)
    cases = list(collect(house.log.statements(), house.find))
    assert [item.result for item in replay(cases, house.folder / "content")] == ["equal", "equal"]
    without = [case._replace(approvals=()) for case in cases]
    assert [item.result for item in replay(without, house.folder / "content")] == ["equal", "different"]
    lost = collect(house.log.statements(), lambda wanted: None if wanted == approval.id else house.find(wanted))
    assert [item.result for item in replay(list(lost), house.folder / "content")] == ["equal", "not-replayable"]


def test_as_many_as_policy_asks_for(tmp_path: Path) -> None:
    #
    house = House(tmp_path, MemoryLog(), with_rules(ASKS.format(2)))
    asked = house.asked()
    assert house.refuse(asked).approvals == 2
    approve(house, asked)
    assert house.refuse(asked, NOW + 1).code == "APPROVAL_MISSING"
    # The same approver again is the same approver.
    approve(house, asked, scope="uses", uses=4)
    assert house.refuse(asked, NOW + 1).code == "APPROVAL_MISSING"
    approve(house, asked, "second", scope="until", uses=0, expires=NOW + 300)
    record = artifact_of(house.issue(asked, NOW + 1).bundle)
    assert record.claims.exp == NOW + 300
    # What did not suffice changed nothing: one decision waits, one allows.
    assert [item.kind for item in house.logged(record.claims.sub)].count(Kind.DECISION) == 2


@pytest.mark.parametrize(
    ("scope", "uses", "granted"), [("once", 1, 1), ("uses", 3, 3), ("uses", 9, 5), ("until", 0, 5)]
)
def test_uses_are_the_least_of_policy_and_approval(house: House, scope: str, uses: int, granted: int) -> None:
    #
    asked = house.asked()
    house.refuse(asked)
    approve(house, asked, scope=scope, uses=uses)
    record = artifact_of(house.issue(asked, NOW + 1).bundle).record
    assert isinstance(record, Authorization)
    assert record.uses == granted


def test_an_approval_of_another_request_is_no_approval_of_this(house: House) -> None:
    #
    asked, other = house.asked(), house.asked()
    house.refuse(asked)
    house.refuse(other)
    approve(house, other)
    assert house.refuse(asked, NOW + 1).code == "APPROVAL_MISSING"
    assert house.issue(other, NOW + 1)


def test_an_expired_approval_counts_no_more(house: House) -> None:
    #
    asked = house.asked()
    house.refuse(asked)
    approve(house, asked, expires=NOW + 10)
    assert house.refuse(asked, NOW + 10).code == "APPROVAL_MISSING"


def test_the_authority_does_not_consent_to_itself(house: House) -> None:
    #
    asked = house.asked()
    house.refuse(asked)
    approve(house, asked, "authority")
    approve(house, asked, "second", iss=AUTHORITY)
    assert house.refuse(asked, NOW + 1).code == "APPROVAL_MISSING"


@pytest.mark.parametrize(
    "change", [{"by": "requester"}, {"iss": REQUESTER}, {"uses": 2}, {"scope": "task"}, {"expires": NOW}]
)
def test_what_would_count_for_nothing_is_not_signed(house: House, change: dict[str, Any]) -> None:
    #
    with pytest.raises(ValueError, match="approv"):
        approve(house, house.asked(), **change)


def test_only_a_request_is_approved(house: House) -> None:
    with pytest.raises(MalformedError, match="policy"):
        sign_approval(
            house.policy.statement,
            world.signer("approver"),
            iss=APPROVER,
            scope="once",
            uses=1,
            expires=NOW + 1,
            now=NOW,
            unique=bytes(16),
        )


def test_a_policy_that_forbids_meanwhile_is_heeded(house: House) -> None:
    #
    asked = house.asked()
    house.refuse(asked)
    approve(house, asked)
    forbidding = house.publish(with_rules(ASKS.format(1) + '\n@id("no") forbid (principal, action, resource);'))
    house.authority = house.open(policy=forbidding)
    assert house.refuse(asked, NOW + 1).code == "POLICY_FORBID"
    # That answer stands: approvals do not bring it back.
    assert house.refuse(asked, NOW + 2).code == "POLICY_FORBID"


def test_others_do_not_make_a_list_of_approvals_count(house: House) -> None:
    #
    asked = house.asked()
    request = statement.parse(asked.request)
    approval = approve(house, asked)
    record = approval.record
    assert isinstance(record, Approval)
    assert usable(request, [approval], NOW) == (approval,)
    for changed in (
        approval._replace(record=record._replace(commitment=bytes(32))),
        approval._replace(record=record._replace(scope="task")),
        approval._replace(record=record._replace(links=(Link("request", bytes(32)),))),
        approval._replace(claims=approval.claims._replace(sub="urn:x:other")),
        approval._replace(claims=approval.claims._replace(iss=REQUESTER)),
        approval._replace(key_id=request.key_id),
    ):
        assert usable(request, [changed], NOW) == ()
