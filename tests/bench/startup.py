"""Start-up: what a process costs that verifies, or that runs one command under a bundle, against bare imports.

Every figure is that of a whole process, from its start to its end. Each run of the gate presents a bundle of
its own, under a head that its runtime has not seen, and is recorded; the command is ``true``.
"""

import os
import tempfile
import time
from pathlib import Path

from exequatur_verifier import bundle
from exequatur_verifier.bundle import Stapled
from tests.bench.rounds import alternate
from tests.bench.table import Row, Target, cost
from tests.gate import homes
from tests.support import reference, world

SUBJECT = "whole processes"
_IMPORTS = (
    "import cryptography.hazmat.primitives.asymmetric.ec, cryptography.hazmat.primitives.asymmetric.ed25519, cbor2"
)
_FEWER_IMPORTS = "import cryptography.hazmat.primitives.asymmetric.ec, cbor2"


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of processes."""
    rounds = 7 if quick else 25
    # An installed package has its bytecode; where none may be written, every process would compile the sources again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A home is refused where others could exchange it; a directory of the system's for temporary files is none such.
    with tempfile.TemporaryDirectory() as name:
        return [_import(folder, rounds), _run(Path(name), rounds)]


def _import(folder: Path, rounds: int) -> Row:
    ours, bare = alternate(
        rounds,
        1,
        lambda _: _python(folder, "-c", "import exequatur_verifier"),
        lambda _: _python(folder, "-c", _IMPORTS),
    )
    return cost(
        SUBJECT,
        "import exequatur_verifier, against ec, ed25519 and cbor2",
        ours,
        bare,
        "ms",
        target=Target("≤", 2),
        statistic="best",
    )


def _run(folder: Path, rounds: int) -> Row:
    home, bundles = _prepare(folder, rounds)
    ours, bare = alternate(
        rounds,
        1,
        lambda number: _python(
            folder, "-m", "exequatur_gate", "run", "--home", home, "--bundle", bundles[number], "--", "true"
        ),
        lambda _: _python(folder, "-c", _FEWER_IMPORTS),
    )
    return cost(
        SUBJECT,
        "exequatur_gate run -- true, against ec and cbor2",
        ours,
        bare,
        "ms",
        target=Target("≤", 4),
        statistic="best",
    )


def _prepare(folder: Path, count: int) -> tuple[str, list[str]]:
    """Return a home, and single-use bundles in the order in which they are to be run."""
    now = int(time.time())
    log = world.new_log()
    home = homes.make_home(folder / "home", log, iat=now - 10)
    paths: list[str] = []
    for number in range(count):
        size, root = len(log.entries), log.root()
        made = bundle.decode(homes.authorize([b"true"], folder, log, now=now, ttl=3600, name=f"run {number}"))
        # The runtime remembers the head of the run before this one.
        stapled = Stapled(log.origin, size, root, tuple(reference.consistency_path(size, log.entries)))
        path = folder / f"{number}.exq"
        path.write_bytes(bundle.encode(made._replace(proofs=(stapled,))))
        paths.append(os.fspath(path))
    return os.fspath(home), paths


def _python(folder: Path, *arguments: str) -> None:
    ended = homes.python(*arguments, cwd=folder)
    assert ended.returncode == 0, ended.stderr
