"""What the file itself holds to, whoever writes: triggers, types, durability settings, the lock."""

import asyncio
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from exequatur_log.errors import StorageError
from exequatur_log.storage import schema
from exequatur_log.storage.database import Database, open_database
from tests.log import scene


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log of a full tile and some more."""
    path = tmp_path_factory.mktemp("sound") / "log.db"
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(300)])
    return path


@pytest.fixture
def connection(sound: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(sound)
    yield opened
    opened.rollback()
    opened.close()


COPIED = "leaf_hash, kind, sub, iss, iat, key_id, 400, series, number, statement FROM entries WHERE leaf_index = 1"
COPY = "(SELECT hashes FROM tiles WHERE level = 0 AND number = 1)"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET iat = iat + 1 WHERE leaf_index = 2",
        "UPDATE entries SET statement = x'00' WHERE leaf_index = 2",
        "DELETE FROM entries WHERE leaf_index = 303",
        f"INSERT INTO entries SELECT 305, x'01', {COPIED}",
        "INSERT INTO entries SELECT * FROM entries WHERE leaf_index = 1",
        f"INSERT INTO entries SELECT 304, record_id, {COPIED}",
        f"INSERT INTO entries SELECT 304, x'01', {COPIED.replace('400', '304')}",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE leaf_index = 303",
        "UPDATE heads SET iat = iat + 1",
        "DELETE FROM heads",
        "INSERT INTO heads SELECT 2, root, iat, protected, signature, note FROM head",
        "UPDATE keys SET encoded = x'00'",
        "DELETE FROM keys",
        "DELETE FROM tiles",
        "UPDATE tiles SET number = 7 WHERE number = 1",
        f"UPDATE tiles SET hashes = CAST(substr({COPY}, 1, 32) AS BLOB) WHERE level = 0 AND number = 1",
        f"UPDATE tiles SET hashes = {COPY} WHERE level = 0 AND number = 1",
        f"UPDATE tiles SET hashes = CAST(zeroblob(32) || {COPY} AS BLOB) WHERE level = 0 AND number = 1",
        f"UPDATE tiles SET hashes = CAST({COPY} || x'00' AS BLOB) WHERE level = 0 AND number = 1",
        "UPDATE tiles SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE level = 0 AND number = 0",
        "DELETE FROM head",
        "UPDATE head SET size = size",
        "UPDATE head SET size = size - 1",
        "UPDATE head SET size = size + 1, iat = iat - 1",
        "UPDATE head SET id = 2, size = size + 1",
        "INSERT INTO head SELECT 2, size, root, iat, protected, signature, note, edge FROM head",
    ],
)
def test_what_is_logged_cannot_be_changed(connection: sqlite3.Connection, statement: str) -> None:
    # L-14 L-36
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO entries SELECT 304, x'01', {COPIED}",
        "INSERT INTO heads SELECT size + 1, root, iat, protected, signature, note FROM head",
        f"UPDATE tiles SET hashes = CAST({COPY} || zeroblob(32) AS BLOB) WHERE level = 0 AND number = 1",
        "UPDATE head SET size = size + 1, iat = iat",
    ],
)
def test_a_log_can_grow(connection: sqlite3.Connection, statement: str) -> None:
    # L-36
    assert connection.execute(statement).rowcount == 1


def test_columns_hold_their_types(connection: sqlite3.Connection) -> None:
    for table in schema.metadata.tables:
        ((strict,),) = connection.execute("SELECT strict FROM pragma_table_list WHERE name = ?", (table,)).fetchall()
        assert strict == 1
    with pytest.raises(sqlite3.IntegrityError, match="cannot store"):
        connection.execute("INSERT INTO keys VALUES ('text', 1, x'00')")


def test_every_connection_is_durable_and_never_checkpoints_by_itself(path: Path) -> None:
    # L-37
    async def run() -> None:
        database = await open_database(path, writable=True)
        async with database.append() as writer, database.read() as reader:
            for connection in (writer, reader):
                for pragma, value in (("journal_mode", "wal"), ("wal_autocheckpoint", 0), ("trusted_schema", 0)):
                    assert await connection.fetch(f"PRAGMA {pragma}", ()) == [(value,)]
            assert await writer.fetch("PRAGMA synchronous", ()) == [(2,)]
        await database.close()

    scene.create(path).close()
    asyncio.run(run())


def test_a_reader_cannot_write(path: Path) -> None:
    async def run() -> None:
        database = await open_database(path, writable=False)
        with pytest.raises(StorageError, match="readonly"):
            async with database.read() as connection:
                await connection.fetch("INSERT INTO keys VALUES (x'00', 1, x'00')", ())
        with pytest.raises(ValueError, match="reading"):
            async with database.append():
                pass
        await database.close()

    scene.create(path).close()
    asyncio.run(run())


def test_two_writers_take_turns(path: Path) -> None:
    # L-13 L-37
    order: list[str] = []

    async def turn(database: Database, name: str) -> None:
        async with database.append():
            order.append(name)
            await asyncio.sleep(0.05)
            order.append(name)

    async def run() -> None:
        one, two = [await open_database(path, writable=True) for _ in range(2)]
        await asyncio.gather(turn(one, "one"), turn(two, "two"))
        await one.close()
        await two.close()

    scene.create(path).close()
    asyncio.run(run())
    assert order in (["one", "one", "two", "two"], ["two", "two", "one", "one"])


def test_what_is_not_committed_is_gone(path: Path) -> None:
    # L-12 L-13
    async def run() -> None:
        database = await open_database(path, writable=True)
        async with database.append() as connection:
            await connection.fetch("INSERT INTO keys VALUES (x'00', 1, x'00')", ())
        with pytest.raises(StorageError, match="UNIQUE"):
            async with database.append() as connection:
                await connection.fetch("INSERT INTO keys VALUES (x'01', 1, x'00'), (x'01', 1, x'00')", ())
        async with database.read() as connection:
            assert await connection.fetch("SELECT 1 FROM keys WHERE length(thumbprint) = 1", ()) == []
        await database.close()

    scene.create(path).close()
    asyncio.run(run())


def test_the_write_ahead_log_is_moved_once_it_is_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # L-37
    monkeypatch.setattr("exequatur_log.storage.sqlite._CHECKPOINT_BYTES", 200_000)
    wal = path.with_name("log.db-wal")
    with scene.create(path) as log:
        sizes = []
        for _ in range(40):
            log.register_many([scene.request() for _ in range(8)])
            sizes.append(wal.stat().st_size)
        assert log.head().size == 324
    assert max(sizes) < 600_000
    assert any(after < before for before, after in pairwise(sizes))
    assert not wal.exists()
