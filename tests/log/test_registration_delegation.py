"""Grants: who asks under them, how narrow it must be, and that all of it together stays within their uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_log import batch
from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused, StorageError
from exequatur_log.exporting import export_blocking
from exequatur_log.importing import import_blocking
from exequatur_log.storage.place import Place
from exequatur_verifier.records import Action, Kind, Link, Links
from exequatur_verifier.signing import LocalSigner
from tests.log import damage, scene
from tests.log.scene import GRANT, NOW, REQUESTER, TYPE, Case, refused
from tests.support.world import signer

AGENT = signer("scene agent")
WORKER = signer("scene worker")
ASKER = "urn:scene:requester"


class Delegated(Case):
    """A request, with or without a parent, its decision and what is authorized: a grant, or an action."""

    def __init__(
        self,
        policy: bytes,
        parent: "Delegated | Case | None" = None,
        *,
        form: str = "action",
        key: LocalSigner | None = None,
        asked: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(policy)
        action = Action(GRANT if form == "grant" else TYPE, scene.digest("action"))
        links: Links = () if parent is None else (Link("parent", parent.authorized[0].id),)
        signed = {"key": key or (REQUESTER if parent is None else AGENT), "iss": ASKER, **(asked or {})}
        self.request = scene.request(self.sub, action=action, **{"links": links, **signed})
        self.asked = (Link("request", scene.record_id(self.request)), self.asked[1])
        self.decision = scene.decision(self.sub, self.asked)
        self.decided = (self.asked[0], Link("decision", scene.record_id(self.decision)), self.asked[1])
        holder = {"holder": AGENT} if form == "grant" else {}
        changes = {**holder, "action": action, "form": form, **changes}
        self.authorization = scene.authorization(self.sub, (*self.decided, *changes.pop("links", links)), **changes)
        self.authorized = (Link("authorization", scene.record_id(self.authorization)),)

    def __iter__(self) -> Iterator[bytes]:
        yield from (self.request, self.decision, self.authorization)


@pytest.fixture(scope="module")
def log(shared: tuple[BlockingLog, bytes]) -> BlockingLog:
    scene.enrol_further(shared[0])
    return shared[0]


@pytest.fixture
def policy(shared: tuple[BlockingLog, bytes]) -> bytes:
    return shared[1]


@pytest.fixture
def grant(log: BlockingLog, policy: bytes) -> Delegated:
    """A grant of ten uses, below which one more grant may stand."""
    found = Delegated(policy, form="grant", uses=10, depth=1)
    assert codes(log, *found) == [None] * 3
    return found


def codes(log: BlockingLog, *entries: bytes) -> list[Code | None]:
    """Return the code of each refusal, of statements that are registered in one batch."""
    return [answer.code if isinstance(answer, Refused) else None for answer in log.register_many(entries)]


def last(log: BlockingLog, case: Delegated) -> Code | None:
    """Return the code that the authorization is refused with, and see the records before it admitted."""
    request, decision, authorization = codes(log, *case)
    assert (request, decision) == (None, None)
    return authorization


def test_a_chain_is_admitted_in_one_batch_and_record_by_record(log: BlockingLog, policy: bytes) -> None:
    # L-22 L-23 L-24 L-25 L-26
    for at_once in (True, False):
        first = Delegated(policy, form="grant", uses=10, depth=1)
        second = Delegated(policy, first, form="grant", uses=4, holder=WORKER)
        third = Delegated(policy, second, key=WORKER, uses=4)
        entries = [*first, *second, *third]
        if at_once:
            assert codes(log, *entries) == [None] * 9
        else:
            assert all(log.register(entry).fresh for entry in entries)


def test_who_holds_no_grant_asks_under_none(log: BlockingLog, policy: bytes, grant: Delegated) -> None:
    # L-22
    parent = (Link("parent", grant.authorized[0].id),)
    assert refused(log, scene.request(links=parent)) is Code.DELEGATION_INVALID
    assert refused(log, scene.request(links=parent, key=WORKER, iss=ASKER)) is Code.UNKNOWN_KEY
    assert refused(log, scene.request(key=AGENT, iss=ASKER)) is Code.UNKNOWN_KEY
    assert log.register(scene.request(links=parent, key=AGENT, iss=ASKER)).fresh


def test_an_action_is_not_delegated(log: BlockingLog, policy: bytes) -> None:
    # L-22
    action = Delegated(policy, holder=AGENT)
    assert codes(log, *action, Delegated(policy, action).request) == [None, None, None, Code.DELEGATION_INVALID]


@pytest.mark.parametrize(("offset", "code"), [(99, None), (100, Code.DELEGATION_INVALID)])
def test_an_expired_grant_is_asked_no_more(log: BlockingLog, policy: bytes, offset: int, code: Code | None) -> None:
    # L-22
    grant = Delegated(policy, form="grant", exp=NOW + 100)
    below = Delegated(policy, grant, asked={"iat": NOW + offset})
    assert codes(log, *grant, below.request) == [None, None, None, code]


@pytest.mark.parametrize(("offset", "code"), [(99, None), (100, Code.DELEGATION_INVALID)])
def test_an_expired_grant_is_authorized_no_more(
    log: BlockingLog, policy: bytes, offset: int, code: Code | None
) -> None:
    # L-25
    grant = Delegated(policy, form="grant", exp=NOW + 100)
    codes(log, *grant)
    assert last(log, Delegated(policy, grant, iat=NOW + offset, exp=NOW + 100)) is code


def test_a_holder_takes_nobody_elses_name(log: BlockingLog, policy: bytes, grant: Delegated) -> None:
    # L-23
    below = Delegated(policy, grant, asked={"iss": "urn:scene:agent"})
    assert refused(log, below.request) is Code.ISSUER_MISMATCH
    key = signer("scene enrolled agent")
    own = Delegated(policy, form="grant", holder=key)
    log.register(scene.enrolment(key, "urn:scene:agent", (Kind.VERIFICATION,)))
    assert codes(log, *own) == [None] * 3
    for iss, code in (("urn:scene:agent", None), (ASKER, None), ("urn:scene:owner", Code.ISSUER_MISMATCH)):
        assert codes(log, Delegated(policy, own, key=key, asked={"iss": iss}).request) == [code]


def test_a_name_is_passed_on_along_a_chain(log: BlockingLog, policy: bytes) -> None:
    # L-23
    key = signer("scene agent of its own name")
    first = Delegated(policy, form="grant", holder=key, depth=1)
    second = Delegated(policy, first, form="grant", key=key, holder=WORKER, asked={"iss": "urn:scene:own"})
    assert codes(log, scene.enrolment(key, "urn:scene:own", (Kind.REQUEST,)), *first, *second) == [None] * 7
    for iss, code in ((ASKER, Code.ISSUER_MISMATCH), ("urn:scene:own", None)):
        assert codes(log, Delegated(policy, second, key=WORKER, asked={"iss": iss}).request) == [code]


def test_a_retired_key_asks_no_more_under_its_grant(log: BlockingLog, policy: bytes) -> None:
    # L-22
    key = signer("scene retired agent")
    grant = Delegated(policy, form="grant", holder=key)
    below = [Delegated(policy, grant, key=key).request for _ in range(2)]
    retired = scene.enrolment(key, "urn:scene:retired", (), until=0)
    assert codes(log, *grant, below[0], retired, below[1]) == [None] * 5 + [Code.KEY_OUT_OF_RANGE]


@pytest.mark.parametrize(
    ("form", "changes", "code"),
    [
        ("grant", {}, None),
        ("grant", {"form": "action"}, Code.DELEGATION_INVALID),
        ("grant", {"mode": "observe"}, Code.DELEGATION_INVALID),
        ("grant", {"mode": "break-glass"}, Code.DELEGATION_INVALID),
        ("action", {}, None),
        ("action", {"form": "grant"}, Code.DELEGATION_INVALID),
        ("action", {"depth": 0}, Code.DELEGATION_INVALID),
    ],
)
def test_what_is_authorized_is_what_was_asked_for(
    log: BlockingLog, policy: bytes, form: str, changes: dict[str, Any], code: Code | None
) -> None:
    # L-24
    case = Delegated(policy, form=form)
    action = Action(GRANT if form == "grant" else TYPE, scene.digest("action"))
    terms = {"form": form, "action": action, **changes}
    assert codes(log, case.request, case.decision, scene.authorization(case.sub, case.decided, **terms)) == [
        None,
        None,
        code,
    ]


@pytest.mark.parametrize("outcome", ["deny", "needs-approval"])
def test_a_grant_is_allowed_by_policy(log: BlockingLog, policy: bytes, outcome: str) -> None:
    # L-08
    case = Delegated(policy, form="grant")
    denied = scene.decision(case.sub, case.asked, outcome)
    links = (case.asked[0], Link("decision", scene.record_id(denied)), case.asked[1])
    action = Action(GRANT, scene.digest("action"))
    entry = scene.authorization(case.sub, links, form="grant", action=action)
    assert codes(log, case.request, denied, entry) == [None, None, Code.DECISION_NOT_ALLOW]


def test_an_authorization_stands_under_the_parent_of_its_request(
    log: BlockingLog, policy: bytes, grant: Delegated
) -> None:
    # L-25
    other = Delegated(policy, form="grant", uses=10)
    codes(log, *other)
    of_other = (Link("parent", other.authorized[0].id),)
    assert last(log, Delegated(policy, grant, links=())) is Code.DELEGATION_INVALID
    assert last(log, Delegated(policy, grant, links=of_other)) is Code.DELEGATION_INVALID
    assert last(log, Delegated(policy, links=of_other)) is Code.DELEGATION_INVALID
    assert last(log, Delegated(policy, grant)) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nbf": NOW, "exp": NOW + 300}, None),
        ({"nbf": NOW + 1, "exp": NOW + 299}, None),
        ({"nbf": NOW - 1}, Code.DELEGATION_INVALID),
        ({"exp": NOW + 301}, Code.DELEGATION_INVALID),
        ({"aud": "urn:scene:other runtime"}, Code.DELEGATION_INVALID),
        ({"uses": 0}, Code.DELEGATION_INVALID),
        ({"uses": 10}, None),
        ({"uses": 11}, Code.BUDGET_EXCEEDED),
        ({"mode": "observe"}, None),
    ],
)
def test_what_stands_below_a_grant_is_no_wider(
    log: BlockingLog, policy: bytes, grant: Delegated, changes: dict[str, Any], code: Code | None
) -> None:
    # L-25 L-26
    assert last(log, Delegated(policy, grant, **changes)) is code


@pytest.mark.parametrize(
    ("above", "below", "code"),
    [
        (2, 1, None),
        (1, None, None),
        (1, 1, Code.DELEGATION_INVALID),
        (None, None, Code.DELEGATION_INVALID),
        (0, 0, Code.DELEGATION_INVALID),
        (1, 2, Code.DELEGATION_INVALID),
    ],
)
def test_grants_stand_only_as_deep_as_was_granted(
    log: BlockingLog, policy: bytes, above: int | None, below: int | None, code: Code | None
) -> None:
    # L-25
    first = Delegated(policy, form="grant", depth=above)
    codes(log, *first)
    assert last(log, Delegated(policy, first, form="grant", depth=below)) is code


def test_uses_are_counted_over_all_that_stands_below(log: BlockingLog, policy: bytes, grant: Delegated) -> None:
    # L-26
    assert last(log, Delegated(policy, grant, uses=4)) is None
    inner = Delegated(policy, grant, form="grant", uses=5)
    assert last(log, inner) is None
    assert last(log, Delegated(policy, grant, uses=2)) is Code.BUDGET_EXCEEDED
    assert last(log, Delegated(policy, grant, uses=1)) is None
    assert last(log, Delegated(policy, grant, uses=1)) is Code.BUDGET_EXCEEDED
    # What was passed on was counted when it was.
    assert last(log, Delegated(policy, inner, uses=5)) is None
    assert last(log, Delegated(policy, inner, uses=1)) is Code.BUDGET_EXCEEDED


def test_uses_are_counted_within_a_batch(log: BlockingLog, policy: bytes, grant: Delegated) -> None:
    # L-26
    cases = [Delegated(policy, grant, uses=uses) for uses in (6, 5, 4, 1)]
    entries = [entry for case in cases for entry in case]
    assert codes(log, *entries)[2::3] == [None, Code.BUDGET_EXCEEDED, None, Code.BUDGET_EXCEEDED]
    assert [log.register(case.authorization).fresh for case in (cases[0], cases[2])] == [False, False]


def test_a_batch_that_fails_takes_no_uses(
    log: BlockingLog, policy: bytes, grant: Delegated, monkeypatch: pytest.MonkeyPatch
) -> None:
    # L-12 L-26
    async def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    case = Delegated(policy, grant, uses=10)
    assert codes(log, case.request, case.decision) == [None, None]
    with monkeypatch.context() as patched:
        patched.setattr(batch, "commit", fail)
        assert codes(log, case.authorization) == [Code.UNAVAILABLE]
    assert codes(log, case.authorization) == [None]


def test_uses_are_counted_by_all_processes_for_good(place: Place) -> None:
    # L-26
    policy = scene.policy()
    grant = Delegated(policy, form="grant", uses=10)
    with scene.create(place) as log, scene.reopen(place) as other:
        scene.enrol_further(log)
        assert codes(log, policy, *grant) == [None] * 4
        assert last(log, Delegated(policy, grant, uses=3)) is None
        assert last(other, Delegated(policy, grant, uses=3)) is None
        assert last(log, Delegated(policy, grant, uses=5)) is Code.BUDGET_EXCEEDED
        assert last(log, Delegated(policy, grant, uses=3)) is None
        assert last(other, Delegated(policy, grant, uses=2)) is Code.BUDGET_EXCEEDED
    with scene.reopen(place) as log:
        assert last(log, Delegated(policy, grant, uses=2)) is Code.BUDGET_EXCEEDED
        assert last(log, Delegated(policy, grant, uses=1)) is None
    assert check_file(place) == []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Delegated]:
    """A closed log with seven of a grant's ten uses taken, its policy record, and the grant."""
    path, policy = tmp_path_factory.mktemp("recorded") / "log.db", scene.policy()
    grant = Delegated(policy, form="grant", uses=10, depth=1)
    inner = Delegated(policy, grant, form="grant", uses=4)
    with scene.create(path) as log:
        scene.enrol_further(log)
        answers = log.register_many([policy, *grant, *Delegated(policy, grant, uses=3), *inner])
        assert all(isinstance(answer, Registered) for answer in answers)
    return path, policy, grant


