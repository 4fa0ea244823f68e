"""Orphans: what a gate that died leaves behind is killed, recorded, and never run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate.gate import Gate
from exequatur_verifier.records import Outcome, Verification
from exequatur_verifier.verdict import Code
from tests.data import ROOT
from tests.gate.commands import is_dead, wait_until
from tests.gate.homes import authorize, make_home, open_gate, run_in, spooled
from tests.support import world

PROGRAM = """
import sys
from pathlib import Path
from tests.gate.homes import open_gate, run_in
home, bundle, work, *argv = sys.argv[1:]
with open_gate(Path(home)) as gate:
    run_in(gate, Path(bundle).read_bytes(), [word.encode() for word in argv], Path(work))
"""


class Governed:
    """A gate in a process of its own that runs a command."""

    def __init__(self, folder: Path, program: str, uses: int = 1) -> None:
        log = world.new_log()
        self.work = folder / "work"
        self.work.mkdir()
        self.argv = ["sh", "-c", program]
        self.bundle = authorize([word.encode() for word in self.argv], self.work, log, uses=uses)
        self.home = make_home(folder / "home", log)
        (folder / "bundle.exq").write_bytes(self.bundle)
        command = [sys.executable, "-c", PROGRAM, str(self.home), str(folder / "bundle.exq"), str(self.work)]
        self.process = subprocess.Popen([*command, *self.argv], cwd=ROOT)

    def wait_for(self, name: str) -> int:
        """Wait until the command has written a process number into that file, and return it."""
        path = self.work / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask_again(self, gate: Gate) -> Code | None:
        made, _ = run_in(gate, self.bundle, [word.encode() for word in self.argv], self.work)
        return None if made.decision.failure is None else made.decision.failure.code


def orphan_of(gate: Gate) -> Outcome:
    verification, outcome = spooled(gate)[:2]
    assert isinstance(verification.record, Verification)
    assert isinstance(outcome.record, Outcome)
    assert outcome.record.links[0].id == verification.id
    assert verification.claims.sub == outcome.claims.sub == world.SUBJECT
    assert [reservation.verification for reservation in gate.orphaned] == [verification.id]
    return outcome.record


def test_what_a_killed_gate_leaves_running_is_killed_and_recorded(tmp_path: Path) -> None:
    # G-22 G-23
    # The command itself dies with its gate; what it has started does not, and leads nobody to it but its session.
    governed = Governed(tmp_path, "sleep 60 & echo $! > child; echo $$ > self; wait")
    leader, child = governed.wait_for("self"), governed.wait_for("child")
    governed.kill()
    wait_until(lambda: is_dead(leader))
    assert not is_dead(child)
    with open_gate(governed.home) as gate:
        record = orphan_of(gate)
        assert record.status == "orphaned"
        assert record.detail == ("terminated" if Path("/proc/self/autogroup").exists() else "unknown")
        if record.detail == "terminated":
            assert is_dead(child)
        assert governed.ask_again(gate) is Code.USES_EXHAUSTED
    if not is_dead(child):
        os.kill(child, signal.SIGKILL)
    with open_gate(governed.home) as gate:
        assert gate.orphaned == ()


def test_nothing_left_is_not_found(tmp_path: Path) -> None:
    # G-21 G-22
    governed = Governed(tmp_path, "echo $$ > self; exec sleep 60")
    leader = governed.wait_for("self")
    governed.kill()
    wait_until(lambda: is_dead(leader))
    with open_gate(governed.home) as gate:
        assert orphan_of(gate).detail == "not-found"


def test_running_gate_is_left_alone(tmp_path: Path) -> None:
    # G-21
    governed = Governed(tmp_path, "echo $$ > self; while ! test -e end; do sleep 0.05; done; exit 0")
    leader = governed.wait_for("self")
    with open_gate(governed.home) as gate:
        assert gate.orphaned == ()
        assert not is_dead(leader)
    (governed.work / "end").touch()
    assert governed.process.wait() == 0
    with open_gate(governed.home) as gate:
        assert [type(made.record) for made in spooled(gate)] == [Verification, Outcome]
        assert gate.orphaned == ()


def test_reservation_that_was_never_started_is_orphaned_without_a_search(tmp_path: Path) -> None:
    log = world.new_log()
    bundle = world.authorize(world.COMMAND, world.FACTS, log)
    home = make_home(tmp_path / "home", log)
    with open_gate(home) as gate:
        permit = gate.decide(bundle, world.COMMAND, world.FACTS).permit
        assert permit is not None
        with open_gate(home) as other:
            assert other.orphaned == ()
        permit.close()
        with open_gate(home) as other:
            assert orphan_of(other).detail == "not-found"


def test_start_of_an_orphan_that_was_settled_is_refused(tmp_path: Path) -> None:
    log = world.new_log()
    argv = [b"sh", b"-c", b"touch ran"]
    bundle = authorize(argv, tmp_path, log)
    home = make_home(tmp_path / "home", log)
    with open_gate(home) as gate:
        admit: Any = gate.decide

        def lose_the_lock(*arguments: Any) -> Any:
            decision = admit(*arguments)
            decision.permit._lock.close()
            with open_gate(home) as other:
                assert len(other.orphaned) == 1
            return decision

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate, "decide", lose_the_lock)
            made, _ = run_in(gate, bundle, argv, tmp_path)
        assert made.status == 77
        assert [made.record.status for made in spooled(gate) if isinstance(made.record, Outcome)] == ["orphaned"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1])
def test_gate_killed_at_any_moment_leaves_one_outcome_for_each_verification(tmp_path: Path, delay: float) -> None:
    # G-11 G-23
    governed = Governed(tmp_path, "echo ran >> trace")
    wait_until(lambda: (governed.home / "state.db-wal").exists() or governed.process.poll() is not None)
    time.sleep(delay)
    governed.kill()
    for _ in range(100):
        with open_gate(governed.home) as gate:
            records = [made.record for made in spooled(gate)]
            verified = sum(isinstance(record, Verification) for record in records)
            ended = sum(isinstance(record, Outcome) for record in records)
            if verified == ended:
                assert not verified or governed.ask_again(gate) is Code.USES_EXHAUSTED
                break
        # Killed between fork and exec, it leaves a child that dies after it, and holds its lock until then.
        time.sleep(0.05)
    assert verified == ended <= 1
    trace = governed.work / "trace"
    assert (trace.read_text() if trace.exists() else "") in ("", "ran\n")
