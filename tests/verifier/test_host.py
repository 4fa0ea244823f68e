"""Measuring commands: real files, real directories, and what cannot be measured."""

import errno
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier import action, host
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.host import CommandNotFoundError, Image, UnmeasurableError

SHELL = os.path.realpath(b"/bin/sh")


def write(path: Path, content: bytes, mode: int = 0o755) -> bytes:
    path.write_bytes(content)
    path.chmod(mode)
    return os.fsencode(path)


def measure(*argv: bytes, cwd: Path, path: bytes = b"/usr/bin:/bin", **options: Any) -> host.Command:
    return host.measure(argv, cwd=os.fsencode(cwd), environ={b"PATH": path}, **options)


def sha256(path: bytes) -> bytes:
    return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()


def test_descriptor_is_what_the_process_will_be(tmp_path: Path) -> None:
    # R-04 G-14
    environ = {b"PATH": b"/usr/bin:/bin", b"LANG": b"\xff", b"SECRET": b"x", b"EMPTY": b""}
    command = host.measure(
        [b"env", b"", b"\xfe"],
        cwd=os.fsencode(tmp_path),
        environ=environ,
        keep=[b"PATH", b"LANG", b"EMPTY", b"ABSENT"],
        enforcement=frozenset({"pidfd"}),
    )
    assert command.descriptor == {
        "type": "process.exec",
        "name": os.path.realpath(b"/usr/bin/env"),
        "args": [b"env", b"", b"\xfe"],
        "cwd": os.path.realpath(os.fsencode(tmp_path)),
        "env": {b"PATH": b"/usr/bin:/bin", b"LANG": b"\xff", b"EMPTY": b""},
        "uid": os.geteuid(),
    }
    assert action.decode(action.encode(command.descriptor)) == command.descriptor
    assert command.facts.measured == {
        "executable": sha256(b"/usr/bin/env"),
        "host": os.uname().nodename,
    }
    assert command.facts.enforcement == {"pidfd"}
    assert (command.interpreter, command.prefix, command.executable.handle) == (None, (), None)
    command.close()


def test_default_environment_is_five_variables(tmp_path: Path) -> None:
    environ = dict.fromkeys((*host.ENVIRONMENT, b"LD_PRELOAD", b"PWD"), b"/usr/bin")
    command = host.measure([b"/bin/sh"], cwd=os.fsencode(tmp_path), environ=environ)
    assert command.descriptor["env"].keys() == {b"PATH", b"HOME", b"LANG", b"LC_ALL", b"TZ"}


def test_python_that_runs_this_is_measured(tmp_path: Path) -> None:
    python = os.path.realpath(os.fsencode(sys.executable))
    command = measure(python, b"-V", cwd=tmp_path)
    assert command.facts.measured["executable"] == sha256(python)


def test_large_file_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "large", b"\x7fELF" + b"a" * 3_000_000)
    image = host.hash_file(path)
    assert image == Image(path, sha256(path), b"\x7fELF" + b"a" * 252)
    image.close()
    monkeypatch.setattr(host, "LARGEST", 3_000_004)
    assert host.hash_file(path) == image
    monkeypatch.setattr(host, "LARGEST", 3_000_003)
    with pytest.raises(UnmeasurableError):
        host.hash_file(path)


def test_search_follows_path_to_the_real_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "tool").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    write(tmp_path / "a" / "tool", b"not executable", 0o644)
    (tmp_path / "c" / "tool").symlink_to(os.fsdecode(SHELL))
    path = b":".join(os.fsencode(tmp_path / name) for name in ("missing", "a", "b", "c"))
    assert measure(b"tool", cwd=tmp_path, path=path).descriptor["name"] == SHELL


def test_working_directory_is_not_searched(tmp_path: Path) -> None:
    write(tmp_path / "tool", b"#!/bin/sh\n")
    for path in (b"", b".", b":/nonexistent:", os.fsencode(tmp_path.name)):
        with pytest.raises(CommandNotFoundError):
            measure(b"tool", cwd=tmp_path, path=path)
    assert measure(b"./tool", cwd=tmp_path).executable.path == os.path.realpath(os.fsencode(tmp_path / "tool"))


