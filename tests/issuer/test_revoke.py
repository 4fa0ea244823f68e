"""Revocation: what a newer list says is denied, nothing that two wrote at once is lost, and all of it is reported."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import lists as lists_module
from exequatur_issuer import status
from exequatur_issuer.authorize import Issued
from exequatur_issuer.journal import Journal
from exequatur_issuer.log import LogUnavailableError, Refusal
from exequatur_issuer.reports import ReportError
from exequatur_issuer.revoke import Target, of_artifact
from exequatur_issuer.status import Names, RevocationError
from exequatur_verifier import bundle, receipt, statement
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.memory import Clock, Memory
from exequatur_verifier.monitor import Monitor
from exequatur_verifier.records import Enforcement, Epoch, Kind, StatusEntry
from exequatur_verifier.statement import Claims
from exequatur_verifier.verdict import Code
from tests.issuer.house import NOW, RUNTIME, SET
from tests.issuer.ledger import AUTHORITY, REQUESTER, MemoryLog, RealLog
from tests.issuer.listed import BASE, PERIOD, ListedHouse, artifact_of, entry_of, listed_house
from tests.support import world

FIRST = f"{BASE}:0"


@pytest.fixture
def listed(tmp_path: Path) -> ListedHouse:
    return listed_house(tmp_path)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[ListedHouse]:
    log = RealLog(tmp_path / "log.db")
    yield ListedHouse(tmp_path, log)
    log.close()


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make a list hold eight indices, so that a handful of records fills one."""
    monkeypatch.setattr(status, "SIZE", 8)
    monkeypatch.setattr(lists_module, "SIZE", 8)
    return 8


def memory_log(house: ListedHouse) -> MemoryLog:
    assert isinstance(house.log, MemoryLog)
    return house.log


def name(**names: Any) -> Target:
    ((kind, value),) = names.items()
    return Target(f"{kind} {value}", FIRST, names=Names(**{kind: frozenset((value,))}))


def reports(house: ListedHouse) -> list[tuple[statement.Statement, Enforcement]]:
    return [(item, item.record) for item in house.log.statements() if isinstance(item.record, Enforcement)]


# Artifacts and their lists.


def test_an_artifact_has_the_index_of_its_request_and_its_bundle_the_list(listed: ListedHouse) -> None:
    # A-52 A-53 B-13
    issued = listed.issue(listed.asked())
    assert tuple(entry_of(issued)) == (FIRST, listed.log.find(issued.request))
    parts = bundle.decode(issued.bundle)
    assert parts.request is not None
    assert statement.parse(parts.request.statement).id == issued.request
    (element,) = parts.status
    (version,) = listed.versions()
    assert statement.parse(element.statement).record == version
    # The list stands before the artifact, so the frozen receipt has it.
    index = listed.log.find(issued.authorization)
    assert index is not None
    presented = statement.parse_transparent(parts.artifact)[1][0]
    assert presented == memory_log(listed).frozen[index]
    verdict = listed.verify(issued.bundle)
    assert verdict.code is None
    assert verdict.steps[14].detail == "1 status entries, none revoked"


def test_artifacts_of_other_processes_share_no_index(real: ListedHouse) -> None:
    #
    authorities = [real.open() for _ in range(3)]
    issued = [authority.authorize_many([real.asked(), real.asked()], now=NOW) for authority in authorities]
    # Nor those of one that has lost its journal.
    (real.folder / "journal.db").unlink()
    issued.append(real.open().authorize_many([real.asked()], now=NOW))
    entries = [entry_of(one) for some in issued for one in some if isinstance(one, Issued)]
    assert len(set(entries)) == 7
    assert len(real.versions()) == 1


def test_asked_again_an_artifact_comes_with_the_newest_list_under_a_fresh_receipt(listed: ListedHouse) -> None:
    # A-54 B-14
    asked = listed.asked()
    first = listed.issue(asked)
    other = listed.issue(listed.asked())
    listed.revoke(other.bundle)
    again = listed.issue(asked)
    assert again.authorization == first.authorization
    (element,) = bundle.decode(again.bundle).status
    assert statement.parse(element.statement).record == listed.versions()[-1]
    assert listed.verify(again.bundle).code is None
    listed.revoke(first.bundle)
    assert listed.verify(listed.issue(asked).bundle).code is Code.REVOKED


