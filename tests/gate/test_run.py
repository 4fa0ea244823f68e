"""The process seat, from a bundle to an outcome, with real commands."""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate import reservations
from exequatur_gate.gate import Gate
from exequatur_gate.images import seal
from exequatur_gate.reservations import Reservation
from exequatur_gate.run import DENIED, UNRECORDED, Run, carry_out, run
from exequatur_gate.state import StateUnavailableError
from exequatur_verifier import action, cbor
from exequatur_verifier.constraints import Constraints, Limits, Process
from exequatur_verifier.host import measure
from exequatur_verifier.records import Outcome, Verification
from exequatur_verifier.verdict import Code
from tests.gate.commands import write as write_script
from tests.gate.homes import ENVIRON, Recorder, Source, authorize, make_home, open_gate, run_in, spooled
from tests.support import world
from tests.support.world import SALT, Log


@pytest.fixture
def log() -> Log:
    return world.new_log()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def gate(tmp_path: Path, log: Log) -> Iterator[Gate]:
    with open_gate(make_home(tmp_path / "home", log), source=Source(log)) as gate:
        yield gate


def code_of(made: Run) -> Code | None:
    assert made.status == DENIED
    assert made.result is None
    assert made.decision.failure is not None
    return made.decision.failure.code


def shell(program: str) -> list[bytes]:
    return [b"sh", b"-c", program.encode()]


def outcome_of(gate: Gate) -> Outcome:
    verification, outcome = spooled(gate)[-2:]
    assert isinstance(verification.record, Verification)
    assert isinstance(outcome.record, Outcome)
    assert [(link.relation, link.id) for link in outcome.record.links] == [("verification", verification.id)]
    assert verification.claims.sub == outcome.claims.sub == world.SUBJECT
    with gate.state.transaction() as transaction:
        assert transaction.execute("SELECT count(*) FROM reservations").fetchone() == (0,)
    return outcome.record


def test_command_runs_as_authorized_and_its_outcome_is_recorded(gate: Gate, log: Log, work: Path) -> None:
    # G-11
    argv = shell("echo $SECRET$PATH; exit 3")
    made, stdout = run_in(gate, authorize(argv, work, log), argv, work)
    assert stdout == b"/usr/bin:/bin\n"
    assert made.status == 3
    assert made.decision.permit is not None
    record = outcome_of(gate)
    assert (record.status, record.code, record.signal, record.detail) == ("exited", 3, None, None)
    assert made.outcome == spooled(gate)[-1].id
    assert record.started_ms is not None
    assert record.ended_ms is not None
    assert record.started_ms <= record.ended_ms
    content = cbor.encode(["stdout", len(stdout), hashlib.sha256(stdout).digest()])
    assert record.stdout == action.commitment(action.OUTPUT_TAG, SALT, content)
    assert record.stderr is not None
    assert record.stderr != record.stdout
    assert record.resources is not None


def test_second_run_of_a_single_use_is_denied(gate: Gate, log: Log, work: Path) -> None:
    # G-06 G-26
    argv = shell("echo ran >> trace")
    bundle = authorize(argv, work, log)
    assert run_in(gate, bundle, argv, work)[0].status == 0
    assert code_of(run_in(gate, bundle, argv, work)[0]) is Code.USES_EXHAUSTED
    assert (work / "trace").read_text() == "ran\n"


def test_death_by_a_signal_is_passed_on(gate: Gate, log: Log, work: Path) -> None:
    argv = shell("kill -TERM $$")
    made, _ = run_in(gate, authorize(argv, work, log), argv, work)
    assert made.status == 128 + signal.SIGTERM
    record = outcome_of(gate)
    assert (record.status, record.code, record.signal) == ("signaled", None, signal.SIGTERM)


def test_limit_kills_and_is_named(gate: Gate, log: Log, work: Path) -> None:
    argv = shell("yes")
    rules = Constraints(limits=Limits(output=1000))
    made, stdout = run_in(gate, authorize(argv, work, log, rules=rules), argv, work)
    assert (made.status, len(stdout)) == (128 + signal.SIGKILL, 1000)
    record = outcome_of(gate)
    assert (record.status, record.violations) == ("killed", ("output",))
    verification = spooled(gate)[0].record
    assert isinstance(verification, Verification)
    assert "output-limit" in verification.enforcement


@pytest.mark.parametrize("argv", [shell("echo other"), [b"sh"], [b"echo", b"hello"]])
def test_changed_arguments_are_denied(gate: Gate, log: Log, work: Path, argv: list[bytes]) -> None:
    # G-26
    made, stdout = run_in(gate, authorize(shell("echo hello"), work, log), argv, work)
    assert (code_of(made), stdout) == (Code.ACTION_MISMATCH, b"")


def test_other_directory_is_denied(gate: Gate, log: Log, work: Path) -> None:
    (work / "there").mkdir()
    argv = shell("echo hello")
    made, _ = run_in(gate, authorize(argv, work, log), argv, work / "there")
    assert code_of(made) is Code.ACTION_MISMATCH


def test_swapped_executable_is_denied(gate: Gate, log: Log, work: Path) -> None:
    tool = work / "tool"
    shutil.copy("/bin/true", tool)
    bundle = authorize([b"./tool"], work, log)
    shutil.copy("/bin/false", tool)
    assert code_of(run_in(gate, bundle, [b"./tool"], work)[0]) is Code.FACT_MISMATCH


@pytest.mark.parametrize("loss", [Path.unlink, lambda path: path.write_text("no program")])
def test_executable_that_cannot_be_measured_is_denied(gate: Gate, log: Log, work: Path, loss: Any) -> None:
    tool = work / "tool"
    shutil.copy("/bin/true", tool)
    bundle = authorize([b"./tool"], work, log)
    loss(tool)
    assert code_of(run_in(gate, bundle, [b"./tool"], work)[0]) is Code.FACT_MISMATCH


