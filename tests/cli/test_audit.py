"""``exequatur audit``: whatever was changed, erased or kept back has its finding, in one report all the same."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Exq
from tests.log.damage import HIDDEN, STARTUP, Damage, apply
from tests.support.founded import copy

FIELDS = {
    "ok",
    "origin",
    "size",
    "root",
    "consistent",
    "complete",
    "entries",
    "decisions",
    "orphaned",
    "unflushed",
    "findings",
}


@pytest.fixture(scope="module")
def busy(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which two commands ran, one was denied, and one bundle was refused."""
    from exequatur_cli.main import main

    home = copy(founded, tmp_path_factory.mktemp("busy") / "home")
    for command in (["true"], ["shred", "x"], ["git", "--version"]):
        main(["run", "--home", str(home), "--", *command])
    main(["run", "--home", str(home), "--bundle", "no such file", "--", "true"])
    return home


def audit(exq: Exq, home: Path) -> dict[str, Any]:
    called = exq("audit", home, "--json")
    report = called.json
    assert set(report) == FIELDS
    assert called.status == (0 if report["ok"] else 77), called
    assert report["ok"] == (called.err.splitlines()[-1] == "ok")
    return report


def codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def test_sound_home_is_ok(exq: Exq, busy: Path) -> None:
    # V-54
    report = audit(exq, busy)
    assert report["ok"]
    assert report["consistent"]
    assert report["complete"]
    assert report["entries"] == {
        "authorization": 2, "decision": 3, "enforcement": 1, "enrolment": 5, "outcome": 2, "policy": 1, "request": 3,
        "status": 1, "verification": 2,
    }  # fmt: skip
    assert report["decisions"] == {"total": 3, "equal": 3}
    assert report["size"] == sum(report["entries"].values())
    assert (report["orphaned"], report["unflushed"], report["findings"]) == (0, 0, [])


def test_audit_needs_no_secret(exq: Exq, busy: Path, tmp_path: Path) -> None:
    home = copy(busy, tmp_path / "home")
    shutil.rmtree(home / "keys")
    (home / "keys").mkdir()
    assert audit(exq, home)["ok"]


# But for those that are made for a larger log, for other keys, or for another entry in that place.
PLANTED: dict[str, Damage] = {
    **{name: damage for name, damage in STARTUP.items() if "tile" not in name and "another tree" not in name},
    **{name: damage for name, (damage, _) in HIDDEN.items() if "tile" not in name and name != "a kind"},
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_damage_is_found(exq: Exq, busy: Path, tmp_path: Path, name: str) -> None:
    # V-54
    home = copy(busy, tmp_path / "home")
    apply(home / "log.db", PLANTED[name])
    report = audit(exq, home)
    assert not report["consistent"]
    assert report["findings"]


@pytest.mark.parametrize("table", ["entries", "tiles", "heads", "keys", "head"])
def test_flipped_byte_of_the_file_is_found(exq: Exq, busy: Path, tmp_path: Path, table: str) -> None:
    column = {"entries": "statement", "tiles": "hashes", "heads": "signature", "keys": "encoded", "head": "edge"}[table]
    home = copy(busy, tmp_path / "home")
    connection = sqlite3.connect(home / "log.db")
    values = [value for (value,) in connection.execute(f"SELECT {column} FROM {table}")]
    connection.close()
    content = bytearray((home / "log.db").read_bytes())
    changed = 0
    for value in values:
        # Long values continue on other pages; their beginnings are whole.
        if (place := content.find(value[:64])) >= 0:
            content[place + 20] ^= 0x10
            changed += 1
            break
    assert changed == 1
    (home / "log.db").write_bytes(content)
    assert not audit(exq, home)["consistent"]


def test_erased_content_is_named(exq: Exq, busy: Path, tmp_path: Path) -> None:
    # V-54
    home = copy(busy, tmp_path / "home")
    request = exq("lineage", "--home", home, "--json").json["records"][1]
    digest = request["record"]["action"]["commitment"]
    (home / "content" / digest[:2] / digest[2:]).unlink()
    report = audit(exq, home)
    assert (report["consistent"], report["complete"]) == (True, True)
    assert report["decisions"] == {"total": 3, "equal": 2}
    (finding,) = report["findings"]
    assert finding["code"] == "DECISION_NOT_REPLAYABLE"
    assert digest in finding["detail"]
    assert exq("log", "get", finding["record"], "--home", home, "--json").json["index"] == finding["index"]


def test_damaged_content_is_named(exq: Exq, busy: Path, tmp_path: Path) -> None:
    home = copy(busy, tmp_path / "home")
    for path in (home / "content").glob("*/*"):
        path.write_bytes(path.read_bytes() + b" ")
    report = audit(exq, home)
    assert report["decisions"] == {"total": 3, "equal": 0}
    assert codes(report) == {"DECISION_NOT_REPLAYABLE"}


@pytest.mark.parametrize(("hidden", "code"), [("verification", "SEQUENCE_GAP"), ("outcome", "OUTCOME_MISSING")])
def test_record_that_was_kept_back_shows(exq: Exq, home: Path, hidden: str, code: str) -> None:
    # V-53 V-54
    exq("authorize", "-o", "x.exq", "--home", home, "--", "true")
    # A runtime that spools, and whose owner takes one record out before the log is reached.
    from exequatur_gate.__main__ import main

    assert main(["run", "--bundle", "x.exq", "--home", str(home), "--", "true"]) == 0
    waiting = audit(exq, home)
    assert (waiting["ok"], waiting["unflushed"], waiting["complete"]) == (False, 2, True)
    connection = sqlite3.connect(home / "state.db")
    connection.execute("DELETE FROM records WHERE seq = ?", (1 if hidden == "verification" else 2,))
    connection.commit()
    connection.close()
    exq("run", "--home", home, "--", "true")
    report = audit(exq, home)
    assert (report["consistent"], report["complete"]) == (True, False)
    assert code in codes(report)


def test_state_that_cannot_be_used_is_a_finding(exq: Exq, busy: Path, tmp_path: Path) -> None:
    home = copy(busy, tmp_path / "home")
    (home / "state.db").write_bytes(b"noise" * 1000)
    report = audit(exq, home)
    assert codes(report) == {"STATE_UNAVAILABLE"}
    assert exq("run", "--home", home, "--", "true").status == 77


@pytest.mark.parametrize("content", [None, b"", b"noise" * 1000])
def test_log_that_is_none_is_a_finding(exq: Exq, busy: Path, tmp_path: Path, content: bytes | None) -> None:
    home = copy(busy, tmp_path / "home")
    (home / "log.db").unlink()
    if content is not None:
        (home / "log.db").write_bytes(content)
    report = audit(exq, home)
    assert (report["consistent"], report["complete"]) == (False, False)
    assert codes(report) == {"DATABASE"}


def test_log_of_another_home_is_a_finding(exq: Exq, busy: Path, tmp_path: Path) -> None:
    home = copy(busy, tmp_path / "home")
    exq("init", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "log.db", home / "log.db")
    report = audit(exq, home)
    assert not report["consistent"]
    assert "LOG_UNTRUSTED" in codes(report)


def test_what_is_no_home_is_told(exq: Exq, tmp_path: Path) -> None:
    assert exq("audit", tmp_path).status == 69
    (tmp_path / "trust.toml").write_text("leeway = 'x'")
    assert exq("audit", tmp_path).status == 65