def test_uses_are_counted_the_same_from_a_copy(
    recorded: tuple[Path, bytes, Delegated], tmp_path: Path, place: Place
) -> None:
    # L-45 L-26
    original, policy, grant = recorded
    head = export_blocking(original, tmp_path / "copy.db")
    import_blocking(tmp_path / "copy.db", place, [head.note])
    with scene.reopen(place) as log:
        assert last(log, Delegated(policy, grant, uses=4)) is Code.BUDGET_EXCEEDED
        assert last(log, Delegated(policy, grant, uses=3)) is None
    assert check_file(place) == []


def test_more_uses_than_were_granted_are_found(recorded: tuple[Path, bytes, Delegated], path: Path) -> None:
    # L-26
    original, policy, grant = recorded
    path.write_bytes(original.read_bytes())
    case = Delegated(policy, grant, uses=4)
    with scene.reopen(path) as log:
        assert last(log, case) is Code.BUDGET_EXCEEDED
    assert check_file(path) == []
    damage.append_without_asking(path, case.authorization, delegated=7)
    assert [(item.code, item.detail[:15]) for item in check_file(path)] == [("REGISTRATION", "BUDGET_EXCEEDED")]


def test_a_wrong_count_of_uses_is_found(recorded: tuple[Path, bytes, Delegated], path: Path) -> None:
    # L-26
    original, _, _ = recorded
    path.write_bytes(original.read_bytes())
    damage.apply(path, damage.sql("UPDATE entries SET number = 1 WHERE number = 7 AND series LIKE 'grant %'"))
    assert [(item.code, item.detail.rpartition(" ")[2]) for item in check_file(path)] == [("ENTRY", "number")]
