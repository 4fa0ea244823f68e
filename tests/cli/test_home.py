"""``exequatur init`` and ``exequatur doctor``."""

import stat
from pathlib import Path

import pytest

from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq


def test_init_makes_a_home_that_works(exq: Exq, tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    made = exq("init", home, "--leeway", "5", "--json")
    assert made.status == 0
    assert set(made.json) == {"home", "origin", "genesis", "runtime", "policy"}
    assert made.json["home"] == str(home)
    assert "development home" in made.err
    assert "broad" in made.err
    trust = parse_trust((home / "trust.toml").read_bytes())
    assert trust.leeway == 5
    assert trust.runtime.id == made.json["runtime"]
    assert trust.logs[made.json["origin"]].genesis.hex() == made.json["genesis"]
    assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("audit", home).status == 0


def test_nobody_else_can_read_a_home(founded: Path) -> None:
    for path in (founded, *founded.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for key in (founded / "keys").glob("*.pem"):
        assert b"ENCRYPTED" in key.read_bytes()


def test_init_makes_no_home_where_something_is(exq: Exq, home: Path) -> None:
    before = (home / "trust.toml").read_bytes()
    assert exq("init", home).status == 69
    assert (home / "trust.toml").read_bytes() == before
    assert exq("run", "--home", home, "--", "true").status == 0


def test_homes_are_not_alike(exq: Exq, founded: Path, tmp_path: Path) -> None:
    made = exq("init", tmp_path / "other", "--json").json
    trust = parse_trust((founded / "trust.toml").read_bytes())
    assert made["origin"] not in trust.logs
    assert made["runtime"] != trust.runtime.id


def test_doctor_describes_this_build_and_host(exq: Exq, founded: Path) -> None:
    told = exq("doctor", "--home", founded, "--json")
    assert told.status == 0
    assert set(told.json) == {"versions", "enforcement", "home", "refused", "warnings"}
    assert {"exequatur", "cryptography", "cbor2", "SQLite"} <= set(told.json["versions"])
    assert "sealed-image" in told.json["enforcement"]["offered"]
    assert "sandbox-network" in told.json["enforcement"]["missing"]
    assert any("witness quorum" in warning for warning in told.json["warnings"])
    assert any("gate: unprotected" in warning for warning in told.json["warnings"])
    assert str(founded) in exq("doctor", "--home", founded).out


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ((3, 40, 1), True), ((3, 44, 6), False), ((3, 50, 4), True), ((3, 50, 7), False), ((3, 51, 2), True),
        ((3, 51, 3), False), ((3, 60, 0), False),
    ],
)  # fmt: skip
def test_doctor_warns_of_the_sqlite_that_resets_badly(
    exq: Exq, founded: Path, version: tuple[int, ...], warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", version)
    told = exq("doctor", "--home", founded, "--json").json
    assert any("WAL-reset" in warning for warning in told["warnings"]) == warned


def test_doctor_without_a_home_says_how_to_make_one(exq: Exq) -> None:
    told = exq("doctor", "--json")
    assert told.status == 0
    assert any("exequatur init" in warning for warning in told.json["warnings"])
