"""A disk without room: refused with a code, nothing that was acknowledged is lost, and with room again all goes on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exequatur_cli.audit import audit
from exequatur_log.blocking import check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code
from tests.faults.mortal import finish
from tests.faults.work import starve
from tests.log import scene
from tests.support.founded import SHELL, enter, issue

RUNS = 6


@pytest.fixture
def starved(home: Path, tmp_path: Path) -> list[Any]:
    """What a log and a gate answered with room, but for the last time but one: then no file could grow.

    By then their files are larger than the shell, so that it could still be measured.
    """
    scene.create(tmp_path / "log.db").close()
    commands = [(SHELL, b"-c", b"echo $0 >> ran", b"%d" % number) for number in range(RUNS)]
    with enter(home) as entered:
        presented = list(zip(issue(entered, commands, tmp_path), commands, strict=True))
    (told,) = finish(starve, [(tmp_path / "log.db", home, presented, tmp_path)])
    return told


def test_full_disk_loses_nothing_that_the_log_acknowledged(starved: list[Any], tmp_path: Path) -> None:
    between, refused, _ = starved.pop(-2)
    assert refused == [Code.UNAVAILABLE] * len(between)
    assert check_file(tmp_path / "log.db") == []
    with scene.reopen(tmp_path / "log.db") as log:
        for batch, answers, _ in starved:
            assert log.register_many(batch) == [answer._replace(fresh=False) for answer in answers]
        size = log.head().size
        assert all(isinstance(answer, Registered) and answer.fresh for answer in log.register_many(between))
        assert log.head().size == size + len(between)


def test_full_disk_lets_nothing_run(starved: list[Any], home: Path, tmp_path: Path) -> None:
    assert starved.pop(-2)[2][:2] == (77, "STATE_UNAVAILABLE")
    assert {run[:2] for _, _, run in starved} == {(0, None)}
    assert (tmp_path / "ran").read_text().split() == ["0", "1", "2", "3", "5"]
    with enter(home) as entered, entered.gate() as gate:
        assert gate.orphaned == ()
        gate.flush()
    report = audit(home)
    assert report.ok, report
    assert (report.entries["verification"], report.entries["outcome"]) == (5, 5)


@pytest.mark.parametrize("size", [0, 20_000])
def test_command_without_room_is_refused_and_tried_again(home: Path, tmp_path: Path, size: int) -> None:
    def run(*before: str) -> subprocess.CompletedProcess[bytes]:
        program = "import sys; from exequatur_cli.entry import main; sys.exit(main())"
        command = ["run", "--home", str(home), "--", os.fsdecode(SHELL), "-c", "echo ran >> ran"]
        return subprocess.run(
            [*before, sys.executable, "-B", "-c", program, *command],
            cwd=tmp_path,
            # Measured, it would write files of its own, for which there is no room.
            env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
            capture_output=True,
            timeout=60,
            check=False,
        )

    refused = run("prlimit", f"--fsize={size}")
    assert refused.returncode in {69, 77}, refused.stderr
    assert b"Traceback" not in refused.stderr
    assert b"bug" not in refused.stderr
    assert not (tmp_path / "ran").exists()
    assert run().returncode == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert audit(home).ok
