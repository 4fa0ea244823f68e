"""``python -m exequatur_gate run``: what stands on which stream, and which status says what."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier.bundle import Stapled
from tests.gate.homes import PASSPHRASE, authorize, make_home, python, write
from tests.support import world


class Place:
    """A home that is enrolled now, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.now = int(time.time())
        self.log = world.new_log()
        self.work = folder / "work"
        self.work.mkdir()
        self.home = make_home(folder / "home", self.log, iat=self.now - 10)
        self.file = folder / "bundle.exq"

    def bundle(self, *argv: bytes) -> None:
        """Write a bundle, with the proof that its log continues the one of the enrolment."""
        ahead = world.Log(self.log.origin, list(self.log.entries))
        authorize(argv, self.work, ahead, now=self.now)
        proof = world.proof(ahead, len(self.log.entries))
        stapled = Stapled(proof.origin, proof.size1, proof.root1, proof.path)
        self.file.write_bytes(authorize(argv, self.work, self.log, now=self.now, proofs=(stapled,)))

    def run(self, *argv: bytes | str, flags: tuple[str, ...] = ()) -> Any:
        options = ("--bundle", str(self.file), "--home", str(self.home), *flags)
        return python("-m", "exequatur_gate", "run", *options, "--", *argv, cwd=self.work)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_output_is_the_commands_and_the_case_stands_beside_it(place: Place) -> None:
    place.bundle(b"sh", b"-c", b"echo out; echo err >&2; exit 5")
    done = place.run("sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout) == (5, b"out\n")
    assert done.stderr == b"err\nexequatur: case %s\n" % world.SUBJECT.encode()


def test_denial_says_step_and_code(place: Place) -> None:
    # G-26
    place.bundle(b"true")
    assert place.run("true").returncode == 0
    done = place.run("true")
    assert (done.returncode, done.stdout) == (77, b"")
    assert done.stderr.startswith(b"exequatur: denied at step 15: USES_EXHAUSTED: ")


@pytest.mark.parametrize("status", [0, 77])
def test_json_says_whose_status_it_is(place: Place, status: int) -> None:
    place.bundle(b"sh", b"-c", b"exit %d" % status)
    done = place.run("sh", "-c", f"exit {status}", flags=("--json",))
    report = json.loads(done.stderr)
    assert (done.returncode, done.stdout) == (status, b"")
    assert (report["exit"], report["exit_source"], report["code"]) == (status, "command", None)
    assert (report["subject"], report["status"], report["unflushed"]) == (world.SUBJECT, "exited", 2)
    assert len({report["authorization"], report["verification"], report["outcome"]}) == 3
    denied = place.run("sh", "-c", f"exit {status}", flags=("--json",))
    report = json.loads(denied.stderr)
    assert denied.returncode == 77
    assert (report["exit"], report["exit_source"], report["code"], report["step"]) == (77, "gate", "USES_EXHAUSTED", 15)
    assert report["condition"] == "scope invalid"
    assert (report["outcome"], report["verification"]) == (None, None)


def test_death_by_a_signal(place: Place) -> None:
    place.bundle(b"sh", b"-c", b"kill -KILL $$")
    assert place.run("sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_missing_and_malformed_bundles_are_denied(place: Place) -> None:
    # G-26
    assert b"ARTIFACT_MISSING" in place.run("true").stderr
    place.file.mkdir()
    assert b"ARTIFACT_MISSING" in place.run("true").stderr
    place.file.rmdir()
    place.file.write_bytes(b"nonsense")
    done = place.run("true")
    assert (done.returncode, b"ARTIFACT_MALFORMED" in done.stderr) == (77, True)


def test_home_that_is_refused_denies(place: Place) -> None:
    place.bundle(b"true")
    place.home.chmod(0o777)
    done = place.run("true")
    assert (done.returncode, b"STATE_UNAVAILABLE" in done.stderr) == (77, True)
    place.home.chmod(0o700)
    (place.home / "state.db").unlink()
    done = place.run("true", flags=("--json",))
    assert done.returncode == 77
    assert json.loads(done.stderr)["code"] == "STATE_UNAVAILABLE"
    assert not (place.home / "state.db").exists()


def test_passphrase_from_a_file(place: Place, tmp_path: Path) -> None:
    place.bundle(b"true")
    (place.home / "keys" / "passphrase").unlink()
    assert place.run("true").returncode == 77
    write(tmp_path / "passphrase", PASSPHRASE + b"\n")
    assert place.run("true", flags=("--passphrase-file", str(tmp_path / "passphrase"))).returncode == 0
    (tmp_path / "passphrase").chmod(0o644)
    assert place.run("true", flags=("--passphrase-file", str(tmp_path / "passphrase"))).returncode == 77


@pytest.mark.parametrize(
    "arguments",
    [(), ("walk",), ("run",), ("run", "--bundle", "f"), ("run", "--bundle", "f", "--"), ("run", "--", "true")],
)
def test_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = python("-m", "exequatur_gate", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage: ")
