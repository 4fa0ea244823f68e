"""Logs of the first format are refused, and migrated when that is asked for; what they hold stays as it is."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import FatalLogError, LogError
from exequatur_log.migration import migrate_blocking
from exequatur_log.storage import postgres, revisions, schema, sqlite_session
from exequatur_log.storage.place import Place, Postgres
from tests.data import ROOT
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW, Case
from tests.support.postgres import query

FIRST = (ROOT / "tests" / "log" / "format1.sql").read_text()
TABLES = ("entries", "keys", "tiles", "heads", "head")


def fill(place: Place) -> list[bytes]:
    """Make a log with a case and more than a tile, and return its receipts."""
    policy = scene.policy()
    with scene.create(place) as log:
        log.register_many([policy, *Case(policy), *(scene.request() for _ in range(300))])
        return [log.receipt(index) for index in range(log.head().size)]


@pytest.fixture
def older(place: Place, tmp_path: Path) -> tuple[Place, list[bytes]]:
    """A log of the first format, and its receipts."""
    receipts = fill(place)
    if isinstance(place, Postgres):
        # What revision 0002 added, taken away: no build ever made this, but the revision is there.
        query(place, "DROP TABLE witnessed; DROP FUNCTION exequatur_witnessed_keep, exequatur_witnessed_stay")
        query(place, "DROP FUNCTION exequatur_witnessed_head, exequatur_witnessed_whole")
        query(place, "DROP INDEX entries_iss; DROP INDEX entries_iat; UPDATE alembic_version SET version_num = '0001'")
        return place, receipts
    made = place.rename(tmp_path / "made.db")
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {FIRST}")
        connection.execute(f"PRAGMA application_id = {0x45585121}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("ATTACH ? AS made", (str(made),))
        for table in TABLES:
            connection.execute(f"INSERT INTO {table} SELECT * FROM made.{table} ORDER BY 1")
    return place, receipts


def test_an_older_log_is_refused_until_it_is_migrated(older: tuple[Place, list[bytes]]) -> None:
    # L-43
    place, receipts = older
    for keys in (KEYS, None):
        with pytest.raises(FatalLogError, match="exequatur log migrate"):
            BlockingLog.open(place, keys, clock=lambda: NOW)
    assert [finding.code for finding in check_file(place)] == ["DATABASE"]
    assert migrate_blocking(place) == ("0001", "0002")
    assert check_file(place) == []
    with scene.reopen(place) as log:
        assert [log.receipt(index) for index in range(log.head().size)] == receipts
        assert log.register(scene.request()).fresh
        assert len(log.find(iss="urn:scene:owner")) == 1
    assert migrate_blocking(place) == ("0002", "0002")


def test_a_damaged_log_is_told_after_it_was_migrated(older: tuple[Place, list[bytes]]) -> None:
    place, _ = older
    damage.meddle(place, "UPDATE head SET iat = iat + 1")
    with pytest.raises(FatalLogError, match="signature of the head"):
        migrate_blocking(place)


def test_a_migrated_log_is_like_one_that_was_made(older: tuple[Place, list[bytes]], path: Path) -> None:
    place, _ = older
    migrate_blocking(place)
    if isinstance(place, Postgres):
        assert "witnessed_head" in query(place, "SELECT tgname FROM pg_trigger")
        return
    fresh = path.with_name("fresh.db")
    scene.create(fresh).close()

    def objects(path: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        return {(name, "".join(sql.split())) for name, sql in found}

    assert objects(place) == objects(fresh)


@pytest.mark.parametrize("revision", ["0003", "8f2e4c6a91b0", ""])
def test_a_format_that_is_not_known_is_refused(place: Place, revision: str) -> None:
    # L-43
    scene.create(place).close()
    damage.execute(place, f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(FatalLogError, match="does not know"):
        BlockingLog.open(place)
    with pytest.raises(FatalLogError, match="does not know"):
        migrate_blocking(place)


def test_what_is_no_log_is_not_migrated(place: Place) -> None:
    with pytest.raises(LogError):
        migrate_blocking(place)
    assert not isinstance(place, Path) or not place.exists()


def test_the_tables_are_those_that_queries_name(place: Place) -> None:
    scene.create(place).close()

    def compare(connection: Connection) -> None:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == revisions.NEWEST
        # Rows are written whole, so the order counts too.
        for name, table in schema.metadata.tables.items():
            found = [column["name"] for column in inspect(connection).get_columns(name)]
            assert found == [column.name for column in table.columns]

    async def run() -> None:
        if isinstance(place, Postgres):
            engine = postgres._engine(place, 1, writing=False, primary=False)
        else:
            engine = sqlite_session.engine(place, "ro", (), 1)
        async with engine.connect() as connection:
            await connection.run_sync(compare)
        await engine.dispose()

    asyncio.run(run())
