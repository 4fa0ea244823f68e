"""``exequatur log rotate``: the home goes on, and what was authorized before still runs."""

from pathlib import Path

import pytest

from exequatur_cli import rotation
from exequatur_cli.home import open_home
from exequatur_log.blocking import check_file
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq


def test_two_rotations_leave_old_bundles_valid_and_the_audit_clean(exq: Exq, home: Path, tmp_path: Path) -> None:
    before = parse_trust((home / "trust.toml").read_bytes())
    bundle = tmp_path / "early.exq"
    assert exq("authorize", "--home", home, "-o", bundle, "--", "true").status == 0
    said = [exq("log", "rotate", "--home", home, "--json").json for _ in range(2)]
    trust = parse_trust((home / "trust.toml").read_bytes())
    log = next(iter(trust.logs.values()))
    assert len(log.receipt_keys) == len(log.checkpoint_vkeys) == 3
    assert set(next(iter(before.logs.values())).receipt_keys) < set(log.receipt_keys)
    assert f'"{said[1]["receipt_key"]}", "{said[0]["receipt_key"]}"' in (home / "trust.toml").read_text()
    assert exq("run", "--home", home, "--bundle", bundle, "--", "true").status == 0
    assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("audit", home, "--json").json["ok"]
    assert check_file(home / "log.db") == []
    assert sorted(path.name for path in (home / "keys").glob("*next*")) == []


def test_a_runtime_enrolled_after_a_rotation_trusts_the_retired_keys_too(exq: Exq, home: Path, tmp_path: Path) -> None:
    assert exq("log", "rotate", "--home", home).status == 0
    assert exq("enrol", "--home", home, "later", tmp_path / "later").status == 0
    here, there = (parse_trust((path / "trust.toml").read_bytes()).logs for path in (home, tmp_path / "later"))
    assert [(set(log.receipt_keys), set(log.checkpoint_vkeys)) for log in here.values()] == [
        (set(log.receipt_keys), set(log.checkpoint_vkeys)) for log in there.values()
    ]


@pytest.mark.parametrize(
    ("act", "time"),
    [("_extend_trust", 1), ("_extend_trust", 2), ("replace", 1), ("sync", 1), ("_register", 1), ("_register", 2)],
)
def test_an_interrupted_rotation_is_finished_by_the_next(
    exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch, act: str, time: int
) -> None:
    calls = []
    real = getattr(rotation, act)

    def interrupted(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == time:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(rotation, act, interrupted)
    with open_home(home) as opened:
        if act == "_extend_trust" and time == 2:
            rotation.rotate(opened)
        with pytest.raises(KeyboardInterrupt):
            rotation.rotate(opened)
    monkeypatch.undo()
    assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("log", "rotate", "--home", home).status == 0
    assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("audit", home, "--json").json["ok"]


def test_trust_that_does_not_name_the_keys_is_not_touched(exq: Exq, home: Path) -> None:
    path = home / "trust.toml"
    text = path.read_text()
    key = next(line for line in text.splitlines() if line.startswith("receipt_keys"))
    path.write_text(text.replace(key, f"{key}  # twice: {key}"))
    before = path.read_bytes()
    refused = exq("log", "rotate", "--home", home)
    assert refused.status != 0
    assert "just once" in refused.err
    assert path.read_bytes() == before
