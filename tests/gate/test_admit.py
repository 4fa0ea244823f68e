"""Admission: one transaction, one permit, one start; however many ask at once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate import memory, spool
from exequatur_gate.admit import Admission, OvertakenError, Permit, PermitUsedError, Presented, admit
from exequatur_gate.gate import Gate
from exequatur_gate.records import GATE
from exequatur_verifier import action, cbor, verify
from exequatur_verifier.memory import Clock, Memory, Proof
from exequatur_verifier.records import Link, Outcome, Verification
from exequatur_verifier.verdict import Code, Denial, Evidence, Verdict
from tests.gate.homes import make_home, open_gate, spooled
from tests.support import world
from tests.support.world import COMMAND, FACTS, NOW, SALT, Log

CLOCK = Clock(NOW, "boot", 100)


@pytest.fixture
def log() -> Log:
    return world.new_log()


@pytest.fixture
def gate(tmp_path: Path, log: Log) -> Iterator[Gate]:
    # Enrolled with the head that the tests' bundles rest on, so that none needs a consistency proof.
    world.authorize(COMMAND, FACTS, log)
    with open_gate(make_home(tmp_path / "home", log)) as gate:
        yield gate


@pytest.fixture
def bundle() -> bytes:
    return world.authorize(COMMAND, FACTS, world.new_log())


def judge(gate: Gate, bundle: bytes | None, now: Clock = CLOCK) -> Callable[[Memory, tuple[Proof, ...]], Verdict]:
    return lambda known, proofs: verify(bundle, COMMAND, FACTS, gate.trust, known, proofs, now)


def ask(gate: Gate, bundle: bytes | None, now: Clock = CLOCK) -> Admission:
    judged = judge(gate, bundle, now)
    return admit(gate.state, gate.author, Presented(bundle, COMMAND, FACTS), judged(*gate.state.recall()), judged)


def count(gate: Gate, table: str) -> int:
    with gate.state.transaction() as transaction:
        return int(transaction.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_admission_records_what_was_verified(gate: Gate, bundle: bytes) -> None:
    # G-01 G-07 G-10 T-02
    admission = ask(gate, bundle)
    (made,) = spooled(gate)
    record = made.record
    assert isinstance(record, Verification)
    assert admission.verdict.statement is not None
    assert record.links == (Link("authorization", admission.verdict.statement.id),)
    assert (made.id, made.claims.sub) == (admission.verification, world.SUBJECT)
    assert record.steps == (*((number, "passed") for number in range(16)),)
    assert record.facts == action.commitment(action.FACTS_TAG, SALT, cbor.encode(dict(FACTS.measured)))
    assert [(head.origin, head.size) for head in record.heads] == [(world.ORIGIN, 5)]
    assert record.trust == gate.trust.digest
    assert record.enforcement == ("no-new-privs", "pidfd", "process-group", "sealed-image")
    assert (record.gate, record.use) == (GATE, 1) == ("unprotected", 1)
    admission.permit.close()


def test_admission_is_remembered(gate: Gate, bundle: bytes) -> None:
    before, _ = gate.state.recall()
    ask(gate, bundle).permit.close()
    after, _ = gate.state.recall()
    assert after.generation == before.generation + 1
    assert after.floor == NOW
    assert after.clock == (NOW, "boot", 101)
    assert [policy.epoch for policy in after.policies.values()] == [1]


def test_only_admission_makes_a_permit(gate: Gate, bundle: bytes) -> None:
    # G-09
    permit = ask(gate, bundle).permit
    with pytest.raises(TypeError):
        Permit(object(), permit.presented, permit.salt, permit.terms, permit.take(), permit._lock)
    permit.close()


def test_permit_is_used_once(gate: Gate, bundle: bytes) -> None:
    # G-09
    permit = ask(gate, bundle).permit
    assert permit.take().subject == world.SUBJECT
    with pytest.raises(PermitUsedError):
        permit.take()
    permit.close()


def test_closed_permit_starts_nothing(gate: Gate, bundle: bytes) -> None:
    permit = ask(gate, bundle).permit
    permit.close()
    with pytest.raises(PermitUsedError):
        permit.take()


def test_denied_verdict_is_not_admitted(gate: Gate) -> None:
    with pytest.raises(ValueError, match="denied"):
        ask(gate, None)
    assert count(gate, "records") == 0


def test_verdict_without_memory_is_not_admitted(gate: Gate, bundle: bytes) -> None:
    judged = judge(gate, bundle)
    with pytest.raises(ValueError, match="without memory"):
        admit(gate.state, gate.author, Presented(bundle, COMMAND, FACTS), judged(None, ()), judged)  # type: ignore[arg-type]  # a verdict as `exequatur verify` makes it


def test_each_use_is_counted_and_the_last_is_the_last(tmp_path: Path) -> None:
    # G-06
    log = world.new_log()
    bundle = world.authorize(COMMAND, FACTS, log, uses=3)
    with open_gate(make_home(tmp_path / "home", log)) as gate:
        for _ in range(3):
            ask(gate, bundle).permit.close()
        with pytest.raises(Denial) as denial:
            ask(gate, bundle)
        assert denial.value.code is Code.USES_EXHAUSTED
        assert [made.record.use for made in spooled(gate) if isinstance(made.record, Verification)] == [1, 2, 3]


def test_uses_are_counted_by_record_whatever_carries_it(gate: Gate, bundle: bytes, log: Log) -> None:
    # G-06 C-10
    ask(gate, bundle).permit.close()
    # The same authorization, registered again and with another receipt.
    again = world.authorize(COMMAND, FACTS, log)
    assert again != bundle
    proof = world.proof(log, 5)
    judged = judge(gate, again)
    verdict = judged(gate.state.recall()[0], (proof,))
    assert verdict.code is None
    with pytest.raises(Denial) as denial:
        admit(gate.state, gate.author, Presented(again, COMMAND, FACTS), verdict, judged)
    assert denial.value.code is Code.USES_EXHAUSTED


def test_authorization_without_a_use_is_never_admitted(tmp_path: Path) -> None:
    log = world.new_log()
    bundle = world.authorize(COMMAND, FACTS, log, uses=0)
    with open_gate(make_home(tmp_path / "home", log)) as gate, pytest.raises(Denial) as denial:
        ask(gate, bundle)
    assert denial.value.code is Code.USES_EXHAUSTED


def test_changed_memory_is_judged_again(gate: Gate, bundle: bytes) -> None:
    # G-05
    judged = judge(gate, bundle)
    verdict = judged(*gate.state.recall())
    with gate.state.transaction() as transaction:
        memory.remember(transaction, verdict.learned, ())
    again: list[int] = []

    def judge_again(known: Memory, proofs: tuple[Proof, ...]) -> Verdict:
        again.append(known.generation)
        return judged(known, proofs)

    admission = admit(gate.state, gate.author, Presented(bundle, COMMAND, FACTS), verdict, judge_again)
    assert again == [1]
    assert admission.verdict.generation == 1
    admission.permit.close()


def test_what_changed_memory_forbids_is_not_admitted(gate: Gate, bundle: bytes) -> None:
    # G-05
    judged = judge(gate, bundle)
    known, proofs = gate.state.recall()
    verdict = judged(known, proofs)
    head = known.heads[world.ORIGIN]
    with gate.state.transaction() as transaction:
        memory.remember_fork(transaction, Evidence(head, head))
    with pytest.raises(OvertakenError) as overtaken:
        admit(gate.state, gate.author, Presented(bundle, COMMAND, FACTS), verdict, judged)
    assert overtaken.value.verdict.code is Code.LOG_FORK
    assert count(gate, "uses") == count(gate, "records") == count(gate, "reservations") == 0


def test_too_many_waiting_records_deny(gate: Gate, bundle: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # G-08
    monkeypatch.setattr(spool, "MAX_WAITING", 0)
    with pytest.raises(Denial) as denial:
        ask(gate, bundle)
    assert denial.value.code is Code.SPOOL_STALE
    monkeypatch.setattr(spool, "MAX_WAITING", 1)
    ask(gate, bundle).permit.close()


def test_too_old_waiting_records_deny(tmp_path: Path) -> None:
    # G-08
    log = world.new_log()
    bundle = world.authorize(COMMAND, FACTS, log, uses=2, ttl=spool.MAX_AGE_S + 100)
    home = make_home(tmp_path / "home", log, trust={"max_age": spool.MAX_AGE_S + 100})
    with open_gate(home) as gate:
        ask(gate, bundle).permit.close()
        later = Clock(NOW + spool.MAX_AGE_S, "boot", 100 + spool.MAX_AGE_S)
        with pytest.raises(Denial) as denial:
            ask(gate, bundle, later._replace(unix=later.unix + 1, uptime=later.uptime + 1))
        assert denial.value.code is Code.SPOOL_STALE
        ask(gate, bundle, later).permit.close()


class BrokenSigner:
    """A signer whose token was pulled."""

    public_key = world.signer("runtime").public_key

    def sign(self, message: bytes) -> bytes:
        raise OSError(f"the token is gone, and {len(message)} bytes are not signed")


def test_admission_that_cannot_be_signed_leaves_nothing(gate: Gate, bundle: bytes) -> None:
    # G-07 G-10
    judged = judge(gate, bundle)
    author = gate.author._replace(signer=BrokenSigner())
    with pytest.raises(OSError, match="token"):
        admit(gate.state, author, Presented(bundle, COMMAND, FACTS), judged(*gate.state.recall()), judged)
    assert [count(gate, table) for table in ("uses", "records", "reservations", "policies")] == [0, 0, 0, 0]
    assert gate.state.recall()[0].generation == 0
    ask(gate, bundle).permit.close()


def test_locked_reservation_number_denies(gate: Gate, bundle: bytes) -> None:
    held = ask(gate, bundle).permit
    with gate.state.transaction() as transaction:
        # As if the numbers began again, while the gate of the first still lives.
        transaction.execute("DELETE FROM uses")
        transaction.execute("DELETE FROM reservations")
        transaction.execute("DELETE FROM sqlite_sequence")
    with pytest.raises(Denial) as denial:
        ask(gate, bundle)
    assert denial.value.code is Code.STATE_UNAVAILABLE
    held.close()


@pytest.mark.parametrize("uses", [1, 3])
def test_processes_that_race_get_no_more_than_the_uses(tmp_path: Path, uses: int) -> None:
    # G-06
    log = world.new_log()
    bundle = world.authorize(COMMAND, FACTS, log, uses=uses)
    home = make_home(tmp_path / "home", log)
    waiting, start = os.pipe()

    def compete() -> int:
        with open_gate(home) as gate:
            os.read(waiting, 1)
            decision = gate.decide(bundle, COMMAND, FACTS)
            if decision.permit is not None:
                return 0
            assert decision.failure is not None
            return 1 if decision.failure.code is Code.USES_EXHAUSTED else 2

    children = [fork(compete) for _ in range(8)]
    os.write(start, b"." * len(children))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(statuses) == [0] * uses + [1] * (8 - uses)
    with open_gate(home) as gate:
        made: Any = [made.record for made in spooled(gate)]
        assert sorted(record.use for record in made if isinstance(record, Verification)) == list(range(1, uses + 1))
        # Each was left behind by its process, and cleared up by whoever opened a gate next.
        assert [record.status for record in made if isinstance(record, Outcome)] == ["orphaned"] * uses


def fork(job: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(job())
        finally:
            os._exit(99)
    return child
