"""A disk without room: refused with a code, nothing that was acknowledged is lost, and with room again all goes on."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exequatur_cli.audit import audit
from exequatur_log.blocking import check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused
from tests.faults.mortal import finish
from tests.faults.work import starve
from tests.log import scene
from tests.support.founded import SHELL, enter, issue


@pytest.fixture
def starved(home: Path, tmp_path: Path) -> list[Any]:
    """What a log and a gate answered with room, without, and with room again."""
    scene.create(tmp_path / "log.db").close()
    commands = [(SHELL, b"-c", b"echo $0 >> ran", b"%d" % number) for number in range(3)]
    with enter(home) as entered:
        presented = list(zip(issue(entered, commands, tmp_path), commands, strict=True))
    (told,) = finish(starve, [(tmp_path / "log.db", home, presented, tmp_path)])
    return told


def test_full_disk_loses_nothing_that_the_log_acknowledged(starved: list[Any], tmp_path: Path) -> None:
    (before, kept, _), (between, refused, _), (after, later, _) = starved
    assert all(isinstance(answer, Registered) for answer in (*kept, *later))
    assert {answer.code for answer in refused if isinstance(answer, Refused)} == {Code.UNAVAILABLE}
    assert len(refused) == len(between)
    assert check_file(tmp_path / "log.db") == []
    with scene.reopen(tmp_path / "log.db") as log:
        assert log.register_many(before) == [answer._replace(fresh=False) for answer in kept]
        assert log.register_many(after) == [answer._replace(fresh=False) for answer in later]
        size = log.head().size
        assert all(isinstance(answer, Registered) and answer.fresh for answer in log.register_many(between))
        assert log.head().size == size + len(between)


def test_full_disk_lets_nothing_run(starved: list[Any], home: Path, tmp_path: Path) -> None:
    assert [run[:2] for _, _, run in starved] == [(0, None), (77, "STATE_UNAVAILABLE"), (0, None)]
    assert (tmp_path / "ran").read_text() == "0\n2\n"
    with enter(home) as entered, entered.gate() as gate:
        assert gate.orphaned == ()
        gate.flush()
    report = audit(home)
    assert report.ok, report
    assert (report.entries["verification"], report.entries["outcome"]) == (2, 2)


@pytest.mark.parametrize("size", [0, 1000, 20_000])
def test_command_without_room_is_refused_and_tried_again(home: Path, tmp_path: Path, size: int) -> None:
    def run() -> subprocess.CompletedProcess[bytes]:
        program = "import sys; from exequatur_cli.entry import main; sys.exit(main())"
        arguments = ["-B", "-c", program, "run", "--home", str(home), "--", os.fsdecode(SHELL), "-c", "echo ran >> ran"]
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, timeout=60, check=False)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        refused = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.returncode in {69, 77}, refused.stderr
    assert b"Traceback" not in refused.stderr
    assert b"bug" not in refused.stderr
    assert not (tmp_path / "ran").exists()
    assert run().returncode == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert audit(home).ok
