"""The gate: it arms only after a denial, denies with a code whatever happens, and what it denied is on record."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate import gate as gates
from exequatur_gate import memory, spool
from exequatur_gate.flush import Answer, Flushed
from exequatur_gate.gate import Decision, Gate, NotArmedError
from exequatur_gate.state import StateUnavailableError
from exequatur_verifier import bundle as bundles
from exequatur_verifier import statement, verify
from exequatur_verifier.bundle import Stapled
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Clock
from exequatur_verifier.records import Enforcement, Link
from exequatur_verifier.statement import Statement
from exequatur_verifier.verdict import Code
from tests.gate.homes import Recorder, Source, make_home, open_gate, spooled
from tests.support import world
from tests.support.world import COMMAND, FACTS, NOW, Log


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> Clock:
        return Clock(NOW + self.seconds, "boot", 100 + self.seconds)


@pytest.fixture
def log() -> Log:
    return world.new_log()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def bundle(log: Log) -> bytes:
    return world.authorize(COMMAND, FACTS, log, uses=1000)


@pytest.fixture
def gate(tmp_path: Path, log: Log, bundle: bytes, clock: Hand) -> Iterator[Gate]:
    with open_gate(make_home(tmp_path / "home", log), clock) as gate:
        yield gate


def ask(gate: Gate, bundle: bytes | None, action: Any = COMMAND) -> Decision:
    decision = gate.decide(bundle, action, FACTS)
    if decision.permit is not None:
        decision.permit.close()
    return decision


def code_of(decision: Decision) -> Code | None:
    """Return the code of a denial, having seen that nothing but a permit, or nothing but a denial, was given."""
    assert (decision.permit is None) != (decision.failure is None)
    return None if decision.failure is None else decision.failure.code


def denials(gate: Gate) -> list[tuple[Statement, Enforcement]]:
    return [(made, made.record) for made in spooled(gate) if isinstance(made.record, Enforcement)]


def test_authorized_action_gets_a_permit(gate: Gate, bundle: bytes) -> None:
    decision = ask(gate, bundle)
    assert code_of(decision) is None
    assert [made.id for made in spooled(gate)] == [decision.record]
    assert decision.subject == world.SUBJECT


def test_decision_has_no_truth_value(gate: Gate, bundle: bytes) -> None:
    with pytest.raises(TypeError):
        bool(ask(gate, bundle))


def test_gate_that_denies_nothing_does_not_arm(
    tmp_path: Path, log: Log, bundle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # G-27
    home = make_home(tmp_path / "home", log)

    def allow(_: bytes | None, __: Any, ___: Facts, *rest: Any) -> Any:
        return verify(bundle, COMMAND, FACTS, *rest)

    monkeypatch.setattr(gates, "verify", allow)
    with pytest.raises(NotArmedError):
        open_gate(home)


def test_gate_that_admits_denials_does_not_arm(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    # G-27
    home = make_home(tmp_path / "home", log)
    monkeypatch.setattr(gates, "admit", lambda *_: None)
    with pytest.raises(NotArmedError):
        open_gate(home)


def test_gate_without_its_state_does_not_open(tmp_path: Path, log: Log) -> None:
    # G-02 G-27
    home = make_home(tmp_path / "home", log)
    (home / "state.db").unlink()
    with pytest.raises(StateUnavailableError):
        open_gate(home)


def test_gate_with_an_old_copy_of_its_state_does_not_open(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-02
    home = make_home(tmp_path / "home", log)
    with open_gate(home) as gate:
        ask(gate, bundle)
    open_gate(home, logged_seq=1).close()
    with pytest.raises(StateUnavailableError, match="old copy"):
        open_gate(home, logged_seq=3)


def test_denial_without_an_artifact_is_a_case_of_its_own(gate: Gate) -> None:
    decision = ask(gate, None)
    assert code_of(decision) is Code.ARTIFACT_MISSING
    ((made, record),) = denials(gate)
    assert (made.id, made.claims.sub) == (decision.record, decision.subject)
    assert made.claims.sub.startswith("urn:uuid:")
    assert record == ((), 1, None, "deny", "ARTIFACT_MISSING", 0, None, None, 1, None)


def test_denial_of_a_logged_artifact_belongs_to_its_case(gate: Gate, bundle: bytes) -> None:
    decision = ask(gate, bundle, {**COMMAND, "args": [b"git", b"push"]})
    assert code_of(decision) is Code.ACTION_MISMATCH
    ((made, record),) = denials(gate)
    assert decision.verdict is not None
    assert decision.verdict.statement is not None
    assert record.links == (Link("cause", decision.verdict.statement.id),)
    assert (made.claims.sub, record.code, record.step) == (world.SUBJECT, "ACTION_MISMATCH", 9)
    assert (record.about, record.detail) == (None, None)


def test_artifact_that_is_in_no_log_is_named_and_not_linked(gate: Gate, log: Log) -> None:
    other = world.new_log("other.example/log")
    decision = ask(gate, world.authorize(COMMAND, FACTS, other))
    assert code_of(decision) is Code.LOG_UNTRUSTED
    ((made, record),) = denials(gate)
    assert decision.verdict is not None
    assert decision.verdict.statement is not None
    assert (record.links, record.about) == ((), decision.verdict.statement.id)
    assert made.claims.sub != world.SUBJECT


def test_like_denials_within_a_minute_are_counted(gate: Gate, clock: Hand) -> None:
    first = ask(gate, None)
    clock.seconds = 30
    assert [ask(gate, None).record for _ in range(3)] == [None] * 3
    assert ask(gate, b"\xa0").record is not None
    clock.seconds = 61
    later = ask(gate, None)
    records = [(record.code, record.times) for _, record in denials(gate)]
    assert records == [("ARTIFACT_MISSING", 1), ("ARTIFACT_MALFORMED", 1), ("ARTIFACT_MISSING", 4)]
    assert first.record != later.record


def test_counted_denials_are_recorded_when_their_minute_is_over(gate: Gate, clock: Hand) -> None:
    subjects = {ask(gate, None).subject for _ in range(3)}
    assert len(subjects) == 1
    gate.flush()
    assert [record.times for _, record in denials(gate)] == [1]
    clock.seconds = 60
    gate.flush()
    gate.flush()
    assert [record.times for _, record in denials(gate)] == [1, 2]
    assert {made.claims.sub for made, _ in denials(gate)} == subjects


def test_counted_denials_keep_what_they_are_about(gate: Gate, bundle: bytes, clock: Hand) -> None:
    for _ in range(2):
        ask(gate, bundle, {**COMMAND, "uid": 7})
    clock.seconds = 60
    gate.flush()
    (first, one), (second, two) = denials(gate)
    assert (one.links, first.claims.sub) == (two.links, second.claims.sub)
    assert (one.times, two.times, two.step) == (1, 1, 9)


def test_full_spool_counts_denials_only(
    gate: Gate, bundle: bytes, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_WAITING", 0)
    for uid in range(3):
        assert ask(gate, bundle, {**COMMAND, "uid": uid}).record is None
    assert code_of(ask(gate, bundle)) is Code.SPOOL_STALE
    clock.seconds = 60
    gate.flush()
    assert denials(gate) == []
    monkeypatch.undo()
    gate.flush()
    assert [(record.code, record.times, record.links) for _, record in denials(gate)] == [
        ("ACTION_MISMATCH", 3, ()),
        ("SPOOL_STALE", 1, ()),
    ]


def test_denial_is_not_remembered(gate: Gate, bundle: bytes) -> None:
    before = gate.state.recall()
    ask(gate, bundle, {**COMMAND, "uid": 7})
    assert gate.state.recall() == before


def test_fork_is_kept_as_evidence_and_denies_from_then_on(gate: Gate, bundle: bytes) -> None:
    # G-04
    fork = world.new_log()
    fork.entries[0] = b"another history"
    forked = world.authorize(COMMAND, FACTS, fork)
    assert code_of(ask(gate, bundle)) is None
    assert code_of(ask(gate, forked)) is Code.LOG_FORK
    assert code_of(ask(gate, bundle)) is Code.LOG_FORK
    with gate.state.transaction() as transaction:
        evidence = memory.load_forks(transaction)[world.ORIGIN]
    assert evidence.remembered.size == evidence.presented.size
    assert evidence.remembered.root != evidence.presented.root


def test_rollback_is_kept_as_evidence(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-04
    for number in range(5):
        log.append(b"more %d" % number)
    with open_gate(make_home(tmp_path / "home", log)) as gate:
        # Five leaves, signed ten seconds after ten leaves.
        assert code_of(ask(gate, bundle)) is Code.LOG_ROLLBACK
        assert gate.state.recall()[0].forked == {world.ORIGIN}


def test_evidence_that_comes_with_another_failure_is_kept_too(gate: Gate) -> None:
    # G-04
    fork = world.new_log()
    fork.entries[0] = b"another history"
    assert code_of(ask(gate, world.authorize(COMMAND, FACTS, fork, now=NOW - 100_000))) is Code.CHECKPOINT_STALE
    assert gate.state.recall()[0].forked == {world.ORIGIN}


def test_lacking_proof_is_asked_for(tmp_path: Path, log: Log, bundle: bytes) -> None:
    home = make_home(tmp_path / "home", log)
    later = world.authorize(COMMAND, FACTS, log)
    with open_gate(home) as gate:
        assert code_of(ask(gate, later)) is Code.CONSISTENCY_MISSING
    source = Source(log)
    with open_gate(home, source=source) as gate:
        assert code_of(ask(gate, bundle)) is None
        assert source.asked == []
        assert code_of(ask(gate, later)) is None
        assert source.asked == [(world.ORIGIN, 5, 7)]
        # From now on the older head is the one that needs a proof.
        assert code_of(ask(gate, bundle)) is None
        assert source.asked == [(world.ORIGIN, 5, 7)] * 2


def test_proof_of_another_history_is_evidence(tmp_path: Path, log: Log, bundle: bytes) -> None:
    home = make_home(tmp_path / "home", log)
    fork = world.new_log()
    fork.entries[0] = b"another history"
    world.authorize(COMMAND, FACTS, fork)
    later = world.authorize(COMMAND, FACTS, fork)
    with open_gate(home, source=Source(fork)) as gate:
        assert code_of(ask(gate, later)) is Code.LOG_FORK


class Silent:
    """A source that cannot be reached."""

    def prove(self, *_: object) -> None:
        return None


def test_source_that_cannot_be_reached_denies(tmp_path: Path, log: Log, bundle: bytes) -> None:
    home = make_home(tmp_path / "home", log)
    later = world.authorize(COMMAND, FACTS, log)
    with open_gate(home, source=Silent()) as gate:
        assert code_of(ask(gate, later)) is Code.CONSISTENCY_MISSING


def test_stapled_proof_serves_a_later_bundle(gate: Gate, log: Log, bundle: bytes) -> None:
    between = world.authorize(COMMAND, FACTS, log)
    newest = bundles.decode(world.authorize(COMMAND, FACTS, log, name="newest"))
    stapled = [world.proof(log, size) for size in (5, 7)]
    proofs = tuple(Stapled(proof.origin, proof.size1, proof.root1, proof.path) for proof in stapled)
    assert code_of(ask(gate, bundles.encode(newest._replace(proofs=proofs)))) is None
    assert code_of(ask(gate, between)) is None


def test_memory_that_outruns_the_proofs_is_asked_for_again(
    gate: Gate, log: Log, bundle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another process remembers a larger head between verdict and admission, every time.
    source = Source(log)
    monkeypatch.setattr(gate, "_source", source)
    admit: Any = vars(gates)["admit"]

    def overtake(once: list[int]) -> Callable[..., Any]:
        def overtaken(*arguments: Any) -> Any:
            if once:
                once.pop()
                log.append(b"growth")
                with gate.state.transaction() as transaction:
                    head = log.known_head(NOW, gate.trust.digest)
                    memory._put_head(transaction, head)
                    transaction.execute("UPDATE memory SET generation = generation + 1")
            return admit(*arguments)

        return overtaken

    monkeypatch.setattr(gates, "admit", overtake([1, 2]))
    assert code_of(ask(gate, bundle)) is None
    assert [asked[1:] for asked in source.asked] == [(5, 6), (5, 7)]
    monkeypatch.setattr(gates, "admit", overtake(list(range(100))))
    assert code_of(ask(gate, bundle)) is Code.STATE_UNAVAILABLE


def test_home_that_trust_wants_protected_is_not(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-01
    trust = {"extra": "[enforcement]\nprotected_home = true"}
    with open_gate(make_home(tmp_path / "home", log, trust=trust)) as gate:
        decision = ask(gate, bundle)
        assert code_of(decision) is Code.ENFORCEMENT_UNAVAILABLE
        assert decision.failure is not None
        assert decision.failure.number == 10


def test_unmeasured_action_is_denied_for_that_unless_an_earlier_step_failed(gate: Gate, bundle: bytes) -> None:
    denied = gate.decide(bundle, {}, Facts(), unmeasured="no such file")
    assert code_of(denied) is Code.FACT_MISMATCH
    assert denied.failure is not None
    assert denied.failure.detail == "no such file"
    assert code_of(gate.decide(None, {}, Facts(), unmeasured="no such file")) is Code.ARTIFACT_MISSING
    assert code_of(gate.decide(bundle, COMMAND, FACTS, unmeasured="no such file")) is Code.FACT_MISMATCH


def test_state_that_breaks_denies(gate: Gate, bundle: bytes) -> None:
    with gate.state.transaction() as transaction:
        transaction.execute("DROP TABLE uses")
    decision = ask(gate, bundle)
    assert code_of(decision) is Code.STATE_UNAVAILABLE
    assert spooled(gate) == []


def test_full_disk_denies_and_changes_nothing(gate: Gate, bundle: bytes) -> None:
    # G-07 G-12
    before = gate.state.recall()
    with gate.state.transaction() as transaction:
        ((pages,),) = transaction.execute("PRAGMA page_count")
    gate.state._connection.execute(f"PRAGMA max_page_count = {pages}")
    codes = [code_of(ask(gate, bundle)) for _ in range(20)]
    assert codes[-1] is Code.STATE_UNAVAILABLE
    assert set(codes) <= {None, Code.STATE_UNAVAILABLE}
    admitted = codes.count(None)
    assert gate.state.recall()[0].generation == before[0].generation + admitted
    assert len(spooled(gate)) == admitted == gate.state.last_seq


def test_denial_that_cannot_be_recorded_stays_a_denial(gate: Gate) -> None:
    with gate.state.transaction() as transaction:
        transaction.execute("DROP TABLE denials")
    decision = ask(gate, None)
    assert (code_of(decision), decision.record) == (Code.ARTIFACT_MISSING, None)
    assert decision.failure is not None
    assert "not recorded" in decision.failure.detail


def test_unforeseen_error_denies(gate: Gate, bundle: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "admit", lambda *_: 1 / 0)
    assert code_of(ask(gate, bundle)) is Code.INTERNAL_ERROR


def test_flush_sends_in_order_and_forgets(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-24 R-03
    sink = Recorder()
    with open_gate(make_home(tmp_path / "home", log), sink=sink) as gate:
        for _ in range(300):
            ask(gate, bundle)
        made = [made.entry for made in spooled(gate)]
        assert gate.flush() == Flushed(accepted=300)
        assert sink.kept == made
        assert spooled(gate) == []
        # The chain goes on where it was.
        ask(gate, None)
        record: Any = spooled(gate)[0].record
        assert (record.seq, gate.state.last_seq) == (301, 301)
        assert record.prev is not None


def test_without_a_sink_everything_waits(gate: Gate, bundle: bytes) -> None:
    ask(gate, bundle)
    assert gate.flush() == Flushed(waiting=1)


def test_flush_stops_where_the_log_cannot_be_reached(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-24
    sink = Recorder(lambda made: Answer("accepted" if getattr(made.record, "seq", 0) <= 2 else "unavailable"))
    with open_gate(make_home(tmp_path / "home", log), sink=sink) as gate:
        for _ in range(4):
            ask(gate, bundle)
        made = [made.entry for made in spooled(gate)]
        assert gate.flush() == Flushed(accepted=2, waiting=2)
        assert gate.flush() == Flushed(waiting=2)
        sink.answer = lambda _: Answer("accepted")
        assert gate.flush() == Flushed(accepted=2)
        assert sink.kept == made


def test_missing_answers_mean_unavailable(tmp_path: Path, log: Log, bundle: bytes) -> None:
    class Terse(Recorder):
        def append(self, statements: Any) -> Any:
            return super().append(statements[:1])

    with open_gate(make_home(tmp_path / "home", log), sink=Terse()) as gate:
        for _ in range(3):
            ask(gate, bundle)
        assert gate.flush() == Flushed(accepted=1, waiting=2)


def test_refused_record_is_followed_by_a_gap_that_names_it(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-25
    refused: list[bytes] = []

    def answer(made: Statement) -> Answer:
        if getattr(made.record, "seq", 0) == 2:
            refused.append(made.id)
            return Answer("refused", "LINK_MISSING")
        return Answer("accepted")

    sink = Recorder(answer)
    with open_gate(make_home(tmp_path / "home", log), sink=sink) as gate:
        for _ in range(3):
            ask(gate, bundle)
        assert gate.flush() == Flushed(accepted=3, refused=1)
        kept: list[Any] = [statement.parse(signed).record for signed in sink.kept]
        assert [record.seq for record in kept] == [1, 3, 4]
        assert (kept[2].action, kept[2].code, kept[2].about) == ("gap", "LINK_MISSING", refused[0])
        assert gate.flush() == Flushed()
        with gate.state.transaction() as transaction:
            assert spool.measure(transaction).refused == 1


def test_refused_gap_has_no_gap(tmp_path: Path, log: Log, bundle: bytes) -> None:
    # G-25
    with open_gate(make_home(tmp_path / "home", log), sink=Recorder(lambda _: Answer("refused", "NO"))) as gate:
        ask(gate, bundle)
        assert gate.flush() == Flushed(refused=2)
        assert gate.state.last_seq == 2
