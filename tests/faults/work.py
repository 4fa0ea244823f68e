"""What the processes do that are killed, raced or starved. Each says what it was answered before it goes on."""

import os
import random
import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from exequatur_cli.commands import run as run_command
from exequatur_cli.main import main
from exequatur_gate.gate import Gate
from exequatur_gate.run import Run, run
from exequatur_issuer import cedar
from exequatur_log.errors import Refused
from tests.faults.mortal import READY
from tests.log import scene
from tests.support.founded import ENVIRON, enter

# Imported in the warm parent, although it is first needed in its children.
__all__ = ["append", "cedar", "command", "govern", "race", "requests", "run_command", "starve", "told"]


# Bundles, each with the command that it is presented for.
Presented = Sequence[tuple[bytes, Sequence[bytes]]]


def requests(number: int) -> list[bytes]:
    """Return statements that no other process makes."""
    return [scene.request(f"urn:scene:{os.urandom(16).hex()}") for _ in range(number)]


def append(path: Path, seed: int, most: int | None, say: Connection) -> None:
    """Register batches: say what is sent, then what it was answered. Without ``most``, until killed."""
    draw = random.Random(seed)
    with scene.reopen(path) as log:
        say.send(READY)
        batches = 0
        while batches != most:
            batch = requests(draw.choice((1, 1, 2, 3, 20)))
            say.send(batch)
            say.send(log.register_many(batch))
            batches += 1


def govern(home: Path, presented: Presented, cwd: Path, say: Connection) -> None:
    """Run commands with their bundles and say what became of each, then wait to be killed."""
    with enter(home) as entered, entered.gate() as gate:
        say.send(READY)
        for bundle, argv in presented:
            say.send(told(present(gate, bundle, argv, cwd)))
        signal.pause()


def command(home: Path, cwd: Path, say: Connection) -> None:
    """Call ``exequatur run`` again and again, and say each word that a command has written to ``ran``."""
    os.chdir(cwd)
    with Path(os.devnull).open("r+b") as null:
        for descriptor in (0, 1, 2):
            os.dup2(null.fileno(), descriptor)
    say.send(READY)
    while True:
        word = os.urandom(8).hex()
        if main(["run", "--home", str(home), "--", "sh", "-c", "echo $0 >> ran", word]) == 0:
            say.send(word)


def race(home: Path, presented: Presented, cwd: Path, barrier: Barrier, say: Connection) -> None:
    """Present each bundle at the same moment as all the others."""
    with enter(home) as entered, entered.gate() as gate:
        for bundle, argv in presented:
            barrier.wait(30)
            say.send(told(present(gate, bundle, argv, cwd)))


def starve(path: Path, home: Path, presented: Presented, cwd: Path, say: Connection) -> None:
    """Append and run a few times with room on the disk, the last time but one without it."""
    with scene.reopen(path) as log, enter(home) as entered, entered.gate() as gate:
        *_, last, _ = range(len(presented))
        for number, (bundle, argv) in enumerate(presented):
            batch = requests(20)
            written = [file.stat().st_size for file in (path.with_name("log.db-wal"), home / "state.db-wal")]
            with _no_room(min(written), applies=number == last):
                answers = [one.code if isinstance(one, Refused) else one for one in log.register_many(batch)]
                made = present(gate, bundle, argv, cwd)
            say.send((batch, answers, told(made)))


def present(gate: Gate, bundle: bytes, argv: Sequence[bytes], cwd: Path) -> Run:
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        return run(gate, bundle, argv, ENVIRON, os.fsencode(cwd), (descriptor,) * 3)
    finally:
        os.close(descriptor)


def told(made: Run) -> tuple[int, str | None, bytes | None, bytes | None]:
    """Return status, deny code, and the ids of the verification (or denial) and of the outcome."""
    failure = made.decision.failure
    code = None if failure is None or failure.code is None else failure.code.name
    return made.status, code, made.decision.record, made.outcome


@contextmanager
def _no_room(size: int, *, applies: bool) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if applies:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
