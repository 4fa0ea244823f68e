"""What all commands share: where options stand, which home is taken, what goes wrong and how it is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exequatur_cli.main import COMMANDS
from tests.cli.conftest import Exq


def test_home_and_json_stand_before_and_after_the_command(exq: Exq, home: Path) -> None:
    after = exq("log", "checkpoint", "--home", home, "--json")
    between = exq("log", "--home", home, "--json", "checkpoint")
    before = exq("--home", home, "--json", "log", "checkpoint")
    assert after.status == between.status == before.status == 0
    assert after.json == between.json == before.json
    assert exq("--home", home / "other", "log", "checkpoint", "--home", home).status == 0


def test_every_command_says_what_it_is_for(exq: Exq) -> None:
    listed = exq("--help")
    for name in COMMANDS:
        assert f"  {name} " in listed.out
        assert exq(name, "--help").status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("log",),
        ("log", "get"),
        ("log", "get", "--home"),
        ("run",),
        ("run", "--"),
        ("verify",),
        ("authorize", "--", "true"),
        ("authorize", "-o", "x.exq"),
        ("authorize", "-o", "x.exq", "--action", "missing.json"),
        ("authorize", "-o", "x.exq", "--ttl", "5 minutes", "--", "true"),
        ("authorize", "-o", "x.exq", "--uses", "0", "--", "true"),
        ("lineage", "--format", "svg"),
        ("init", "--leeway", "-1"),
        ("audit", "missing"),
    ],
)
def test_wrong_usage_is_told_and_exits_2(exq: Exq, arguments: tuple[str, ...]) -> None:
    called = exq(*arguments)
    assert called.status == 2
    assert called.err
    assert not Path("x.exq").exists()


@pytest.mark.parametrize(
    "arguments",
    [("run", "--", "true"), ("log", "checkpoint"), ("authorize", "-o", "x.exq", "--", "true"), ("lineage",)],
)
def test_without_a_home_the_user_is_told_how_to_get_one(exq: Exq, arguments: tuple[str, ...]) -> None:
    called = exq(*arguments)
    assert (called.status, called.out) == (69, "")
    assert "exequatur init" in called.err


def test_environment_names_a_home_for_what_does_not_enforce(
    exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # T-11
    monkeypatch.setenv("EXEQUATUR_HOME", str(home))
    assert exq("log", "checkpoint").status == 0
    assert exq("authorize", "-o", "x.exq", "--", "true").status == 0
    denied = exq("run", "--", "sh", "-c", "echo ran > ran")
    assert denied.status == 69
    assert exq("run", "--bundle", "x.exq", "--", "true").status == 69
    assert not Path("ran").exists()


def test_home_of_the_working_directory_is_not_taken(exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # T-11
    monkeypatch.chdir(home)
    assert exq("run", "--", "true").status == 69


@pytest.mark.parametrize("place", [".", "keys", "..", "state.db", "trust.toml"])
def test_home_that_others_can_write_is_refused(exq: Exq, home: Path, place: str) -> None:
    # T-12
    target = home / place
    mode = target.stat().st_mode
    target.chmod(mode | 0o020)
    try:
        called = exq("run", "--home", home, "--", "sh", "-c", "echo ran > ran")
        assert called.status == 77
        assert "can be written by others" in called.err
        assert not Path("ran").exists()
        assert exq("doctor", "--home", home).status == (0 if place == "trust.toml" else 77)
    finally:
        target.chmod(mode)
    assert exq("run", "--home", home, "--", "true").status == 0


def test_passphrase_is_taken_from_a_file_that_only_its_owner_can_read(exq: Exq, home: Path) -> None:
    elsewhere = home.parent / "passphrase"
    (home / "keys" / "passphrase").rename(elsewhere)
    elsewhere.chmod(0o600)
    assert exq("run", "--home", home, "--", "true").status == 77
    assert exq("run", "--home", home, "--passphrase-file", elsewhere, "--", "true").status == 0
    elsewhere.chmod(0o644)
    assert exq("run", "--home", home, "--passphrase-file", elsewhere, "--", "true").status == 77


def test_wrong_passphrase_is_told(exq: Exq, home: Path) -> None:
    (home / "keys" / "passphrase").write_bytes(b"wrong\n")
    called = exq("run", "--home", home, "--", "true")
    assert called.status == 77
    assert "passphrase" in called.err
    assert "bug" not in called.err


def test_script_runs_as_a_process_of_its_own(home: Path, tmp_path: Path) -> None:
    program = "import sys; from exequatur_cli.entry import main; sys.exit(main())"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    ran = run("run", "--home", str(home), "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (ran.returncode, ran.stdout) == (5, "out\n")
    assert "err\n" in ran.stderr
    died = run("run", "--home", str(home), "--", "sh", "-c", "kill -TERM $$")
    assert (died.returncode, died.stdout) == (128 + 15, "")
    assert run("--version").stdout.startswith("exequatur ")


def test_pipe_that_is_closed_is_no_bug(home: Path) -> None:
    program = "import sys; from exequatur_cli.entry import main; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    called = subprocess.run(
        [sys.executable, "-c", program, "log", "checkpoint", "--home", str(home)],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert called.returncode != 0
    assert b"bug" not in called.stderr