def test_relative_command_belongs_to_the_bound_directory(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    write(tmp_path / "bin" / "tool", b"#!/bin/sh\n")
    (tmp_path / "link").symlink_to(tmp_path / "bin")
    command = measure(b"../bin/tool", cwd=tmp_path / "link")
    assert command.descriptor["cwd"] == os.path.realpath(os.fsencode(tmp_path / "bin"))
    assert command.executable.path == os.path.realpath(os.fsencode(tmp_path / "bin" / "tool"))


@pytest.mark.parametrize("name", [b"", b"no-such-command-here", b"/nonexistent/tool", b"/", b"./plain", b"./"])
def test_what_cannot_be_executed_is_not_found(name: bytes, tmp_path: Path) -> None:
    write(tmp_path / "plain", b"#!/bin/sh\n", 0o644)
    with pytest.raises(CommandNotFoundError):
        measure(name, cwd=tmp_path)


def test_empty_command_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CommandNotFoundError):
        measure(cwd=tmp_path)


def test_environment_without_path_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(CommandNotFoundError):
        host.measure([b"sh"], cwd=os.fsencode(tmp_path), environ={b"PATH": b"/bin"}, keep=[b"HOME"])
    assert host.measure([b"/bin/sh"], cwd=os.fsencode(tmp_path), environ={}).descriptor["env"] == {}


@pytest.mark.parametrize(
    ("argv", "cwd", "variable"),
    [
        ([b"/bin/sh", b"a\0b"], b"/", b"HOME"),
        ([b"/bin/sh"], b"/\0", b"HOME"),
        ([b"/bin/sh"], b"/", b"A\0"),
        ([b"/bin/sh"], b"/", b"A=B"),
        ([b"/bin/sh"], b"/", b""),
        ([b"/bin/sh"], b"", b"HOME"),
        ([b"/bin/sh"], b".", b"HOME"),
        ([b"/bin/sh"], b"/bin/sh", b"HOME"),
        ([b"/bin/sh"], b"/nonexistent", b"HOME"),
    ],
)
def test_what_no_process_can_be_given_is_refused(argv: list[bytes], cwd: bytes, variable: bytes) -> None:
    #
    assert host.measure([b"/bin/sh"], cwd=b"/", environ={b"HOME": b"/"}).descriptor["env"] == {b"HOME": b"/"}
    with pytest.raises(UnmeasurableError):
        host.measure(argv, cwd=cwd, environ={variable: b"/"}, keep=[variable])


@pytest.mark.parametrize("content", [b"", b"echo a shell would run this\n", b"MZ\x90\0", b"\x7fELG"])
def test_file_that_linux_does_not_run_is_unmeasurable(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "tool", content)
    with pytest.raises(UnmeasurableError):
        measure(b"./tool", cwd=tmp_path)


def test_script_is_measured_with_its_interpreter(tmp_path: Path) -> None:
    # G-15
    script = write(tmp_path / "tool", b"#!/bin/sh -e\necho hello\n")
    command = measure(b"./tool", b"x", cwd=tmp_path)
    assert command.descriptor["args"] == [b"./tool", b"x"]
    assert command.facts.measured == {
        "executable": sha256(script),
        "script": sha256(script),
        "interpreter": sha256(SHELL),
        "host": os.uname().nodename,
    }
    assert command.prefix == (b"/bin/sh", b"-e")
    assert command.interpreter is not None
    assert command.interpreter.path == SHELL
    command.close()


def test_env_is_seen_through_on_the_governed_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/cat")
    write(tmp_path / "tool", b"#!/usr/bin/env sh\n")
    command = measure(b"./tool", cwd=tmp_path, path=os.fsencode(tmp_path / "bin") + b":/bin")
    assert command.prefix == (b"sh",)
    assert command.facts.measured["interpreter"] == sha256(b"/bin/cat")


