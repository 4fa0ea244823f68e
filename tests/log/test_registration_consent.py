"""Approvals: which are admitted, and what may rest on them, once and no longer. Each refusal changes one thing."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused
from exequatur_log.storage.place import Place
from exequatur_verifier.records import Action, Kind, Link
from tests.log import damage, scene
from tests.log.scene import (
    APPROVER,
    AUTHORITY,
    GRANT,
    NOW,
    OWNER,
    SECOND_APPROVER,
    SECOND_OWNER,
    Approved,
    Case,
    refused,
)
from tests.support.world import signer


@pytest.fixture(scope="module")
def log(shared: tuple[BlockingLog, bytes]) -> BlockingLog:
    scene.enrol_further(shared[0])
    return shared[0]


@pytest.fixture
def policy(shared: tuple[BlockingLog, bytes]) -> bytes:
    return shared[1]


@pytest.fixture
def case(policy: bytes) -> Case:
    return Case(policy)


def admitted(log: BlockingLog, entries: list[bytes]) -> None:
    answers = log.register_many(entries)
    assert all(isinstance(answer, Registered) and answer.fresh for answer in answers), answers


def codes(log: BlockingLog, *entries: bytes) -> list[Code | None]:
    """Return the code of each refusal, of statements that are registered in one batch."""
    return [answer.code if isinstance(answer, Refused) else None for answer in log.register_many(entries)]


def test_an_approved_case_is_admitted_at_once_and_record_by_record(log: BlockingLog, policy: bytes) -> None:
    # L-17 L-20 L-21
    first = Approved(policy, {}, {"key": SECOND_APPROVER})
    admitted(log, [first.request, scene.decision(first.sub, first.asked, "needs-approval"), *[*first][1:]])
    for entry in Approved(policy, {}):
        assert log.register(entry).fresh


@pytest.mark.parametrize(
    "changes",
    [{}, {"scope": "uses"}, {"scope": "uses", "uses": 9}, {"scope": "until", "uses": 0}, {"exp": NOW + 1}],
)
def test_an_approval_of_a_request_is_admitted(log: BlockingLog, case: Case, changes: dict[str, Any]) -> None:
    # L-17 L-18
    log.register(case.request)
    assert log.register(scene.approval(case.sub, case.asked[0], **changes)).fresh


@pytest.mark.parametrize(
    "changes",
    [
        {"links": ()},
        {"commitment": scene.digest("other action")},
        {"uses": 0},
        {"uses": 2},
        {"scope": "uses", "uses": 0},
        {"scope": "until"},
        {"scope": "task"},
        {"scope": "policy", "uses": 0},
        {"exp": NOW},
    ],
)
def test_an_approval_that_is_not_of_its_request_is_refused(
    log: BlockingLog, case: Case, changes: dict[str, Any]
) -> None:
    # L-17 L-18
    log.register(case.request)
    assert refused(log, scene.approval(case.sub, case.asked[0], **changes)) is Code.APPROVAL_INVALID


def test_an_approval_is_of_one_thing(log: BlockingLog) -> None:
    # L-17
    name = f"urn:scene:policy:{scene.unique().hex()}"
    policy, request = scene.policy(name=name), scene.request(name)
    log.register_many([policy, request])
    links = Link("request", scene.record_id(request)), Link("policy", scene.record_id(policy))
    assert refused(log, scene.approval(name, links[0], links=links)) is Code.APPROVAL_INVALID
    assert log.register(scene.approval(name, links[0])).fresh


@pytest.mark.parametrize(("scope", "uses"), [("task", 0), ("task", 5)])
def test_a_grant_is_approved_as_a_task(log: BlockingLog, scope: str, uses: int) -> None:
    # L-18
    sub = scene.subject()
    request = scene.request(sub, action=Action(GRANT, scene.digest("action")))
    log.register(request)
    target = Link("request", scene.record_id(request))
    for other in ({"scope": "once"}, {"scope": "uses"}, {"scope": "until", "uses": 0}):
        assert refused(log, scene.approval(sub, target, **other)) is Code.APPROVAL_INVALID
    assert log.register(scene.approval(sub, target, scope=scope, uses=uses)).fresh


def test_who_asks_does_not_approve(log: BlockingLog) -> None:
    # L-19
    both, iss, sub = signer("scene asks and approves"), "urn:scene:both", scene.subject()
    mine = scene.request(sub, key=both, iss=iss)
    theirs = scene.request(sub)
    log.register_many([scene.enrolment(both, iss, (Kind.REQUEST, Kind.APPROVAL)), mine, theirs])

    def approved(request: bytes) -> bytes:
        return scene.approval(sub, Link("request", scene.record_id(request)), key=both, iss=iss)

    assert refused(log, approved(mine)) is Code.APPROVAL_INVALID
    assert log.register(approved(theirs)).fresh


def test_a_key_approves_once(log: BlockingLog, case: Case) -> None:
    # L-19
    first, second = (scene.approval(case.sub, case.asked[0]) for _ in range(2))
    other = scene.approval(case.sub, case.asked[0], key=SECOND_APPROVER)
    assert codes(log, case.request, first, second, other) == [None, None, Code.APPROVAL_INVALID, None]
    assert refused(log, second) is Code.APPROVAL_INVALID
    assert not log.register(first).fresh
    again = Case(case.policy)
    admitted(log, [again.request, scene.approval(again.sub, again.asked[0])])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"scope": "until"}, Code.APPROVAL_INVALID),
        ({"uses": 1}, Code.APPROVAL_INVALID),
        ({"commitment": scene.digest("action")}, Code.APPROVAL_INVALID),
        ({"key": OWNER}, Code.APPROVAL_INVALID),
        ({"key": APPROVER}, Code.KIND_NOT_ENROLLED),
    ],
)
def test_a_policy_record_is_approved_by_another_owner(
    log: BlockingLog, changes: dict[str, Any], code: Code | None
) -> None:
    # L-17 L-18 L-19
    name = f"urn:scene:policy:{scene.unique().hex()}"
    record = scene.policy(name=name)
    log.register(record)
    target = Link("policy", scene.record_id(record))
    terms = {"key": SECOND_OWNER, "scope": "policy", "uses": 0, "commitment": target.id, **changes}
    assert codes(log, scene.approval(name, target, **terms)) == [code]
    if code is None:
        assert refused(log, scene.approval(name, target, **terms)) is Code.APPROVAL_INVALID


def test_a_decision_rests_on_approvals_of_its_own_request(log: BlockingLog, policy: bytes) -> None:
    # L-20
    case = Approved(policy, {})
    other = scene.request(case.sub)
    of_other = scene.approval(case.sub, Link("request", scene.record_id(other)))
    admitted(log, [case.request, other, *case.approvals, of_other])
    case.rest(Link("approval", scene.record_id(of_other)))
    assert refused(log, case.decision) is Code.APPROVAL_INVALID
    case.rest(*case.consents)
    assert log.register(case.decision).fresh


def test_an_authorization_rests_on_what_its_decision_did(log: BlockingLog, policy: bytes) -> None:
    # L-20
    case = Approved(policy, {}, {"key": SECOND_APPROVER})
    first, second = case.consents
    admitted(log, [*case][:4])
    for consents in ((), (first,), (first, second, second), (first, first)):
        entry = scene.authorization(case.sub, (*case.decided, *consents))
        assert refused(log, entry) is Code.APPROVAL_INVALID
    assert log.register(scene.authorization(case.sub, (*case.decided, second, first))).fresh


def test_an_approval_counts_once(log: BlockingLog, policy: bytes) -> None:
    # L-20
    case = Approved(policy, {})
    case.rest(*case.consents, *case.consents)
    admitted(log, [*case][:3])
    assert refused(log, case.authorization) is Code.APPROVAL_INVALID


def test_a_spent_approval_is_refused(log: BlockingLog, policy: bytes) -> None:
    # L-21
    case = Approved(policy, {"scope": "until", "uses": 0}, {"key": SECOND_APPROVER})
    again = scene.authorization(case.sub, (*case.decided, *case.consents))
    assert codes(log, *case, again) == [None] * 5 + [Code.APPROVAL_SPENT]
    assert refused(log, again) is Code.APPROVAL_SPENT
    assert not log.register(case.authorization).fresh
    case.rest(case.consents[1])
    admitted(log, [case.decision])
    assert refused(log, case.authorization) is Code.APPROVAL_SPENT
    third = signer("scene third approver")
    unspent = scene.approval(case.sub, case.asked[0], key=third, iss="urn:scene:approver:3")
    case.rest(Link("approval", scene.record_id(unspent)))
    admitted(
        log,
        [
            scene.enrolment(third, "urn:scene:approver:3", (Kind.APPROVAL,)),
            unspent,
            case.decision,
            case.authorization,
        ],
    )


@pytest.mark.parametrize(
    ("given", "changes", "code"),
    [
        ({"exp": NOW + 100}, {"iat": NOW + 99, "exp": NOW + 100}, None),
        ({"exp": NOW + 100}, {"iat": NOW + 100, "exp": NOW + 100}, Code.APPROVAL_INVALID),
        ({"exp": NOW + 300}, {"exp": NOW + 300}, None),
        ({"exp": NOW + 299}, {"exp": NOW + 300}, Code.APPROVAL_INVALID),
        ({"scope": "once", "uses": 1}, {"uses": 2}, Code.APPROVAL_INVALID),
        ({"scope": "uses", "uses": 2}, {"uses": 2}, None),
        ({"scope": "uses", "uses": 2}, {"uses": 3}, Code.APPROVAL_INVALID),
        ({"scope": "until", "uses": 0}, {"uses": 3}, None),
        ({"key": AUTHORITY}, {}, Code.APPROVAL_INVALID),
        ({}, {"holder": APPROVER}, Code.APPROVAL_INVALID),
    ],
)
def test_an_approval_covers_what_rests_on_it(
    log: BlockingLog, policy: bytes, given: dict[str, Any], changes: dict[str, Any], code: Code | None
) -> None:
    # L-21
    assert codes(log, *Approved(policy, given, **changes)) == [None, None, None, code]


@pytest.mark.parametrize(("uses", "code"), [(5, None), (6, Code.APPROVAL_INVALID)])
def test_the_approval_of_a_task_bounds_the_uses_of_a_grant(
    log: BlockingLog, policy: bytes, uses: int, code: Code | None
) -> None:
    # L-21
    action = Action(GRANT, scene.digest("action"))
    case = Approved(policy, {"scope": "task", "uses": 5}, action=action, form="grant", uses=uses)
    assert codes(log, *case) == [None, None, None, code]


@pytest.mark.parametrize("outcome", ["deny", "needs-approval", "allow"])
def test_breaking_the_glass_needs_an_approval(log: BlockingLog, policy: bytes, outcome: str) -> None:
    # L-08 L-27
    alone = Approved(policy, outcome=outcome, mode="break-glass")
    assert codes(log, *alone) == [None, None, Code.APPROVAL_MISSING]
    admitted(log, [*Approved(policy, {}, outcome=outcome, mode="break-glass")])


def test_approvals_change_no_denial(log: BlockingLog, policy: bytes) -> None:
    # L-08
    assert codes(log, *Approved(policy, {}, outcome="deny")) == [None, None, None, Code.DECISION_NOT_ALLOW]


def test_what_is_approved_and_spent_is_known_to_every_process(place: Place) -> None:
    # L-19 L-21
    policy = scene.policy()
    case = Approved(policy, {})
    second = scene.approval(case.sub, case.asked[0])
    again = scene.authorization(case.sub, (*case.decided, *case.consents))
    with scene.create(place) as log, scene.reopen(place) as other:
        scene.enrol_further(log)
        admitted(log, [policy, case.request, *case.approvals])
        assert refused(other, second) is Code.APPROVAL_INVALID
        admitted(other, [case.decision, case.authorization])
        assert refused(log, again) is Code.APPROVAL_SPENT
    with scene.reopen(place) as log:
        assert refused(log, again) is Code.APPROVAL_SPENT
        assert refused(log, second) is Code.APPROVAL_INVALID
    assert check_file(place) == []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Approved]:
    """A closed log with an approved case, and that case."""
    path, policy = tmp_path_factory.mktemp("recorded") / "log.db", scene.policy()
    case = Approved(policy, {})
    with scene.create(path) as log:
        scene.enrol_further(log)
        admitted(log, [policy, *case])
    return path, case


@pytest.mark.parametrize("what", ["approval", "authorization"])
def test_what_was_approved_or_spent_twice_is_found(recorded: tuple[Path, Approved], path: Path, what: str) -> None:
    # L-19 L-21
    original, case = recorded
    path.write_bytes(original.read_bytes())
    assert check_file(path) == []
    twice = {
        "approval": scene.approval(case.sub, case.asked[0]),
        "authorization": scene.authorization(case.sub, (*case.decided, *case.consents)),
    }
    damage.append_without_asking(path, twice[what])
    (finding,) = check_file(path)
    assert (finding.code, finding.leaf_index) == ("REGISTRATION", 15)
    assert finding.detail.startswith({"approval": "APPROVAL_INVALID", "authorization": "APPROVAL_SPENT"}[what])
