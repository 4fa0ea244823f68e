"""The fault matrix as it is published: every row, with every fault, comes out as specs/fault-matrix.md says."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exequatur_log.errors import LogError
from tests.data import ROOT
from tests.faults import logs, matrix, table, victim
from tests.faults.judge import Promises, judge
from tests.faults.mortal import generator
from tests.faults.nursery import KILLED, Fate, Nursery
from tests.faults.shim import Call
from tests.faults.trial import Found, Place, Trial
from tests.log import scene
from tests.support.postgres import Server, server

__all__ = ["server"]


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """One for all tests: each victim is a process of its own."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as running:
        yield running


def check(name: str, found: Found) -> None:
    """Check that every row and every fault was met, and that what came of it is what is published."""
    written = table.published()[name]
    assert found.keys() == written.keys()
    # Of calls that are alike only one was met, so a cell of two outcomes may have shown one.
    differing = {key: (outcomes, written[key]) for key, outcomes in found.items() if not outcomes <= written[key]}
    assert differing == {}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", matrix.OPERATIONS)
def test_disk_that_fails_at_any_call_loses_nothing(name: str, nursery: Nursery, tmp_path: Path) -> None:
    # L-48
    check(name, matrix.run(matrix.OPERATIONS[name], nursery, tmp_path, generator(f"matrix {name}")))


@pytest.mark.timeout(400)
def test_driver_that_fails_at_any_call_loses_nothing(server: Server, nursery: Nursery) -> None:
    # L-48
    check(matrix.DRIVER, matrix.run_driver(server, nursery))


def test_connection_that_is_cut_anywhere_loses_nothing(server: Server) -> None:
    # L-48
    check(matrix.WIRE, matrix.run_wire(server))


def test_every_operation_has_its_table() -> None:
    assert set(table.published()) == set(matrix.NAMES)


def test_table_is_read_as_it_is_written() -> None:
    for name, found in table.published().items():
        assert table.parse(f"<!-- {name} -->\n\n{table.render(found)}") == {name: found}


def test_page_says_what_each_word_means() -> None:
    page = table.PAGE.read_text()
    explained = {
        word.strip() for row in re.findall(r"^\| ([a-z ,-]+?) \| .+ \|$", page, re.MULTILINE) for word in row.split(",")
    }
    for found in table.published().values():
        assert {outcome for outcomes in found.values() for outcome in outcomes} <= explained
        assert {fault for _, fault in found} <= explained | {"reset", "close", "half-close"}


def test_tests_that_the_page_names_are_there() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z_]+)`", table.PAGE.read_text())
    assert len(named) > 15
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_shim_sees_what_sqlite_does_to_make_a_batch_durable(nursery: Nursery, tmp_path: Path) -> None:
    trial = Trial(matrix.OPERATIONS["checkpoint"], nursery, tmp_path / "trial")
    written, moved = trial.calls.index(Place("fdatasync", "WAL")), trial.calls.index(Place("fdatasync", "database"))
    assert set(trial.calls[:written]) == {Place("write", "WAL")}
    assert set(trial.calls[written:moved]) >= {Place("write", "database"), Place("fdatasync", "WAL")}


@pytest.mark.parametrize(
    ("synced", "kept"),
    [((), None), (("directory",), b""), (("directory", "file"), b"a" * 8192), (("file",), None)],
    ids=["nothing", "name", "name and content", "content without a name"],
)
def test_power_cut_takes_what_was_not_made_durable(
    nursery: Nursery, tmp_path: Path, synced: tuple[str, ...], kept: bytes | None
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    fate = nursery.run(victim.scribble, root, 1 << 30, "cut", root / "file", synced)
    assert fate.status == KILLED
    file = root / "file"
    assert (file.read_bytes() if file.exists() else None) == kept


def trusted(nursery: Nursery, root: Path, number: int, fault: str) -> tuple[Fate, Promises]:
    """Let a log promise something and lose its power at once; return its fate and the promises."""
    root.mkdir()
    promises = logs.make_log(root / victim.NAME, 4)
    fate = nursery.run(victim.trust, root, number, fault, root, logs.requests(2))
    assert fate.status == KILLED
    promises.hear(fate.told)
    assert len(promises.standing) == 5
    return fate, promises


def test_judge_notices_a_disk_that_says_it_kept_what_it_has_not(nursery: Nursery, tmp_path: Path) -> None:
    """The one thing that is flipped is whether the disk is honest: no other test here could tell."""
    _, promises = trusted(nursery, tmp_path / "honest", 1 << 30, "cut")
    judge(tmp_path / "honest" / victim.NAME, promises)
    _, promises = trusted(nursery, tmp_path / "lying", 1, "lies")
    with pytest.raises(AssertionError):
        judge(tmp_path / "lying" / victim.NAME, promises)


def test_wal_has_its_name_for_good_also_when_sqlite_could_not_make_sure_of_it(nursery: Nursery, tmp_path: Path) -> None:
    fate, _ = trusted(nursery, tmp_path / "well", 0, "none")
    number = fate.calls.index(Call("fdatasync", 0, f"{tmp_path}/well")) + 1
    fate, promises = trusted(nursery, tmp_path / "failing", number, "eio-lost")
    assert fate.struck == Call("fdatasync", 0, f"{tmp_path}/failing")
    judge(tmp_path / "failing" / victim.NAME, promises)


def test_log_is_not_made_beside_the_wal_of_another(tmp_path: Path) -> None:
    # L-49
    path = tmp_path / "log.db"
    logs.make_log(path, 4)
    wal = path.with_name("log.db-wal")
    with scene.reopen(path) as log:
        log.register_many(logs.requests(3))
        left = wal.read_bytes()
    path.unlink()
    wal.write_bytes(left)
    with pytest.raises(LogError, match="another log"):
        scene.create(path)
    wal.write_bytes(b"")
    with scene.create(path) as log:
        assert log.head().size == 4


def test_log_that_is_made_takes_nothing_from_a_killed_process_of_the_same_number(tmp_path: Path) -> None:
    # L-49
    path = tmp_path / "log.db"
    logs.make_log(tmp_path / "other.db", 4)
    with scene.reopen(tmp_path / "other.db") as log:
        log.register_many(logs.requests(3))
        for ending in ("", "-wal"):
            left = (tmp_path / f"other.db{ending}").read_bytes()
            (tmp_path / f".log.db.{os.getpid()}.new{ending}").write_bytes(left)
    with scene.create(path) as log:
        assert log.head().size == 4
    assert list(tmp_path.glob(".log.db.*")) == []
