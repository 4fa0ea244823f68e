"""A witness's memory: made once, never made again, and never taken for another's."""

import sqlite3
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from exequatur_log.witness import tables
from exequatur_log.witness.decide import Held
from exequatur_log.witness.memory import Memory, MemoryUnavailableError
from exequatur_verifier.checkpoint import Checkpoint
from tests.witness import scene
from tests.witness.scene import LOG, NOW


def test_a_memory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    # W-16
    path = tmp_path / "witness.db"
    scene.witness(path).memory.close()
    path.chmod(0o620)
    with pytest.raises(MemoryUnavailableError, match="by others"):
        Memory.open(path)
    path.chmod(0o600)
    Memory.open(path).close()


def damaged(path: Path, *statements: str) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_memory_lasts(tmp_path: Path) -> None:
    # W-16
    path = tmp_path / "witness.db"
    with scene.witness(path).memory:
        pass
    with Memory.open(path) as memory:
        assert (memory.name, memory.keys) == ("w.example/one", tuple(key for key, _ in scene.keys_of("w.example/one")))
        with memory.transaction() as transaction:
            assert transaction.log_keys() == transaction.log_keys(LOG.origin) == [LOG.vkey]
            assert transaction.log_keys("other") == []
            assert transaction.newest_time() == 0


def test_memory_is_made_once(tmp_path: Path) -> None:
    # W-16
    scene.witness(tmp_path / "witness.db").memory.close()
    with pytest.raises(FileExistsError):
        scene.witness(tmp_path / "witness.db")
    assert (tmp_path / "witness.db").stat().st_mode & 0o777 == 0o600


def test_what_is_missing_or_foreign_is_refused(tmp_path: Path) -> None:
    # W-16
    path = tmp_path / "witness.db"
    with pytest.raises(MemoryUnavailableError, match="does not exist"):
        Memory.open(path)
    assert not path.exists()
    for content in (b"", b"SQLite format 3\0", b"noise" * 1000):
        path.write_bytes(content)
        with pytest.raises(MemoryUnavailableError):
            Memory.open(path)
    path.unlink()
    damaged(path, "CREATE TABLE cosigned (origin)", "PRAGMA journal_mode = WAL")
    with pytest.raises(MemoryUnavailableError, match="no memory of a witness"):
        Memory.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA journal_mode = DELETE",
        f"PRAGMA user_version = {tables.VERSION + 1}",
        "PRAGMA application_id = 0",
        "DROP TRIGGER identity_stays_delete; DELETE FROM identity",
    ],
)
def test_one_thing_that_is_not_as_it_was_made_is_refused(tmp_path: Path, statement: str) -> None:
    # W-16
    path = tmp_path / "witness.db"
    scene.witness(path).memory.close()
    Memory.open(path).close()
    damaged(path, *statement.split("; "))
    with pytest.raises(MemoryUnavailableError):
        Memory.open(path)


def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    # W-16
    path = tmp_path / "witness.db"
    witness = scene.witness(path)
    witness.add(0, 3)
    witness.memory.close()
    content = bytearray(path.read_bytes())
    place = content.index(LOG.origin.encode())
    content[place - 200 : place - 190] = b"\xff" * 10
    page = place // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(MemoryUnavailableError):
        Memory.open(path)


def test_a_file_that_is_exchanged_under_a_running_witness_is_noticed(tmp_path: Path) -> None:
    # W-18
    path, copy = tmp_path / "witness.db", tmp_path / "copy.db"
    witness = scene.witness(path)
    assert witness.add(0, 3).status == HTTPStatus.OK
    copy.write_bytes(path.read_bytes())
    aside = path.rename(tmp_path / "aside.db")
    assert witness.add(3, 9).status == HTTPStatus.SERVICE_UNAVAILABLE
    copy.rename(path)
    assert witness.add(3, 9).status == HTTPStatus.SERVICE_UNAVAILABLE
    aside.rename(path)
    assert witness.add(3, 9).status == HTTPStatus.OK


def held(size: int, root: bytes, time: int) -> Held:
    return Held(Checkpoint(LOG.origin, size, root), time, b"note")


@pytest.mark.parametrize("wrong", [held(2, b"r", NOW), held(3, b"s", NOW), held(4, b"s", NOW - 1)])
def test_what_was_cosigned_only_grows(tmp_path: Path, wrong: Held) -> None:
    # W-11
    with scene.witness(tmp_path / "witness.db").memory as memory:
        for right in (held(3, b"r", NOW), held(3, b"r", NOW + 0)):
            with memory.transaction() as transaction:
                transaction.hold(right)
        with pytest.raises(MemoryUnavailableError, match="only grows"), memory.transaction() as transaction:
            transaction.hold(wrong)
        with memory.transaction() as transaction:
            assert transaction.held() == [held(3, b"r", NOW)]


@pytest.mark.parametrize("table", ["identity", "logs", "cosigned"])
def test_nothing_is_forgotten(tmp_path: Path, table: str) -> None:
    # W-14
    path = tmp_path / "witness.db"
    witness = scene.witness(path)
    witness.add(0, 3)
    witness.memory.close()
    with pytest.raises(sqlite3.IntegrityError, match="forgets nothing"):
        damaged(path, f"DELETE FROM {table}")


def test_what_fails_is_undone_and_the_next_request_finds_what_was(tmp_path: Path) -> None:
    # W-11
    with scene.witness(tmp_path / "witness.db").memory as memory:
        with memory.transaction() as transaction:
            transaction.hold(held(3, b"r", NOW))
        with suppress(ZeroDivisionError), memory.transaction() as transaction:
            transaction.hold(held(4, b"s", NOW))
            raise ZeroDivisionError
        with memory.transaction() as transaction:
            assert transaction.held_of(LOG.origin) == held(3, b"r", NOW)
