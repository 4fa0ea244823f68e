"""Execution: exactly what was measured runs, with exactly what was bound, or nothing does."""

import errno
import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from exequatur_gate.process import Identity
from exequatur_gate.start import StartError
from exequatur_verifier.host import hash_file, measure
from tests.gate.commands import ENVIRON, SHELL, is_dead, prepare, run, shell, write


def status_of(text: bytes) -> dict[bytes, bytes]:
    return {name: value.strip() for name, _, value in (line.partition(b":") for line in text.splitlines())}


def test_command_runs_and_its_end_is_told(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    result, stdout, stderr, started = shell("echo out; echo err >&2; exit 7", tmp_path)
    assert (stdout, stderr) == (b"out\n", b"err\n")
    assert (result.status, result.code, result.signal) == ("exited", 7, None)
    assert (result.violations, result.leftovers, result.swept) == ((), 0, True)
    assert result.stdout == (hashlib.sha256(b"out\n").digest(), 4)
    assert result.stderr == (hashlib.sha256(b"err\n").digest(), 4)
    assert before <= result.started_ms <= result.ended_ms <= time.time_ns() // 1_000_000
    assert result.resources.wall_us > 0
    assert started is not None
    assert is_dead(started.pid)


def test_death_by_a_signal_is_told(tmp_path: Path) -> None:
    result = shell("kill -SEGV $$", tmp_path).result
    assert (result.status, result.code, result.signal) == ("signaled", None, signal.SIGSEGV)


def test_arguments_arrive_exactly(tmp_path: Path) -> None:
    # G-14
    argv = [b"odd name", b"-c", b"cat /proc/$$/cmdline; :", b"", b"\xff\xfe", b" "]
    (tmp_path / "odd name").symlink_to(os.fsdecode(SHELL))
    command = prepare(*argv, cwd=tmp_path, environ={b"PATH": os.fsencode(tmp_path) + b":/usr/bin:/bin"})
    assert run(command, tmp_path).stdout == b"".join(argument + b"\0" for argument in argv)


def test_environment_arrives_exactly(tmp_path: Path) -> None:
    # G-14
    assert run(prepare(b"env", cwd=tmp_path), tmp_path).stdout == b"PATH=/usr/bin:/bin\nLANG=\xff\n"


def test_directory_is_the_bound_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    command = prepare(b"readlink", b"/proc/self/cwd", cwd=tmp_path / "link")
    assert run(command, tmp_path).stdout == os.path.realpath(os.fsencode(tmp_path / "there")) + b"\n"


@pytest.mark.parametrize("replacement", ["nothing", "link", "file"])
def test_directory_that_was_replaced_is_not_entered(replacement: str, tmp_path: Path) -> None:
    # G-14
    (tmp_path / "there").mkdir()
    (tmp_path / "other").mkdir()
    command = prepare(b"touch", b"ran", cwd=tmp_path / "there")
    (tmp_path / "there").rmdir()
    if replacement == "link":
        (tmp_path / "there").symlink_to("other")
    elif replacement == "file":
        (tmp_path / "there").touch()
    with pytest.raises(StartError):
        run(command, tmp_path)
    assert list((tmp_path / "other").iterdir()) == []


def test_another_uid_is_refused(tmp_path: Path) -> None:
    # G-14
    assert run(prepare(b"true", cwd=tmp_path), tmp_path).result.code == 0
    command = prepare(b"true", cwd=tmp_path)
    other = {**command.descriptor, "uid": os.geteuid() + 1}
    with pytest.raises(StartError):
        run(command._replace(descriptor=other), tmp_path)


def test_child_is_confined(tmp_path: Path) -> None:
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    status = status_of(run(prepare(b"cat", b"/proc/self/status", cwd=tmp_path), tmp_path).stdout)
    assert status[b"NoNewPrivs"] == b"1"
    assert int(status[b"SigBlk"], 16) == 0
    assert not int(status[b"SigIgn"], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    # Fields 1, 5 and 6 of proc_pid_stat(5): the child leads its own group and session.
    numbers = run(prepare(b"cat", b"/proc/self/stat", cwd=tmp_path), tmp_path).stdout.replace(b"(cat) ", b"").split()
    assert numbers[0] == numbers[-48] == numbers[-47]
    assert shell("ls /proc/$$/fd; :", tmp_path).stdout.split() == [b"0", b"1", b"2"]
    os.close(inherited)


@pytest.mark.parametrize("how", ["replaced", "overwritten", "removed"])
def test_measured_bytes_run_whatever_becomes_of_the_file(how: str, tmp_path: Path) -> None:
    # G-13
    tool = tmp_path / "tool"
    tool.write_bytes(Path(os.fsdecode(SHELL)).read_bytes())
    tool.chmod(0o755)
    command = prepare(b"./tool", b"-c", b"echo measured", cwd=tmp_path)
    if how == "replaced":
        write(tmp_path / "new", "#!/bin/sh\necho swapped\n")
        (tmp_path / "new").rename(tool)
    elif how == "overwritten":
        write(tool, "#!/bin/sh\necho swapped\n")
    else:
        tool.unlink()
    assert run(command, tmp_path).stdout == b"measured\n"


def test_measured_script_runs_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    # G-13 G-15
    write(tmp_path / "tool", '#!/bin/sh -e\necho "measured $0 $1"\nfalse\necho not reached\n')
    command = prepare(b"./tool", b"x", cwd=tmp_path)
    write(tmp_path / "tool", "#!/bin/sh\necho swapped\n")
    result, stdout, _, _ = run(command, tmp_path)
    assert (stdout, result.code) == (b"measured /dev/fd/3 x\n", 1)


def test_script_by_env_runs_in_the_command_that_was_measured(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "interpreter").symlink_to(os.fsdecode(SHELL))
    write(tmp_path / "tool", "#!/usr/bin/env interpreter\ntr '\\0' '\\n' < /proc/$$/cmdline; :\n")
    path = os.fsencode(tmp_path / "bin") + b":/usr/bin:/bin"
    command = prepare(b"./tool", b"x", cwd=tmp_path, environ={b"PATH": path})
    (tmp_path / "bin" / "interpreter").unlink()
    assert run(command, tmp_path).stdout == b"interpreter\n/dev/fd/3\nx\n"


def test_weaker_forms_run_from_the_path(tmp_path: Path) -> None:
    # G-16
    command = prepare(b"readlink", b"/proc/self/exe", cwd=tmp_path)
    assert run(command, tmp_path, image="path").stdout == os.path.realpath(b"/usr/bin/readlink") + b"\n"
    tool = write(tmp_path / "tool", '#!/bin/sh\necho "$0"\n')
    command = prepare(b"./tool", cwd=tmp_path)
    assert run(command, tmp_path, script="path").stdout == os.path.realpath(tool) + b"\n"
    command = prepare(b"./tool", cwd=tmp_path)
    assert run(command, tmp_path, image="path", script="path").stdout == os.path.realpath(tool) + b"\n"


@pytest.mark.parametrize("form", ["image", "script"])
def test_weaker_form_notices_a_change_until_the_start(form: str, tmp_path: Path) -> None:
    # G-16
    tool = tmp_path / "tool"
    if form == "image":
        tool.write_bytes(Path(os.fsdecode(SHELL)).read_bytes())
        tool.chmod(0o755)
    else:
        write(tool, "#!/bin/sh\ntouch ran\n")
    command = prepare(b"./tool", b"-c", b"touch ran", cwd=tmp_path)

    def change(_: Identity) -> None:
        with tool.open("ab") as file:
            file.write(b"\n")

    with pytest.raises(StartError):
        run(command, tmp_path, record=change, **{form: "path"})
    assert not (tmp_path / "ran").exists()


def test_unsealed_image_is_not_taken_for_a_sealed_one(tmp_path: Path) -> None:
    # G-13
    for load in (hash_file, open_unsealed):
        command = measure([b"true"], cwd=os.fsencode(tmp_path), environ=ENVIRON, load=load)
        with pytest.raises(StartError):
            run(command, tmp_path)
    with pytest.raises(StartError):
        run(prepare(b"true", cwd=tmp_path), tmp_path, image="some other form")
    command = measure([b"true"], cwd=os.fsencode(tmp_path), environ=ENVIRON)
    assert run(command, tmp_path, image="path").result.code == 0


def open_unsealed(path: bytes) -> Any:
    return hash_file(path)._replace(handle=os.open(path, os.O_RDONLY))


def test_file_that_vanished_cannot_be_run_from_its_path(tmp_path: Path) -> None:
    tool = write(tmp_path / "tool", "#!/bin/sh\n")
    command = prepare(b"./tool", cwd=tmp_path)
    Path(os.fsdecode(tool)).unlink()
    with pytest.raises(StartError):
        run(command, tmp_path, script="path")


def test_start_that_is_not_recorded_does_not_happen(tmp_path: Path) -> None:
    # G-17
    seen: list[Identity] = []

    def fail(identity: Identity) -> None:
        seen.append(identity)
        raise OSError("the disk is full")

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="disk is full"):
        run(prepare(b"touch", b"ran", cwd=tmp_path), tmp_path, record=fail)
    assert is_dead(seen[0].pid)
    assert not (tmp_path / "ran").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("call", ["pipe", "fork", "pidfd_open"])
def test_what_the_system_refuses_is_a_start_error(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    command = prepare(b"touch", b"ran", cwd=tmp_path)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(StartError):
        run(command, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_what_linux_refuses_to_execute_is_a_start_error(tmp_path: Path) -> None:
    write(tmp_path / "tool", "\x7fELF, and nothing that it promises")
    with pytest.raises(StartError, match="exec"):
        run(prepare(b"./tool", cwd=tmp_path), tmp_path)


def test_streams_that_are_not_open_are_a_start_error(tmp_path: Path) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for stdio in ((0, 999, 2), (0, 1, 999), (999, 1, 2)):
        with pytest.raises(StartError):
            run(prepare(b"true", cwd=tmp_path), tmp_path, stdio=stdio)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
