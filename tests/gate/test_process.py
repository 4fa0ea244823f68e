"""Identities of processes, and killing what is left of one without ever killing another."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate.process import Identity, identify, is_running, kill_identity, kill_session
from tests.gate.commands import is_dead, wait_until


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """A session: a shell and a child of it that ignores everything it can."""
    program = "trap '' TERM HUP; (trap '' TERM HUP; sleep 60) & echo $!; exec sleep 60"
    with subprocess.Popen(["/bin/sh", "-c", program], stdout=subprocess.PIPE, start_new_session=True) as process:
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def first_line(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_identity_is_of_this_process_and_no_other() -> None:
    me = identify(os.getpid())
    assert is_running(me)
    assert not is_running(me._replace(start=me.start + 1))
    assert not is_running(me._replace(boot="another"))
    with pytest.raises(ProcessLookupError):
        identify(2**22 + 1)


def test_program_name_does_not_confuse_its_identity(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 1 1"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"], start_new_session=True) as process:
        wait_until(lambda: b") R 1 1 1" in Path(f"/proc/{process.pid}/comm").read_bytes())
        identity = identify(process.pid)
        assert is_running(identity)
        assert kill_identity(identity) == "terminated"
        assert process.wait() == -signal.SIGKILL


def test_whole_session_is_terminated(leader: subprocess.Popen[bytes]) -> None:
    member = first_line(leader)
    identity = identify(leader.pid)
    assert kill_identity(identity) == "terminated"
    assert leader.wait() == -signal.SIGKILL
    assert is_dead(member)
    assert kill_identity(identity) == "not-found"


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}])
def test_process_that_has_taken_the_number_is_left_alone(
    change: dict[str, Any], leader: subprocess.Popen[bytes]
) -> None:
    member = first_line(leader)
    identity = identify(leader.pid)._replace(**change)
    assert kill_identity(identity) == "not-found"
    assert leader.poll() is None
    assert not is_dead(member)


def lose_leader(leader: subprocess.Popen[bytes]) -> tuple[Identity, int]:
    member = first_line(leader)
    identity = identify(leader.pid)
    leader.kill()
    leader.wait()
    assert not is_dead(member)
    return identity, member


def test_members_are_terminated_when_their_leader_is_gone(leader: subprocess.Popen[bytes]) -> None:
    identity, member = lose_leader(leader)
    proven = identity.autogroup is not None
    assert kill_identity(identity) == ("terminated" if proven else "unknown")
    assert is_dead(member) == proven


def test_members_that_cannot_be_told_apart_are_left_alone(leader: subprocess.Popen[bytes]) -> None:
    identity, member = lose_leader(leader)
    assert kill_identity(identity._replace(autogroup=None)) == "unknown"
    assert not is_dead(member)


def test_members_of_a_later_session_of_that_number_are_left_alone(leader: subprocess.Popen[bytes]) -> None:
    identity, member = lose_leader(leader)
    if identity.autogroup is not None:
        assert kill_identity(identity._replace(autogroup=identity.autogroup + 1)) == "not-found"
    assert not is_dead(member)


def test_process_that_cannot_be_killed_is_unknown(
    leader: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_line(leader)
    monkeypatch.setattr("exequatur_gate.process._ROUNDS", 2)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    monkeypatch.setattr(os, "killpg", refuse)
    assert kill_identity(identify(leader.pid)) == "unknown"
    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert kill_session(leader.pid) == (2, False)
    monkeypatch.undo()
    assert leader.poll() is None


def test_gone_leader_without_members_is_not_found(leader: subprocess.Popen[bytes]) -> None:
    identity = identify(leader.pid)
    os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    wait_until(lambda: kill_identity(identity._replace(autogroup=None)) == "not-found")
