"""``exequatur run``: the command's own output and status, or a denial and nothing at all."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Exq
from tests.support.founded import copy

# Python 3.12 and later warn of a fork beside threads; what the child does there is written for it (gate.child).
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

TOUCH = ("sh", "-c", "echo ran >> ran")


def ran() -> int:
    return len(Path("ran").read_text().split()) if Path("ran").exists() else 0


def test_output_is_the_commands_alone(exq: Exq, home: Path) -> None:
    called = exq("run", "--home", home, "--", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert (called.status, called.out) == (3, "one\n")
    assert "two\n" in called.err
    assert "urn:uuid:" in called.err


def test_json_stands_on_stderr_and_says_whose_status_it_is(exq: Exq, home: Path) -> None:
    own = exq("run", "--home", home, "--json", "--", "sh", "-c", "echo out; exit 77")
    assert (own.status, own.out) == (77, "out\n")
    assert own.reported["exit_source"] == "command"
    assert own.reported["code"] is None
    for name in ("request", "decision", "authorization", "verification", "outcome"):
        assert exq("log", "get", own.reported[name], "--home", home, "--json").json["kind"] == name
    denied = exq("run", "--home", home, "--json", "--", "shred", "x")
    assert denied.status == 77
    assert denied.reported["exit_source"] == "authority"
    assert denied.reported["code"] == "POLICY_FORBID"
    assert exq("log", "get", denied.reported["decision"], "--home", home, "--json").json["record"]["outcome"] == "deny"


def test_signal_is_told_by_the_status(exq: Exq, home: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        assert exq("run", "--home", home, "--", "sh", "-c", f"kill -{number} $$").status == 128 + number


def test_policy_denial_runs_nothing_and_explains(exq: Exq, home: Path) -> None:
    Path("precious").write_text("kept")
    called = exq("run", "--home", home, "--", "shred", "-u", "precious")
    assert (called.status, called.out) == (77, "")
    assert "POLICY_FORBID" in called.err
    assert "cannot be brought back" in called.err
    assert Path("precious").read_text() == "kept"


def test_command_that_is_not_there_is_wrong_usage(exq: Exq, home: Path) -> None:
    called = exq("run", "--home", home, "--", "no-such-command")
    assert called.status == 2
    assert "no-such-command" in called.err


def test_options_of_the_command_stay_the_commands(exq: Exq, home: Path) -> None:
    assert exq("run", "--home", home, "echo", "--json", "--home", "x", "--").out == "--json --home x --\n"


def test_environment_is_reduced(exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    monkeypatch.setenv("LANG", "C.UTF-8")
    out = exq("run", "--home", home, "--", "env").out
    assert "LANG=C.UTF-8" in out
    assert "SECRET" not in out


def test_bundle_runs_once(exq: Exq, home: Path) -> None:
    assert exq("authorize", "-o", "x.exq", "--home", home, "--", *TOUCH).status == 0
    first = exq("run", "--home", home, "--bundle", "x.exq", "--json", "--", *TOUCH)
    assert (first.status, ran()) == (0, 1)
    second = exq("run", "--home", home, "--bundle", "x.exq", "--json", "--", *TOUCH)
    assert (second.status, second.reported["code"], second.reported["step"]) == (77, "USES_EXHAUSTED", 15)
    assert second.reported["exit_source"] == "gate"
    assert ran() == 1


def test_bundle_runs_as_often_as_it_says(exq: Exq, home: Path) -> None:
    source = home / "policy" / "starter.cedar"
    source.write_text(source.read_text().replace('@uses("1")', '@uses("3")'))
    assert exq("policy", "publish", "--home", home).status == 0
    assert exq("authorize", "-o", "x.exq", "--home", home, "--uses", "2", "--", *TOUCH).status == 0
    statuses = [exq("run", "--home", home, "--bundle", "x.exq", "--", *TOUCH).status for _ in range(3)]
    assert (statuses, ran()) == ([0, 0, 77], 2)


@pytest.mark.parametrize(
    ("change", "code"),
    [("missing", "ARTIFACT_MISSING"), ("empty", "ARTIFACT_MISSING"), ("large", "ARTIFACT_TOO_LARGE"),
     ("noise", "ARTIFACT_MALFORMED"), ("arguments", "ACTION_MISMATCH"), ("executable", "FACT_MISMATCH")],
)  # fmt: skip
def test_every_other_bundle_is_denied(exq: Exq, home: Path, change: str, code: str) -> None:
    # G-26
    tool = Path("tool").absolute()
    shutil.copy(os.path.realpath("/bin/sh"), tool)
    command = [str(tool), "-c", "echo ran >> ran"]
    bundle = Path("x.exq")
    assert exq("authorize", "-o", bundle, "--home", home, "--", *command).status == 0
    match change:
        case "missing":
            bundle.unlink()
        case "empty":
            bundle.write_bytes(b"")
        case "large":
            bundle.write_bytes(bundle.read_bytes() + bytes(1 << 20))
        case "noise":
            bundle.write_bytes(b"\xff" * 99)
        case "arguments":
            command[-1] += " "
        case "executable":
            with tool.open("ab") as file:
                file.write(b"\0")
    denied = exq("run", "--home", home, "--bundle", bundle, "--json", "--", *command)
    assert (denied.status, denied.reported["code"], ran()) == (77, code, 0)
    assert exq("audit", home, "--json").json["ok"]


def test_expired_bundle_is_denied(exq: Exq, tmp_path: Path) -> None:
    home = tmp_path / "strict"
    assert exq("init", home, "--leeway", "0").status == 0
    exq("authorize", "-o", "x.exq", "--home", home, "--ttl", "1s", "--", *TOUCH)
    codes = set()
    while "EXPIRED" not in codes:
        verdict = exq("verify", "x.exq", "--home", home, "--json", "--", *TOUCH).json
        codes.add(verdict["code"])
        assert codes <= {None, "EXPIRED"}
    denied = exq("run", "--home", home, "--bundle", "x.exq", "--json", "--", *TOUCH)
    assert (denied.status, denied.reported["code"], ran()) == (77, "EXPIRED", 0)


def test_older_copy_of_the_log_is_caught_for_good(exq: Exq, home: Path, tmp_path: Path) -> None:
    assert exq("run", "--home", home, "--", *TOUCH).status == 0
    older = copy(home, tmp_path / "older")
    for _ in range(2):
        assert exq("run", "--home", home, "--", *TOUCH).status == 0
    shutil.copy(older / "log.db", home / "log.db")
    # What the runtime's memory has seen is not in this log, and what this log says next contradicts it.
    denied = [exq("run", "--home", home, "--json", "--", *TOUCH) for _ in range(2)]
    assert {each.status for each in denied} == {77}
    assert ran() == 3
    report = exq("audit", home, "--json")
    assert report.status == 77
    assert not report.json["consistent"]
