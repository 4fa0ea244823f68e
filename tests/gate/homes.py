"""Homes for tests: real files, the keys of the test world, and bundles for commands as they are measured here."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from exequatur_gate import home
from exequatur_gate.flush import Answer
from exequatur_gate.gate import Gate
from exequatur_gate.run import Run, run
from exequatur_gate.state import State
from exequatur_verifier import statement
from exequatur_verifier.host import hash_file, measure, offered
from exequatur_verifier.memory import Clock, Proof
from exequatur_verifier.statement import Statement
from exequatur_verifier.trust_file import parse
from tests.support import world
from tests.support.world import NOW, Log

ENVIRON = {b"PATH": b"/usr/bin:/bin", b"SECRET": b"not kept"}
PASSPHRASE = b"correct horse"


def make_home(folder: Path, log: Log, *, iat: int = NOW - 10, trust: Mapping[str, Any] | None = None) -> Path:
    """Make a home that is enrolled with the log's present head."""
    folder.mkdir(mode=0o700)
    (folder / "keys").mkdir(mode=0o700)
    toml = world.trust_toml(log, **(trust or {})).encode()
    key: Any = world.signer("runtime")._key
    write(folder / "trust.toml", toml)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    write(folder / "keys" / "runtime.pem", pem)
    write(folder / "keys" / "passphrase", PASSPHRASE + b"\n")
    head = log.known_head(iat, parse(toml).digest)
    State.create(str(folder / "state.db"), world.signer("runtime").public_key.thumbprint, [head]).close()
    return folder


def write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def open_gate(folder: Path, now: Callable[[], Clock] = lambda: Clock(NOW, "boot", 100), **options: Any) -> Gate:
    return Gate(home.load(str(folder)), clock=now, **options)


def authorize(argv: Sequence[bytes], cwd: Path, log: Log, **options: Any) -> bytes:
    """Return a bundle for a command as it would be measured here."""
    command = measure(argv, cwd=os.fsencode(cwd), environ=ENVIRON, load=hash_file, enforcement=offered())
    return world.authorize(command.descriptor, command.facts, log, **options)


def run_in(gate: Gate, bundle: bytes | None, argv: Sequence[bytes], cwd: Path) -> tuple[Run, bytes]:
    """Run a command, and return what became of it with what it wrote to stdout."""
    path = cwd / f".out-{time.monotonic_ns()}"
    with path.open("wb") as out, Path("/dev/null").open("r+b") as null:
        made = run(gate, bundle, argv, ENVIRON, os.fsencode(cwd), (null.fileno(), out.fileno(), null.fileno()))
    return made, path.read_bytes()


def spooled(gate: Gate) -> list[Statement]:
    """Return the records that wait, each checked: signed by the runtime's key, and one chain."""
    with gate.state.transaction() as transaction:
        rows = transaction.execute("SELECT seq, id, statement FROM records ORDER BY seq").fetchall()
    found = [statement.parse(signed) for _, _, signed in rows]
    for made, (seq, record_id, _) in zip(found, rows, strict=True):
        statement.verify(made, world.signer("runtime").public_key)
        assert made.claims.iss == world.RUNTIME
        assert made.id == record_id
        record: Any = made.record
        assert record.seq == seq
    for earlier, later in pairwise(found):
        record = later.record
        assert record.prev == earlier.id
    return found


class Source:
    """A source of proofs: a log of the test world, which also notes what it was asked."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.asked: list[tuple[str, int, int]] = []

    def prove(self, origin: str, size1: int, size2: int) -> Proof | None:
        self.asked.append((origin, size1, size2))
        return world.proof(self.log, size1, size2)


class Recorder:
    """A sink that keeps what it accepts; ``answer`` says what it thinks of a statement."""

    def __init__(self, answer: Callable[[Statement], Answer] = lambda _: Answer("accepted")) -> None:
        self.answer = answer
        self.kept: list[bytes] = []

    def append(self, statements: Sequence[bytes]) -> Sequence[Answer]:
        answers = []
        for signed in statements:
            answers.append(self.answer(statement.parse(signed)))
            if answers[-1].status == "accepted":
                self.kept.append(signed)
        return answers


def python(*arguments: str | bytes, cwd: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run this interpreter as another process, with an environment of its own."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHON"))}
    environment |= {os.fsdecode(name): os.fsdecode(value) for name, value in ENVIRON.items()}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, timeout=60, check=False, **options
    )