@pytest.mark.parametrize(
    "line",
    [
        b"#!/usr/bin/env -S sh -e",
        b"#!/usr/bin/env A=b sh",
        b"#!/usr/bin/env env",
        b"#!/usr/bin/env no-such-command-here",
        b"#!{}/alias sh",
        b"#!bin/sh",
        b"#!/nonexistent/sh",
        b"#!{}",
        b"#!{}/script",
        b"#!{}/text",
        b"#!",
        b"#!/bin/sh " + b"a" * 300,
    ],
)
def test_script_that_hides_its_interpreter_is_unmeasurable(line: bytes, tmp_path: Path) -> None:
    # G-15
    write(tmp_path / "script", b"#!/bin/sh\n")
    write(tmp_path / "text", b"text")
    (tmp_path / "alias").symlink_to("/usr/bin/env")
    write(tmp_path / "tool", line.replace(b"{}", os.fsencode(tmp_path)) + b"\n")
    with pytest.raises(UnmeasurableError):
        measure(b"./tool", cwd=tmp_path)


def keeping(opened: list[int]) -> Callable[[bytes], Image]:
    def load(path: bytes) -> Image:
        handle = host.open_file(path)
        opened.append(handle)
        return Image(path, *host.digest(handle), handle)

    return load


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_the_loader_keeps_open_is_closed_once(tmp_path: Path) -> None:
    write(tmp_path / "tool", b"#!/bin/sh\n")
    opened: list[int] = []
    command = measure(b"./tool", cwd=tmp_path, load=keeping(opened))
    assert [is_open(handle) for handle in opened] == [True, True]
    command.close()
    assert [is_open(handle) for handle in opened] == [False, False]


@pytest.mark.parametrize("content", [b"text", b"#!/nonexistent\n", b"#!{}/text\n"])
def test_nothing_stays_open_after_a_refusal(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "text", b"text")
    write(tmp_path / "tool", content.replace(b"{}", os.fsencode(tmp_path)))
    opened: list[int] = []
    with pytest.raises(UnmeasurableError):
        measure(b"./tool", cwd=tmp_path, load=keeping(opened))
    assert opened
    assert not any(is_open(handle) for handle in opened)


def test_only_a_readable_regular_file_is_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "fifo", tmp_path / "loop", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(UnmeasurableError):
            host.hash_file(os.fsencode(path))
    # A regular file by its type, whose first page is not mapped: it opens, and then cannot be read.
    with pytest.raises(UnmeasurableError):
        host.hash_file(b"/proc/self/mem")


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(ExequaturError):
        measure(b"/bin/sh", cwd=tmp_path)
    assert host.offered() == frozenset()


def test_this_host_offers_what_linux_has() -> None:
    # G-18
    offered = host.offered()
    assert {"process-group", "no-new-privs", "rlimit-cpu", "rlimit-memory", "output-limit"} <= offered
    assert offered <= host.RESOURCE_LIMITS.keys() | {
        "sealed-image", "no-new-privs", "process-group", "pidfd", "wall-clock", "output-limit",
    }  # fmt: skip


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_primitive_that_does_not_work_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    # G-18
    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not host.offered() & {"sealed-image", "pidfd", "wall-clock"}


def test_memory_that_may_not_be_executed_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "sealed-image" not in host.offered()


def test_older_linux_seals_without_the_newer_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    create = os.memfd_create

    def create_as_before(name: str, flags: int) -> int:
        return create(name, flags) if flags < 0x10 else refuse()

    monkeypatch.setattr(os, "memfd_create", create_as_before)
    assert "sealed-image" in host.offered()


@pytest.mark.parametrize(
    ("status", "uid", "expected"),
    [
        ("NoNewPrivs:\t0\nCapEff:\t0000000000000000\n", 1000, {"no-new-privs", "rlimit-processes"}),
        ("CapEff:\t0000000000000000\n", 1000, {"rlimit-processes"}),
        ("NoNewPrivs:\t0\nCapEff:\t0000000000000000\n", 0, {"no-new-privs"}),
        ("NoNewPrivs:\t0\nCapEff:\t0000000000200000\n", 1000, {"no-new-privs"}),
        ("NoNewPrivs:\t0\nCapEff:\t0000000001000000\n", 1000, {"no-new-privs"}),
    ],
)
def test_limit_that_linux_would_not_enforce_is_not_offered(
    status: str, uid: int, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "status").write_text(status)
    monkeypatch.setattr(host, "_STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert host.offered() & {"no-new-privs", "rlimit-processes"} == expected


def test_host_that_hides_its_processes_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_STATUS", "/nonexistent")
    assert host.offered() == frozenset()