def test_failure_of_the_bundle_comes_before_that_of_the_command(gate: Gate, log: Log, work: Path) -> None:
    bundle = authorize([b"true"], work, log, ttl=-100)
    assert code_of(run_in(gate, bundle, [b"no-such-command"], work)[0]) is Code.EXPIRED


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (None, Code.ARTIFACT_MISSING),
        (b"", Code.ARTIFACT_MISSING),
        (b"nonsense", Code.ARTIFACT_MALFORMED),
        (bytes((1 << 20) + 1), Code.ARTIFACT_TOO_LARGE),
    ],
)
def test_nothing_runs_without_a_bundle(gate: Gate, work: Path, bundle: bytes | None, code: Code) -> None:
    # G-26
    made, _ = run_in(gate, bundle, shell("touch ran"), work)
    assert code_of(made) is code
    assert not (work / "ran").exists()


def test_script_runs_sealed_or_from_its_path_as_its_terms_say(gate: Gate, log: Log, work: Path) -> None:
    argv = [write_script(work / "script", "#!/bin/sh\necho $0\n")]
    sealed, stdout = run_in(gate, authorize(argv, work, log), argv, work)
    assert (sealed.status, stdout) == (0, b"/dev/fd/3\n")
    rules = Constraints(process=Process(script="path"))
    weaker, stdout = run_in(gate, authorize(argv, work, log, rules=rules, name="weaker"), argv, work)
    assert (weaker.status, stdout) == (0, os.fsencode(work / "script") + b"\n")
    enforced = [made.record.enforcement for made in spooled(gate) if isinstance(made.record, Verification)]
    assert ["sealed-image" in names for names in enforced] == [True, False]


def test_command_that_cannot_start_has_failed(
    gate: Gate, log: Log, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide: Any = gate.decide

    def move_away(*arguments: Any) -> Any:
        decision = decide(*arguments)
        (work / "there").rename(work / "elsewhere")
        return decision

    (work / "there").mkdir()
    argv = shell("touch ran")
    bundle = authorize(argv, work / "there", log)
    monkeypatch.setattr(gate, "decide", move_away)
    made = run(gate, bundle, argv, ENVIRON, os.fsencode(work / "there"))
    assert (made.status, made.result) == (DENIED, None)
    assert made.problem is not None
    assert outcome_of(gate).status == "failed"
    assert list((work / "elsewhere").iterdir()) == []


def test_start_that_cannot_be_recorded_does_not_happen(
    gate: Gate, log: Log, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StateUnavailableError("the disk is full")

    monkeypatch.setattr(reservations, "begin", fail)
    argv = shell("touch ran")
    made, _ = run_in(gate, authorize(argv, work, log), argv, work)
    assert (made.status, made.result) == (DENIED, None)
    assert outcome_of(gate).status == "failed"
    assert not (work / "ran").exists()


def test_outcome_that_cannot_be_recorded_is_told_and_becomes_an_orphan(
    gate: Gate, log: Log, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bytes:
        raise StateUnavailableError("the disk is full")

    argv = shell("echo ran")
    with monkeypatch.context() as broken:
        broken.setattr(reservations, "settle", fail)
        made, stdout = run_in(gate, authorize(argv, work, log), argv, work)
    assert (made.status, stdout, made.outcome) == (UNRECORDED, b"ran\n", None)
    assert made.result is not None
    with open_gate(Path(gate.home.path)) as next_gate:
        assert len(next_gate.orphaned) == 1
        record = outcome_of(next_gate)
        assert (record.status, record.detail) == ("orphaned", "not-found")


def test_permit_is_for_the_command_that_was_admitted(gate: Gate, log: Log, work: Path) -> None:
    # G-09
    argv = shell("echo hello")
    bundle = authorize(argv, work, log)
    admitted = measure(argv, cwd=os.fsencode(work), environ=ENVIRON, load=seal)
    other = measure(shell("touch ran"), cwd=os.fsencode(work), environ=ENVIRON, load=seal)
    permit = gate.decide(bundle, admitted.descriptor, admitted.facts).permit
    assert permit is not None
    with pytest.raises(ValueError, match="another command"):
        carry_out(gate, permit, other)
    assert not (work / "ran").exists()
    admitted.close()
    other.close()


def test_start_and_outcome_happen_once(gate: Gate, log: Log, work: Path) -> None:
    # G-09 G-11
    argv = shell("true")
    assert run_in(gate, authorize(argv, work, log), argv, work)[0].status == 0
    outcome = outcome_of(gate)
    again = Reservation(1, b"v" * 32, world.SUBJECT)
    with pytest.raises(StateUnavailableError, match="its outcome already"):
        gate.settle(again, outcome)


def test_records_are_sent_before_run_returns(tmp_path: Path, log: Log, work: Path) -> None:
    argv = shell("true")
    bundle = authorize(argv, work, log)
    sink = Recorder()
    with open_gate(make_home(tmp_path / "home", log), sink=sink) as gate:
        made, _ = run_in(gate, bundle, argv, work)
        assert made.flushed == (2, 0, 0)
        assert len(sink.kept) == 2
        run_in(gate, None, argv, work)
        assert len(sink.kept) == 3


def test_flush_that_fails_changes_nothing(gate: Gate, log: Log, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise StateUnavailableError("the disk is full")

    monkeypatch.setattr(gate, "flush", fail)
    argv = shell("exit 4")
    made, _ = run_in(gate, authorize(argv, work, log), argv, work)
    assert (made.status, made.flushed) == (4, None)
