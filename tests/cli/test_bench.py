"""``exequatur bench``: figures that fit each other, and nothing left behind."""

from pathlib import Path

import pytest

from exequatur_log import measure
from exequatur_log.blocking import BlockingLog
from tests.cli.conftest import Exq


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few operations of each kind: what is tested is not how fast they are."""
    for name, value in (("_CHECKS", 20), ("_SYNCS", 5), ("_ALONE", 5), ("_BATCHES", ((8, 2), (64, 1))), ("_PROOFS", 9)):
        monkeypatch.setattr(measure, name, value)


def left(home: Path) -> set[Path]:
    # What SQLite keeps beside an open database comes and goes.
    return {path for path in home.rglob("*") if not path.name.endswith(("-wal", "-shm"))}


def test_figures_are_given_with_their_raw_operations(exq: Exq, home: Path) -> None:
    before = left(home)
    with BlockingLog.open(home / "log.db") as log:
        size = log.head().size
    told = exq("bench", "--home", home, "--json")
    assert told.status == 0
    figures = {figure["name"]: figure for figure in told.json["figures"]}
    assert all(figure["value"] > 0 for figure in figures.values())
    compared = [figure for figure in figures.values() if figure["of"] in figures]
    assert len(compared) >= 7
    for figure in compared:
        assert figure["ratio"] == pytest.approx(figure["value"] / figures[figure["of"]]["value"])
    assert {"registrations, 8 at once", "registrations, 64 at once", "inclusion proof, p50"} <= figures.keys()
    assert told.json["limits"].keys() == {"alone", "batches"}
    assert "limited by" in told.err
    assert left(home) == before
    with BlockingLog.open(home / "log.db") as log:
        assert log.head().size == size


def test_nothing_is_left_behind_by_a_measurement_that_fails(
    exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = left(home)
    monkeypatch.setattr("exequatur_log.storage.raw.commits", full)
    told = exq("bench", "--home", home)
    assert told.status == 69
    assert "No space left" in told.err
    assert left(home) == before


def test_what_limits_is_named_by_its_share() -> None:
    assert measure._limit(0.5).startswith("the disk: 50%")
    assert measure._limit(0.49).startswith("the processor")
    assert measure._work(0.5).startswith("signature checks: 50%")
    assert measure._work(0.49).startswith("work beside")
