"""``exequatur enrol``: a runtime elsewhere, which holds nothing of the authority and runs what was issued for it."""

from pathlib import Path

import pytest

from exequatur_gate.__main__ import main as gate
from tests.cli.conftest import Exq

TOUCH = ("sh", "-c", "echo ran >> ran")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def elsewhere(exq: Exq, home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    assert exq("enrol", "build", path, "--home", home).status == 0
    return path


def test_enrolled_runtime_holds_only_its_own(elsewhere: Path, home: Path) -> None:
    # G-28
    found = {str(path.relative_to(elsewhere)) for path in elsewhere.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("state.")} == {
        "trust.toml",
        "keys/runtime.pem",
        "keys/passphrase",
    }
    assert (elsewhere / "keys" / "passphrase").read_bytes() != (home / "keys" / "passphrase").read_bytes()
    assert elsewhere.stat().st_mode & 0o077 == 0


def test_bundle_for_a_runtime_runs_there_and_nowhere_else(exq: Exq, elsewhere: Path, home: Path) -> None:
    for number in range(1, 4):
        bundle = f"{number}.exq"
        made = exq("authorize", "-o", bundle, "--for", "build", "--home", home, "--json", "--", *TOUCH)
        assert made.status == 0
        here = exq("run", "--bundle", bundle, "--home", home, "--json", "--", *TOUCH)
        assert (here.status, here.reported["code"]) == (77, "AUDIENCE_MISMATCH")
        verdict = exq("verify", bundle, "--home", elsewhere, "--json", "--", *TOUCH)
        assert verdict.status == 0
        assert gate(["run", "--bundle", bundle, "--home", str(elsewhere), "--", *TOUCH]) == 0
        assert gate(["run", "--bundle", bundle, "--home", str(elsewhere), "--", *TOUCH]) == 77
        assert Path("ran").read_text() == "ran\n" * number
        # What the authority does meanwhile moves the log on, not that runtime's memory.
        assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("audit", home).status == 0


@pytest.mark.parametrize("name", ["local", "build", "", "two words", "ü", "../x"])
def test_name_that_is_taken_or_no_word_is_refused(
    exq: Exq, elsewhere: Path, home: Path, tmp_path: Path, name: str
) -> None:
    called = exq("enrol", "--home", home, "--", name, tmp_path / "other")
    assert called.status == 2
    assert not (tmp_path / "other").exists()


def test_directory_that_is_there_is_left_alone(exq: Exq, elsewhere: Path, home: Path) -> None:
    before = (elsewhere / "trust.toml").read_bytes()
    assert exq("enrol", "other", elsewhere, "--home", home).status == 2
    assert (elsewhere / "trust.toml").read_bytes() == before
    assert exq("authorize", "-o", "x.exq", "--for", "other", "--home", home, "--", "true").status == 69
