"""What is measured in a process of its own: a first proof, a replay, and an audit with the most memory that it held.

    python -m tests.bench.fresh NAME ARGUMENT…      prints one JSON object

Times are of the work alone, without the start of the interpreter and its imports.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from exequatur_cli.audit import audit
from exequatur_cli.replaying import replay_log
from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from tests.data import ROOT
from tests.log import scene


def run(name: str, *arguments: object, python: Sequence[str] = (sys.executable, "-m", "tests.bench.fresh")) -> Any:
    """Return what a fresh process printed; ``python`` is another program than this one."""
    command = [*python, name, *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def _prove(path: str, kind: str, first: str, second: str) -> dict[str, Any]:
    """Open a log and prove once: the inclusion of an entry, or the consistency of two sizes."""
    opening = time.perf_counter()
    with BlockingLog.open(Path(path)) as log:
        opened = time.perf_counter()
        prove = log.inclusion if kind == "inclusion" else log.consistency
        found = prove(int(first), int(second))
        proven = time.perf_counter()
    return {"open": opened - opening, "prove": proven - opened, "path": [item.hex() for item in found]}


def _register(path: str) -> dict[str, Any]:
    """Register a few thousand requests, and prove some entries."""
    with scene.reopen(Path(path)) as log:
        for _ in range(8):
            answers = log.register_many([scene.request() for _ in range(512)])
            assert all(isinstance(answer, Registered) for answer in answers)
        size = log.head().size
        for index in range(0, size, size // 64):
            log.inclusion(index, size)
    return {"size": size, "peak": peak()}


def _audit(path: str) -> dict[str, Any]:
    """Audit a home."""
    begun = time.perf_counter()
    report = audit(Path(path))
    seconds = time.perf_counter() - begun
    return {"ok": report.ok, "size": report.size, "seconds": seconds, "peak": peak()}


def _fsck(path: str) -> dict[str, Any]:
    """Check a log file alone."""
    begun = time.perf_counter()
    findings = check_file(Path(path))
    return {"ok": not findings, "seconds": time.perf_counter() - begun, "peak": peak()}


def _replay(folder: str) -> dict[str, Any]:
    """Compute the decisions of a log again, by processes for all cores; their start is part of it."""
    path, content = Path(folder) / "log.db", Path(folder) / "content"
    with BlockingLog.open(path) as log:
        begun = time.perf_counter()
        replayed = replay_log(log, path, content, log.head())
        seconds = time.perf_counter() - begun
    return {"equal": replayed.equal, "unequal": len(replayed.findings), "seconds": seconds, "peak": peak()}


def peak() -> float:
    """Return the most memory that this process held, in MB.

    Not what ``getrusage`` says: that outlives exec, so it would be the memory of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status does not say how much memory was held")


WORKS: dict[str, Callable[..., dict[str, Any]]] = {
    "prove": _prove,
    "register": _register,
    "audit": _audit,
    "fsck": _fsck,
    "replay": _replay,
}

if __name__ == "__main__":
    print(json.dumps(WORKS[sys.argv[1]](*sys.argv[2:])))
