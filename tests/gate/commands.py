"""Running commands as a gate does, with their output in files of a folder."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from exequatur_gate.execute import Result, execute
from exequatur_gate.images import seal
from exequatur_gate.process import Identity
from exequatur_verifier.host import Command, measure

SHELL = os.path.realpath(b"/bin/sh")
ENVIRON = {b"PATH": b"/usr/bin:/bin", b"LANG": b"\xff", b"SECRET": b"not kept"}


class Run(NamedTuple):
    result: Result
    stdout: bytes
    stderr: bytes
    started: Identity | None = None


def prepare(*argv: bytes, cwd: Path, environ: Mapping[bytes, bytes] = ENVIRON) -> Command:
    return measure(argv, cwd=os.fsencode(cwd), environ=environ, load=seal)


def run(command: Command, folder: Path, **options: Any) -> Run:
    """Execute a command, close it, and return what it left."""
    started: list[Identity] = []
    out, err = folder / ".out", folder / ".err"
    with closing(command), out.open("wb") as stdout, err.open("wb") as stderr, Path("/dev/null").open("rb") as stdin:
        stdio = (stdin.fileno(), stdout.fileno(), stderr.fileno())
        defaults: dict[str, Any] = {"record": started.append, "stdio": stdio}
        result = execute(command, **defaults | options)
    return Run(result, out.read_bytes(), err.read_bytes(), *started)


def shell(program: str, folder: Path, *argv: bytes, **options: Any) -> Run:
    return run(prepare(b"sh", b"-c", program.encode(), *argv, cwd=folder), folder, **options)


def write(path: Path, content: str) -> bytes:
    """Write a script."""
    path.write_text(content)
    path.chmod(0o755)
    return os.fsencode(path)


def is_dead(pid: int) -> bool:
    """Say whether a process is gone, or waits for nothing but its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    """Look every hundredth of a second; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