def test_a_list_is_published_again_when_half_its_time_is_over(listed: ListedHouse) -> None:
    #
    listed.issue(listed.asked())
    listed.issue(listed.asked(), NOW + PERIOD // 2)
    assert [version.next_update for version in listed.versions()] == [NOW + PERIOD]
    listed.issue(listed.asked(), NOW + PERIOD // 2 + 1)
    assert [version.next_update for version in listed.versions()] == [NOW + PERIOD, NOW + PERIOD // 2 + 1 + PERIOD]


def test_a_list_that_ran_out_denies_until_the_bundle_is_refreshed(listed: ListedHouse) -> None:
    #
    issued = listed.issue(listed.asked())
    (due,) = listed.versions()
    late = due.next_update + 61
    verdict = listed.verify(issued.bundle, now=late)
    assert [step.code for step in verdict.steps if step.number == 14] == [Code.STATUS_STALE]
    fresh = listed.verify(listed.refresh(issued.bundle, late), now=late)
    assert [step.code for step in fresh.steps if step.number == 14] == [None]


# Revoking.


@pytest.mark.parametrize("fixture", ["listed", "real"])
def test_a_revoked_artifact_is_denied_from_the_next_list_on(fixture: str, request: pytest.FixtureRequest) -> None:
    #
    house: ListedHouse = request.getfixturevalue(fixture)
    issued, other = house.issue(house.asked()), house.issue(house.asked())
    assert house.verify(issued.bundle).code is None
    done = house.revoke(issued.bundle)
    assert (done.published, status.record_of(done.version.signed).version) == (True, 2)
    # A runtime that has not been shown the newer list cannot know; one that has takes no older one.
    assert house.verify(issued.bundle).code is None
    denied = house.verify(house.refresh(issued.bundle))
    assert denied.code is Code.REVOKED
    assert house.verify(house.refresh(other.bundle)).code is None
    remembering = Memory(1, {}, {}, NOW, Clock(NOW), statuses={FIRST: 2})
    assert house.verify(other.bundle, memory=remembering).code is Code.STATUS_ROLLBACK


def test_a_suspended_artifact_is_denied_until_it_is_resumed(listed: ListedHouse) -> None:
    #
    issued = listed.issue(listed.asked())
    codes = []
    for verb in ("suspend", "resume", "suspend", "revoke"):
        assert listed.revoke(issued.bundle, verb).published
        codes.append(listed.verify(listed.refresh(issued.bundle)).code)
    assert codes == [Code.REVOKED, None, Code.REVOKED, Code.REVOKED]


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_what_is_revoked_stays_revoked(listed: ListedHouse, verb: Any) -> None:
    #
    issued = listed.issue(listed.asked())
    listed.revoke(issued.bundle)
    with pytest.raises(RevocationError, match="revoked for good"):
        listed.revoke(issued.bundle, verb)
    key = name(keys=world.signer("requester").public_key.thumbprint)
    listed.revoke(key)
    with pytest.raises(RevocationError, match="revoked for good"):
        listed.revoke(key, verb)
    assert len(listed.versions()) == 3


@pytest.mark.parametrize(
    "what", ["execution", "requester", "policy", "key of the request", "authority's key", "runtime's key", "epoch"]
)
def test_what_is_revoked_by_name_is_denied_and_can_be_resumed(listed: ListedHouse, what: str) -> None:
    # A-54 A-56
    issued = listed.issue(listed.asked())
    target = {
        "execution": name(subjects=issued.subject),
        "requester": name(subjects=REQUESTER),
        "policy": name(policies=listed.policy.statement.id),
        "key of the request": name(keys=world.signer("requester").public_key.thumbprint),
        "authority's key": name(keys=world.signer("authority").public_key.thumbprint),
        "runtime's key": name(keys=world.signer("runtime").public_key.thumbprint),
        "epoch": name(epochs=Epoch(SET, 1)),
    }[what]
    listed.revoke(target, "suspend")
    assert listed.verify(listed.refresh(issued.bundle)).code is Code.REVOKED
    # What is issued from now on is denied as well, an execution excepted, which is one.
    later = listed.verify(listed.issue(listed.asked()).bundle).code
    assert later is (None if what == "execution" else Code.REVOKED)
    listed.revoke(target, "resume")
    assert listed.verify(listed.refresh(issued.bundle)).code is None


def test_an_epoch_revoked_below_a_suspended_one_stays_when_that_is_resumed(listed: ListedHouse) -> None:
    #
    issued = listed.issue(listed.asked())
    listed.revoke(name(epochs=Epoch(SET, 3)), "suspend")
    listed.revoke(name(epochs=Epoch(SET, 1)))
    listed.revoke(name(epochs=Epoch(SET, 3)), "resume")
    assert listed.verify(listed.refresh(issued.bundle)).code is Code.REVOKED


def test_what_cannot_be_revoked_is_told(listed: ListedHouse) -> None:
    issued = listed.issue(listed.asked())
    for target, words in (
        (issued.request, "is a request record"),
        (issued.decision, "is a decision record"),
    ):
        found = listed.find(target)
        assert found is not None
        with pytest.raises(RevocationError, match=words):
            of_artifact(statement.parse(found))
    made = world.parts()
    unlisted = statement.parse(statement.sign(made.record, made.claims, world.signer("authority")))
    with pytest.raises(RevocationError, match="names no status list"):
        of_artifact(unlisted)
    for other in (f"{BASE}:00", f"{BASE}:x", "urn:exequatur:status:other:0", BASE):
        with pytest.raises(RevocationError, match="not a status list of this authority"):
            listed.lists().put(StatusEntry(other, 0), status.REVOKED, NOW)
    for reason in ("", "two\nlines", "x" * 1001):
        with pytest.raises(RevocationError, match="a reason is one line"):
            listed.revoke(issued.bundle, reason=reason)
    assert len(listed.versions()) == 1


def test_more_names_than_a_statement_holds_are_refused(listed: ListedHouse) -> None:
    many = Names(subjects=frozenset(f"urn:x:{number}:{'y' * 400}" for number in range(170)))
    with pytest.raises(RevocationError, match="revoke a key or an epoch instead"):
        listed.lists().name(many, NOW, revoked=True)


def test_a_list_under_a_name_that_another_has_taken_is_told(listed: ListedHouse) -> None:
    record = status.follow(None, FIRST, status.Listed({}, Names(), NOW + 1))
    log = memory_log(listed)
    log.register([statement.sign(record, Claims("urn:other", FIRST, NOW, bytes(16)), world.signer("other"))])
    with pytest.raises(RevocationError, match="is urn:other's; name your lists otherwise"):
        listed.lists().put(StatusEntry(FIRST, 0), status.REVOKED, NOW)
    # An artifact from elsewhere may name it; it is stapled as it is.
    assert listed.lists().fresh([FIRST], NOW)[FIRST].leaf_index == len(log.tree.entries) - 1


def test_what_the_log_refuses_for_good_is_told(listed: ListedHouse) -> None:
    memory_log(listed).refuse[Kind.STATUS] = Refusal("KIND_NOT_ENROLLED", "not this key")
    with pytest.raises(RevocationError, match="version 1: KIND_NOT_ENROLLED: not this key"):
        listed.answer(listed.asked())


def test_a_list_whose_answer_was_lost_is_found_and_not_published_twice(listed: ListedHouse) -> None:
    log = memory_log(listed)
    log.answers, log.loses_answer = 0, True
    with pytest.raises(LogUnavailableError):
        listed.lists().fresh([FIRST], NOW)
    log.answers = None
    assert listed.lists().fresh([FIRST], NOW).keys() == {FIRST}
    assert len(listed.versions()) == 1


def test_a_record_that_is_said_to_be_another_list_is_not_taken(
    listed: ListedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = listed.lists()
    lists.fresh([FIRST], NOW)
    everything = memory_log(listed).newest
    monkeypatch.setattr(MemoryLog, "newest", lambda *_, **__: everything(Kind.STATUS))
    with pytest.raises(NotProvenError, match="no version of"):
        lists.fresh([f"{BASE}:1"], NOW)


# Several who write at once.


class Interposed:
    """A log before whose next registration something else happens, once."""

    def __init__(self, log: Any, happens: Any) -> None:
        self._log = log
        self._happens = happens

    def __getattr__(self, called: str) -> Any:
        return getattr(self._log, called)

    def register(self, statements: Sequence[bytes]) -> Any:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return self._log.register(statements)


@pytest.mark.parametrize("fixture", ["listed", "real"])
def test_who_loses_the_version_revokes_on_the_newer_list(fixture: str, request: pytest.FixtureRequest) -> None:
    #
    house: ListedHouse = request.getfixturevalue(fixture)
    house.lists().fresh([FIRST], NOW)
    log = Interposed(house.log, lambda: house.lists().put(StatusEntry(FIRST, 1), status.SUSPENDED, NOW))
    version = house.lists(log).put(StatusEntry(FIRST, 2), status.REVOKED, NOW)
    assert status.read(version.signed).values == {1: status.SUSPENDED, 2: status.REVOKED}
    assert [one.version for one in house.versions()] == [1, 2, 3]


def test_what_was_revoked_meanwhile_cannot_be_resumed_by_who_looked_before(listed: ListedHouse) -> None:
    # A-56 A-57
    entry = StatusEntry(FIRST, 2)
    listed.lists().put(entry, status.SUSPENDED, NOW)
    log = Interposed(listed.log, lambda: listed.lists().put(entry, status.REVOKED, NOW))
    with pytest.raises(RevocationError, match="revoked for good"):
        listed.lists(log).put(entry, status.VALID, NOW)


def test_many_who_revoke_at_once_lose_nothing(real: ListedHouse) -> None:
    #
    real.lists().fresh([FIRST], NOW)

    def put(idx: int) -> None:
        real.lists().put(StatusEntry(FIRST, idx), status.REVOKED, NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(24)))
    newest = real.lists().newest(FIRST)
    assert newest is not None
    assert status.read(newest).values == dict.fromkeys(range(24), status.REVOKED)
    assert [one.version for one in real.versions()] == list(range(1, 26))


def test_who_never_gets_the_next_version_is_told(listed: ListedHouse) -> None:
    memory_log(listed).refuse[Kind.STATUS] = Refusal("STATUS_INVALID", "not the next version")
    with pytest.raises(RevocationError, match="others kept changing"):
        listed.lists().put(StatusEntry(FIRST, 2), status.REVOKED, NOW)


def test_a_name_resumed_by_who_looked_before_it_was_revoked_for_good_stays_revoked(
    listed: ListedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    #
    key = name(keys=world.signer("requester").public_key.thumbprint)
    listed.revoke(key, "suspend")
    lists, happens = lists_module.StatusLists.name, [lambda: listed.revoke(key)]

    def late(self: Any, *arguments: Any, revoked: bool) -> Any:
        if not revoked and happens:
            happens.pop()()
        return lists(self, *arguments, revoked=revoked)

    monkeypatch.setattr(lists_module.StatusLists, "name", late)
    with pytest.raises(RevocationError, match="revoked for good meanwhile"):
        listed.revoke(key, "resume")
    assert listed.lists().is_named(key.names)


# Several lists.


def test_names_are_in_every_list_and_in_those_to_come(listed: ListedHouse, short_lists: int) -> None:
    #
    bundles_ = [listed.issue(listed.asked()).bundle for _ in range(3)]
    names = {entry.list for entry in (artifact_of(data).record.status for data in bundles_)}  # type: ignore[union-attr]
    assert len(names) >= 2
    listed.revoke(name(subjects=REQUESTER))
    assert {listed.verify(listed.refresh(data)).code for data in bundles_} == {Code.REVOKED}
    later = [listed.issue(listed.asked()).bundle for _ in range(3)]
    assert {listed.verify(data).code for data in later} == {Code.REVOKED}
    listed.revoke(name(subjects="urn:nobody"))
    for number in range(len(listed.lists().every())):
        assert all(set(one.subjects) == {REQUESTER, "urn:nobody"} for one in listed.versions(number)[-1:])


def test_a_list_begun_while_a_name_is_revoked_says_it_too(listed: ListedHouse, short_lists: int) -> None:
    #
    listed.lists().fresh([FIRST], NOW)
    log = Interposed(listed.log, lambda: listed.revoke(name(subjects=REQUESTER)))
    version = listed.lists(log).fresh([f"{BASE}:1"], NOW)[f"{BASE}:1"]
    assert status.read(statement.parse(version.statement)).names.subjects == {REQUESTER}


def test_a_list_that_was_left_out_by_an_interruption_says_it_when_it_is_next_asked_for(
    listed: ListedHouse, short_lists: int
) -> None:
    #
    second = f"{BASE}:1"
    while not listed.versions(1):
        listed.issue(listed.asked())
    log = memory_log(listed)
    log.answers = 1
    names = Names(subjects=frozenset((REQUESTER,)))
    with pytest.raises(LogUnavailableError):
        listed.lists().name(names, NOW, revoked=True)
    log.answers = None
    version = listed.lists().fresh([second], NOW)[second]
    assert status.read(statement.parse(version.statement)).names == names


def test_names_that_never_stand_still_are_told(listed: ListedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    second = f"{BASE}:1"
    listed.lists().fresh([FIRST, second], NOW)
    numbers = iter(range(1000))
    monkeypatch.setattr(
        lists_module.StatusLists, "_names", lambda _: Names(subjects=frozenset((f"urn:x:{next(numbers)}",)))
    )
    with pytest.raises(RevocationError, match="kept changing"):
        listed.lists().fresh([second], NOW)


def test_lists_in_use_are_renewed_and_old_ones_when_they_are_asked_for(listed: ListedHouse, short_lists: int) -> None:
    # A-55 A-58
    first = listed.issue(listed.asked())
    while not listed.versions(2):
        listed.issue(listed.asked())
    every = listed.lists().every()
    renewed = listed.lists().renew(NOW + 10)
    assert [status.record_of(one.signed).list for one in renewed] == every
    assert {status.record_of(one.signed).next_update for one in renewed} == {NOW + 10 + PERIOD}
    # A month after it was full, nobody renews the second one unasked; it lapses, and misses what is revoked by name.
    month = NOW + 31 * 86_400
    assert every[1] not in {status.record_of(one.signed).list for one in listed.lists().renew(month)}
    before = len(listed.versions(1))
    listed.revoke(name(subjects=REQUESTER), now=month)
    assert len(listed.versions(1)) == before
    assert listed.versions(0)[-1].subjects == (REQUESTER,)
    assert entry_of(first).list in every
    version = listed.lists().fresh([every[1]], month)[every[1]]
    assert status.read(statement.parse(version.statement)).names.subjects == {REQUESTER}


# Reports.


def test_a_revocation_is_reported_with_its_cause_reason_and_latency(real: ListedHouse) -> None:
    #
    issued = real.issue(real.asked())
    done = real.revoke(issued.bundle, reason="key left on a train")
    real.revoke(name(policies=real.policy.statement.id), "suspend", "being rewritten")
    (first, one), (second, two) = reports(real)
    assert first.id == done.report
    assert (one.action, one.code, one.seq, one.prev, one.latency_us) == ("revoke", "REVOKED", 1, None, 7)
    assert one.links[0].id == issued.authorization
    assert one.detail == f"authorization {issued.authorization.hex()}: key left on a train"
    assert (first.claims.sub, first.claims.iss) == (issued.subject, AUTHORITY)
    assert (two.code, two.seq, two.prev, two.links) == ("SUSPENDED", 2, first.id, ())
    assert second.claims.sub == FIRST
    monitor = Monitor(lambda _: None, 60)
    assert [found for at, item in enumerate(real.log.statements()) for found in monitor.observe(at, item)] == []


def test_repeated_it_does_nothing_and_interrupted_it_is_completed(listed: ListedHouse) -> None:
    #
    issued = listed.issue(listed.asked())
    log = memory_log(listed)
    log.answers = 1
    with pytest.raises(LogUnavailableError):
        listed.revoke(issued.bundle)
    log.answers = None
    assert (len(listed.versions()), len(reports(listed))) == (2, 0)
    # The report of before is sent, and with it one of the repetition, which could not know of it.
    again = listed.revoke(issued.bundle)
    assert (again.published, again.latency_us) == (False, None)
    assert [record.seq for _, record in reports(listed)] == [1, 2]
    third = listed.revoke(issued.bundle)
    assert (third.published, third.report) == (False, None)
    assert (len(listed.versions()), len(reports(listed))) == (2, 2)


def test_a_suspension_turned_into_a_revocation_is_reported_as_one(listed: ListedHouse) -> None:
    #
    key = name(keys=bytes(32))
    listed.revoke(key, "suspend")
    assert listed.revoke(key).report is not None
    assert [record.code for _, record in reports(listed)] == ["SUSPENDED", "REVOKED"]


def test_a_report_that_the_log_refuses_leaves_no_gap(listed: ListedHouse) -> None:
    #
    issued = listed.issue(listed.asked())
    log = memory_log(listed)
    log.refuse[Kind.ENFORCEMENT] = Refusal("KIND_NOT_ENROLLED", "not this key")
    with pytest.raises(ReportError, match="KIND_NOT_ENROLLED: not this key"):
        listed.revoke(issued.bundle)
    assert listed.verify(listed.refresh(issued.bundle)).code is Code.REVOKED
    log.refuse.clear()
    listed.revoke(issued.bundle)
    assert [record.seq for _, record in reports(listed)] == [1]


def test_a_chain_goes_on_where_the_log_has_it_when_the_journal_is_lost(listed: ListedHouse) -> None:
    #
    listed.revoke(name(keys=bytes(32)))
    (listed.folder / "journal.db").unlink()
    listed.revoke(name(keys=b"k" * 32))
    (first, _), (_, two) = reports(listed)
    assert (two.seq, two.prev) == (2, first.id)


def test_reports_of_two_processes_are_one_chain(listed: ListedHouse) -> None:
    #
    one, other = listed.reports(), listed.reports()
    report = Enforcement((), 0, None, "revoke", "REVOKED")
    kept = [each.keep(report, FIRST, NOW) for each in (one, other, one)]
    assert other.send() == 3
    assert one.send() == 0
    assert [item.id for item, _ in reports(listed)] == kept
    assert [record.seq for _, record in reports(listed)] == [1, 2, 3]


def test_a_signer_that_fails_leaves_no_number_behind(listed: ListedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    #
    made = listed.reports()
    report = Enforcement((), 0, None, "revoke", "REVOKED")
    with monkeypatch.context() as patched:
        patched.setattr(statement, "sign", lambda *_: (_ for _ in ()).throw(OSError("the token is gone")))
        with pytest.raises(OSError, match="the token is gone"):
            made.keep(report, FIRST, NOW)
    made.keep(report, FIRST, NOW)
    made.send()
    assert [record.seq for _, record in reports(listed)] == [1]


def test_a_journal_that_cannot_be_written_is_told(listed: ListedHouse) -> None:
    from exequatur_issuer.journal import JournalError

    journal = Journal(listed.folder / "other.db")
    with journal.transaction() as file:
        file.execute("DROP TABLE reports")
    with pytest.raises(JournalError, match=r"other\.db: no such table"), journal.transaction() as file:
        file.execute("SELECT * FROM reports")


def test_the_head_of_a_fresh_receipt_has_the_list(listed: ListedHouse) -> None:
    # B-14
    issued = listed.issue(listed.asked())
    listed.revoke(issued.bundle, "suspend")
    parts = bundle.decode(listed.refresh(issued.bundle))
    presented = receipt.parse(statement.parse_transparent(parts.artifact)[1][0])
    (element,) = parts.status
    assert presented.inclusion.leaf_index < element.positions[listed.log.origin].leaf_index < presented.inclusion.size
    assert RUNTIME.id == artifact_of(bundle.encode(parts)).claims.aud
