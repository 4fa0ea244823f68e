"""Approvals: a request that waits, who may approve it, and the one artifact that comes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import replay
from exequatur_issuer.approvals import WAITING_S, ApprovalError, sign_approval
from exequatur_issuer.asked import Awaited
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.journal import Journal
from exequatur_issuer.log import LogUnavailableError, Refusal
from exequatur_verifier import action, bundle, statement
from exequatur_verifier.records import Approval, Authorization, Decision, Kind, Link, Request
from exequatur_verifier.statement import Statement
from exequatur_verifier.verdict import Code
from tests.issuer.house import NOW, House, with_rules
from tests.issuer.ledger import AUTHORITY, REQUESTER, MemoryLog, RealLog, name_of
from tests.support import world

ONE = '@id("git") @require_approval("1") @ttl("10m") @uses("5") permit (principal, action, resource);'
TWO = ONE.replace('"1"', '"2"')


def under(tmp_path: Path, rules: str = ONE, **more: Any) -> House:
    return House(tmp_path, MemoryLog(), with_rules(rules), **more)


@pytest.fixture
def waiting(tmp_path: Path) -> House:
    """Return an authority that asks for one approval of everything."""
    return under(tmp_path)


def signed(request: bytes, by: str = "approver", **more: Any) -> Statement:
    given = {"iss": name_of(by), "now": NOW, "exp": NOW + 3600, "unique": bytes(16), **more}
    return statement.parse(sign_approval(statement.parse(request), world.signer(by), **given))


def artifact_of(issued: Issued) -> Statement:
    return statement.parse_transparent(bundle.decode(issued.bundle).artifact)[0]


def kinds(house: House, request: bytes) -> list[Kind]:
    return [item.kind for item in house.logged(statement.parse(request).claims.sub)]


# What waits.


def test_request_that_needs_approval_waits_and_says_for_what(waiting: House) -> None:
    #
    asked = waiting.asked()
    refused = waiting.refuse(asked)
    request = statement.parse(asked.request)
    assert isinstance(request.record, Request)
    assert refused.code == "APPROVAL_MISSING"
    assert refused.awaited == Awaited(request.id, request.record.action.commitment, 1, 0, NOW + WAITING_S)
    assert request.id.hex() in refused.detail
    assert refused.decision is not None
    logged = waiting.find(refused.decision)
    assert logged is not None
    record = statement.parse(logged).record
    assert isinstance(record, Decision)
    assert (record.outcome, record.code) == ("needs-approval", None)
    assert kinds(waiting, asked.request) == [Kind.REQUEST, Kind.DECISION]
    assert [row.request for row in waiting.journal.waiting(NOW)] == [request.id]
    # What opens the request is kept, for whoever is asked to approve it.
    assert waiting.content.get(request.record.action.commitment) == action.preimage(
        action.ACTION_TAG, asked.salt, action.encode(asked.descriptor)
    )


def test_asking_again_without_approvals_signs_nothing(waiting: House) -> None:
    #
    asked = waiting.asked()
    first = waiting.refuse(asked)
    size = len(waiting.log.statements())
    assert waiting.refuse(asked, now=NOW + 60) == first
    assert len(waiting.log.statements()) == size


def test_approved_request_is_decided_again_and_becomes_an_artifact(waiting: House) -> None:
    # A-31 A-32
    asked = waiting.asked()
    first = waiting.refuse(asked)
    approval = waiting.approve(asked, now=NOW + 5)
    issued = waiting.issue(asked, now=NOW + 10)
    artifact = artifact_of(issued)
    assert isinstance(artifact.record, Authorization)
    assert Link("approval", approval) in artifact.record.links
    assert artifact.record.approvals == 1
    assert issued.decision != first.decision
    entry = waiting.find(issued.decision)
    assert entry is not None
    decision = statement.parse(entry).record
    assert isinstance(decision, Decision)
    assert (decision.outcome, decision.now) == ("allow", NOW + 10)
    assert decision.links[2:] == (Link("approval", approval),)
    assert kinds(waiting, asked.request) == [
        Kind.REQUEST, Kind.DECISION, Kind.APPROVAL, Kind.DECISION, Kind.AUTHORIZATION
    ]  # fmt: skip
    verdict = waiting.verify(issued.bundle, now=NOW + 10)
    assert verdict.code is None, verdict.failure
    assert waiting.journal.waiting(NOW) == []


def test_the_same_on_the_products_own_log(tmp_path: Path) -> None:
    # A-31 A-33
    log = RealLog(tmp_path / "log.db")
    house = House(tmp_path, log, with_rules(TWO))
    asked = house.asked()
    assert house.refuse(asked).code == "APPROVAL_MISSING"
    house.approve(asked)
    refused = house.refuse(asked)
    assert refused.awaited is not None
    assert (refused.awaited.wanted, refused.awaited.given) == (2, 1)
    house.approve(asked, "second")
    issued = house.issue(asked)
    verdict = house.verify(issued.bundle)
    assert verdict.code is None, verdict.failure
    assert house.issue(asked) == issued
    log.close()


def test_asking_again_after_the_artifact_gives_the_same_bundle(waiting: House) -> None:
    # A-14 A-32
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    issued = waiting.issue(asked)
    waiting.approve(asked, "second")
    size = len(waiting.log.statements())
    assert waiting.issue(asked, now=NOW + 30) == issued
    assert waiting.open().authorize_many([asked, asked], now=NOW + 30) == [issued, issued]
    assert len(waiting.log.statements()) == size


def test_several_approvers_are_counted_by_their_keys(tmp_path: Path) -> None:
    #
    house = under(tmp_path, TWO)
    asked = house.asked()
    house.refuse(asked)
    # A log would refuse the second one of a key.
    house.approve(asked, ttl=3600)
    house.approve(asked, ttl=1800)
    refused = house.refuse(asked)
    assert refused.awaited is not None
    assert (refused.awaited.wanted, refused.awaited.given) == (2, 1)
    house.approve(asked, "second")
    issued = house.issue(asked)
    assert len([link for link in artifact_of(issued).record.links if link.relation == "approval"]) == 2
    assert house.verify(issued.bundle).code is None


def test_policy_record_can_demand_more_than_its_permits(tmp_path: Path) -> None:
    #
    house = under(tmp_path, ONE, approvals=2)
    asked = house.asked()
    refused = house.refuse(asked)
    assert refused.awaited is not None
    assert refused.awaited.wanted == 2
    house.approve(asked)
    house.approve(asked, "second")
    assert house.verify(house.issue(asked).bundle).code is None


def test_trust_can_ask_for_more_than_policy(waiting: House) -> None:
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    waiting.approve(asked, "second")
    issued = waiting.issue(asked)
    demand = '[approvals]\nrequired = {"process.exec" = %d}'
    assert waiting.verify(issued.bundle, trust=demand % 2).code is None
    assert waiting.verify(issued.bundle, trust=demand % 3).code is Code.APPROVAL_MISSING


# What an approval is worth.


@pytest.mark.parametrize(
    ("given", "uses", "seconds"),
    [
        ({}, 1, 600),
        ({"scope": "once"}, 1, 600),
        ({"uses": 3}, 3, 600),
        ({"uses": 9}, 5, 600),
        ({"scope": "until"}, 5, 600),
        ({"scope": "until", "ttl": 60}, 5, 60),
        ({"uses": 2, "ttl": 60}, 2, 60),
    ],
)
def test_artifact_is_no_wider_than_its_approvals(
    waiting: House, given: dict[str, Any], uses: int, seconds: int
) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked, **given)
    issued = waiting.issue(asked)
    assert (issued.uses, issued.expires - NOW) == (uses, seconds)
    verdict = waiting.verify(issued.bundle)
    assert verdict.code is None, verdict.failure


def test_of_several_approvals_the_narrowest_bounds(tmp_path: Path) -> None:
    #
    house = under(tmp_path, TWO)
    asked = house.asked()
    house.refuse(asked)
    house.approve(asked, uses=4, ttl=300)
    house.approve(asked, "second", scope="until", ttl=120)
    issued = house.issue(asked)
    assert (issued.uses, issued.expires - NOW) == (4, 120)
    assert house.verify(issued.bundle).code is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda good, other: good._replace(links=(Link("request", other),)), "another request"),
        (lambda good, other: good._replace(commitment=other), "another action"),
        (lambda good, _: good._replace(scope="task", uses=0), "scope task"),
        (lambda good, _: good._replace(scope="policy", uses=0), "scope policy"),
    ],
)
def test_foreign_approval_is_passed_over_and_named(
    waiting: House, change: Callable[[Approval, bytes], Approval], why: str
) -> None:
    #
    asked, other = waiting.asked(), waiting.asked()
    waiting.refuse(asked)
    waiting.refuse(other)
    good = signed(asked.request)
    assert isinstance(good.record, Approval)
    # A log with rules admits none of these.
    made = change(good.record, statement.parse(other.request).id)
    waiting.log.register([statement.sign(made, good.claims, world.signer("approver"))])
    refused = waiting.refuse(asked)
    assert refused.code == "APPROVAL_MISSING"
    assert refused.awaited is not None
    assert refused.awaited.given == 0
    assert why in refused.awaited.passed_over[0]
    assert refused.awaited.passed_over[0] in refused.explanation


@pytest.mark.parametrize(
    ("by", "iss", "why"),
    [
        ("requester", "urn:exequatur:approver:x", "own key"),
        ("approver", REQUESTER, "one name"),
        ("authority", "urn:exequatur:approver:x", "decides this"),
        ("approver", AUTHORITY, "decides this"),
        ("runtime", "urn:exequatur:approver:x", "carries it out"),
    ],
)
def test_nobody_approves_their_own_doing(waiting: House, by: str, iss: str, why: str) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    good = signed(asked.request)
    data = statement.sign(good.record, good.claims._replace(iss=iss), world.signer(by))
    waiting.log.register([data])
    refused = waiting.refuse(asked)
    assert refused.awaited is not None
    assert refused.awaited.given == 0
    assert why in refused.awaited.passed_over[0]


@pytest.mark.parametrize(("by", "iss"), [("requester", name_of("x")), ("approver", REQUESTER)])
def test_approving_ones_own_request_is_not_even_signed(house: House, by: str, iss: str) -> None:
    #
    with pytest.raises(ApprovalError, match="somebody else"):
        signed(house.asked().request, by, iss=iss)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scope": "task"}, "once, uses or until"),
        ({"scope": "policy"}, "once, uses or until"),
        ({"scope": "uses"}, "number of uses"),
        ({"scope": "once", "uses": 2}, "number of uses"),
        ({"scope": "until", "uses": 2}, "number of uses"),
        ({"exp": NOW}, "expired before"),
    ],
)
def test_approval_that_would_count_for_nothing_is_not_signed(house: House, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ApprovalError, match=message):
        signed(house.asked().request, **given)
    with pytest.raises(ApprovalError, match="name a request"):
        signed(house.policy.statement.entry)


def test_only_the_authoritys_approvers_count(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    known = frozenset((world.signer("second").public_key.thumbprint,))
    narrow = waiting.open(approvers=known)
    [refused] = narrow.authorize_many([asked], now=NOW)
    assert isinstance(refused, Refused)
    assert refused.awaited is not None
    assert "none of this authority's approvers" in refused.awaited.passed_over[0]
    waiting.approve(asked, "second")
    [issued] = narrow.authorize_many([asked], now=NOW)
    assert isinstance(issued, Issued)
    assert len([link for link in artifact_of(issued).record.links if link.relation == "approval"]) == 1


def test_expired_approval_does_not_count(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked, ttl=60)
    refused = waiting.refuse(asked, now=NOW + 60)
    assert refused.awaited is not None
    assert "expired" in refused.awaited.passed_over[0]
    assert isinstance(waiting.answer(asked, now=NOW + 59), Issued)


def test_approval_of_one_request_is_nothing_to_another_of_the_same_action(waiting: House) -> None:
    #
    asked = waiting.asked()
    again = waiting.asked()
    waiting.refuse(asked)
    waiting.refuse(again)
    waiting.approve(asked)
    assert waiting.refuse(again).code == "APPROVAL_MISSING"
    assert isinstance(waiting.answer(asked), Issued)


# What becomes of it in between.


def test_request_waits_for_a_week_and_no_longer(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked, ttl=2 * WAITING_S)
    refused = waiting.refuse(asked, now=NOW + WAITING_S)
    assert (refused.code, refused.awaited) == ("EXPIRED", None)
    assert waiting.journal.waiting(NOW + WAITING_S) == []


def test_policy_of_the_second_answer_decides(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    later = waiting.publish(with_rules('@id("no") @doc("Not any more.") forbid (principal, action, resource);'))
    [refused] = waiting.open(policy=later).authorize_many([asked], now=NOW)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.explanation) == ("POLICY_FORBID", ("forbid no: Not any more.",))
    # That stands, whatever policy says later.
    latest = waiting.publish(with_rules(ONE))
    [again] = waiting.open(policy=latest).authorize_many([asked], now=NOW)
    assert isinstance(again, Refused)
    assert (again.code, again.decision) == ("POLICY_FORBID", refused.decision)
    assert kinds(waiting, asked.request).count(Kind.DECISION) == 2


def test_policy_that_asks_for_more_meanwhile_is_waited_for(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    later = waiting.open(policy=waiting.publish(with_rules(TWO)))
    [refused] = later.authorize_many([asked], now=NOW)
    assert isinstance(refused, Refused)
    assert refused.awaited is not None
    assert (refused.awaited.wanted, refused.awaited.given) == (2, 1)
    assert [row.wanted for row in waiting.journal.waiting(NOW)] == [2]
    waiting.approve(asked, "second")
    assert isinstance(later.authorize_many([asked], now=NOW)[0], Issued)


def test_policy_that_asks_for_none_meanwhile_is_enough(waiting: House) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    later = waiting.open(policy=waiting.publish(with_rules("permit (principal, action, resource);")))
    [issued] = later.authorize_many([asked], now=NOW)
    assert isinstance(issued, Issued)
    assert waiting.verify(issued.bundle).code is None


def test_second_answers_of_two_processes_are_one(waiting: House, monkeypatch: pytest.MonkeyPatch) -> None:
    #
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    settle = Journal.settle
    won: list[Issued | Refused] = []

    def overtaken(journal: Journal, answers: Any) -> Any:
        if not won:
            won.append(Refused("", ""))
            won[0] = waiting.open().authorize_many([asked], now=NOW + 1)[0]
        return settle(journal, answers)

    monkeypatch.setattr(Journal, "settle", overtaken)
    assert waiting.answer(asked, now=NOW + 2) == won[0]
    assert kinds(waiting, asked.request).count(Kind.AUTHORIZATION) == 1


@pytest.mark.parametrize("committed", [False, True])
def test_second_answer_that_was_lost_is_sent_again(waiting: House, committed: bool) -> None:
    #
    log, asked = waiting.log, waiting.asked()
    assert isinstance(log, MemoryLog)
    waiting.refuse(asked)
    waiting.approve(asked)
    log.answers, log.loses_answer = 1, committed
    with pytest.raises(LogUnavailableError):
        waiting.answer(asked)
    kept = waiting.journal.find(statement.parse(asked.request).id)
    assert kept is not None
    log.answers = None
    issued = waiting.open().authorize_many([asked], now=NOW + 30)[0]
    assert isinstance(issued, Issued)
    assert log.sent[-1] == [kept.former, kept.decision, kept.artifact]
    assert issued.expires == NOW + 600
    assert kinds(waiting, asked.request).count(Kind.AUTHORIZATION) == 1


def test_approval_that_is_spent_is_refused_by_the_log(tmp_path: Path) -> None:
    # A-32 L-42
    log = RealLog(tmp_path / "log.db")
    house = House(tmp_path, log, with_rules(ONE))
    asked = house.asked()
    house.refuse(asked)
    house.approve(asked)
    house.issue(asked)
    # An authority that has lost its journal cannot make a second artifact of it.
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    fresh = house.open()
    fresh.authorize_many([asked], now=NOW + 1)
    [refused] = fresh.authorize_many([asked], now=NOW + 2)
    assert isinstance(refused, Refused)
    assert refused.code == "APPROVAL_SPENT"
    log.close()


def test_what_the_log_refuses_is_no_artifact(waiting: House) -> None:
    log, asked = waiting.log, waiting.asked()
    assert isinstance(log, MemoryLog)
    waiting.refuse(asked)
    waiting.approve(asked)
    log.refuse[Kind.AUTHORIZATION] = Refusal("APPROVAL_INVALID", "no")
    assert waiting.refuse(asked).code == "APPROVAL_INVALID"


def test_both_decisions_are_replayed(waiting: House) -> None:
    # A-20 A-31
    asked = waiting.asked()
    waiting.refuse(asked)
    waiting.approve(asked)
    waiting.issue(asked, now=NOW + 1)
    cases = list(replay.collect(waiting.log.statements(), waiting.find))
    results = replay.replay(cases, waiting.folder / "content")
    assert [one.result for one in results] == ["equal", "equal"]
    # A decision that counted what is no consent comes out different.
    stranger = signed(waiting.asked().request)
    forged = [case._replace(approvals=(stranger.entry,)) if case.approvals else case for case in cases]
    assert [one.result for one in replay.replay(forged, waiting.folder / "content")] == ["equal", "different"]
    gone = [case._replace(approvals=(None,)) if case.approvals else case for case in cases]
    assert [one.result for one in replay.replay(gone, waiting.folder / "content")] == ["equal", "not-replayable"]
