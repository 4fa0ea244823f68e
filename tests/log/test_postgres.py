"""What the database itself holds to, and what a log asks of its server before it writes."""

import asyncio
from collections.abc import Iterator

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import Code, FatalLogError, LogError, Refused, StorageError
from exequatur_log.head import WitnessedHead
from exequatur_log.log import Log
from exequatur_log.storage import database, postgres, postgres_session
from exequatur_log.storage.database import create_database, open_database
from exequatur_log.storage.place import Postgres
from exequatur_log.storage.prepared import Query
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW
from tests.log.test_queries import NAMED, WHOLE
from tests.support.postgres import Server, SQLError, query


@pytest.fixture(scope="module")
def sound(server: Server) -> Postgres:
    """A closed log of a full tile and some more."""
    place = server.database()
    with scene.create(place) as log:
        log.register_many([scene.request() for _ in range(300)])
    return place


@pytest.fixture
def copy(server: Server, sound: Postgres) -> Postgres:
    return server.database(sound)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be set up badly."""
    running = Server(tmp_path_factory.mktemp("own"))
    yield running
    running.stop()


COPIED = "leaf_hash, kind, sub, iss, iat, key_id, 400, series, number, statement FROM entries WHERE leaf_index = 1"
TILE = "(SELECT hashes FROM tiles WHERE level = 0 AND number = 1)"
LAST = "level = 0 AND number = 1"
# What the triggers say, or the key or the check that is hurt.
REFUSED = r"(entries|heads|keys|tiles|head|witnessed): |violates (unique|check) constraint"
ZEROS = "decode(repeat('00', 32), 'hex')"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET iat = iat + 1 WHERE leaf_index = 2",
        "DELETE FROM entries WHERE leaf_index = 303",
        "TRUNCATE entries",
        f"INSERT INTO entries SELECT 305, '\\x01', {COPIED}",
        f"INSERT INTO entries SELECT -1, '\\x01', {COPIED}",
        f"INSERT INTO entries SELECT 304, '\\x01'::bytea, {COPIED} UNION ALL SELECT 306, '\\x02', {COPIED}",
        f"INSERT INTO entries SELECT 304, record_id, {COPIED}",
        f"INSERT INTO entries SELECT 304, '\\x01', {COPIED.replace('400', '304')}",
        "UPDATE heads SET iat = iat + 1",
        "DELETE FROM heads",
        "TRUNCATE heads",
        "INSERT INTO heads SELECT 2, root, iat, protected, signature, note FROM head",
        "UPDATE keys SET encoded = '\\x00'",
        "DELETE FROM keys",
        "TRUNCATE keys",
        "DELETE FROM tiles",
        "TRUNCATE tiles",
        "UPDATE tiles SET number = 7 WHERE number = 1",
        f"UPDATE tiles SET hashes = substr({TILE}, 1, 32) WHERE {LAST}",
        f"UPDATE tiles SET hashes = {TILE} WHERE {LAST}",
        f"UPDATE tiles SET hashes = {ZEROS} || {TILE} WHERE {LAST}",
        f"UPDATE tiles SET hashes = {TILE} || '\\x00' WHERE {LAST}",
        f"UPDATE tiles SET hashes = hashes || {ZEROS} WHERE level = 0 AND number = 0",
        "DELETE FROM head",
        "TRUNCATE head",
        "UPDATE head SET size = size",
        "UPDATE head SET size = size - 1",
        "UPDATE head SET size = size + 1, iat = iat - 1",
        "UPDATE head SET id = 2, size = size + 1",
        "INSERT INTO head SELECT 2, size, root, iat, protected, signature, note, edge FROM head",
        "INSERT INTO witnessed VALUES (77, 1, '\\x00')",
        "INSERT INTO witnessed VALUES (304, 1, '\\x00'); UPDATE witnessed SET note = '\\x01'",
        "INSERT INTO witnessed VALUES (304, 1, '\\x00'); DELETE FROM witnessed",
        "TRUNCATE witnessed",
    ],
)
def test_what_is_logged_cannot_be_changed(sound: Postgres, statement: str) -> None:
    # L-14 L-36
    with pytest.raises(SQLError, match=REFUSED):
        query(sound, f"BEGIN; {statement}; ROLLBACK")


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO entries SELECT 304, '\\x01', {COPIED}",
        f"INSERT INTO entries SELECT 304, '\\x01'::bytea, {COPIED} UNION ALL SELECT 305, '\\x02', {COPIED}",
        "INSERT INTO heads SELECT size + 1, root, iat, protected, signature, note FROM head",
        f"UPDATE tiles SET hashes = {TILE} || {ZEROS} WHERE {LAST}",
        "UPDATE head SET size = size + 1, iat = iat",
        "INSERT INTO witnessed VALUES (304, 1, '\\x00')",
    ],
)
def test_a_log_can_grow(sound: Postgres, statement: str) -> None:
    # L-36
    query(sound, f"BEGIN; {statement}; ROLLBACK")


@pytest.mark.parametrize("name", sorted(NAMED.keys() - WHOLE))
def test_a_query_searches_and_never_scans(sound: Postgres, name: str) -> None:
    """Where there is an index that answers it, a server that may not scan does not."""
    found = NAMED[name]
    text = found.compiled("postgresql").text if isinstance(found, Query) else found.text("postgresql", 2)
    plan = query(sound, f"SET enable_seqscan = off; EXPLAIN (GENERIC_PLAN) {text}")
    assert "Seq Scan" not in plan
    assert "Index" in plan


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM head",
        "UPDATE head SET iat = iat + 1",
        "UPDATE head SET signature = substr(note, 1, 64)",
        "UPDATE head SET edge = substr(edge, 33)",
        "DELETE FROM tiles WHERE level = 0 AND number = 1",
        "UPDATE tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 1",
        "UPDATE entries SET statement = set_byte(statement, 40, get_byte(statement, 40) # 1) WHERE leaf_index = 303",
        "DELETE FROM entries WHERE leaf_index = 303",
        "DELETE FROM heads WHERE size = 304",
    ],
)
def test_damage_is_refused_and_found(copy: Postgres, change: str) -> None:
    # L-35
    assert check_file(copy) == []
    damage.meddle(copy, change)
    for keys in (KEYS, None):
        with pytest.raises(FatalLogError):
            BlockingLog.open(copy, keys, clock=lambda: NOW)
    assert check_file(copy) != []


def test_a_log_is_created_once(copy: Postgres, server: Server) -> None:
    before = query(copy, "SELECT * FROM entries")
    with pytest.raises(LogError, match="already"):
        scene.create(copy)
    assert query(copy, "SELECT * FROM entries") == before
    fresh = server.database()

    async def both() -> list[object]:
        made = (Log.create(fresh, scene.genesis(), KEYS, clock=lambda: NOW) for _ in range(2))
        return await asyncio.gather(*made, return_exceptions=True)

    async def run() -> None:
        one, two = sorted(await both(), key=lambda made: isinstance(made, Log))
        assert isinstance(two, Log)
        assert isinstance(one, LogError)
        await two.close()

    asyncio.run(run())
    assert check_file(fresh) == []


def test_a_log_that_could_not_be_created_leaves_nothing(server: Server) -> None:
    place = server.database()

    async def interrupted() -> None:
        async with create_database(place):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        asyncio.run(interrupted())
    assert query(place, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == "0\n"
    scene.create(place).close()


def test_what_is_no_log_is_refused(server: Server) -> None:
    # L-35
    place = server.database()
    for keys in (KEYS, None):
        with pytest.raises(FatalLogError, match="no log"):
            BlockingLog.open(place, keys, clock=lambda: NOW)
    assert [finding.code for finding in check_file(place)] == ["DATABASE"]
    nowhere = server.place("nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        BlockingLog.open(nowhere, KEYS, clock=lambda: NOW)


def test_a_database_that_answers_too_early_is_refused(copy: Postgres) -> None:
    # L-41
    scene.reopen(copy).close()
    for setting, why in (("synchronous_commit = off", "synchronous_commit"), ("synchronous_commit = local", "local")):
        name = query(copy, "SELECT current_database()").strip()
        query(copy, f"ALTER DATABASE {name} SET {setting}")
        with pytest.raises(FatalLogError, match=why):
            scene.reopen(copy)
    # Who only reads acknowledges nothing.
    BlockingLog.open(copy).close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_write_through_is_refused(own: Server, setting: str) -> None:
    # L-41
    place = own.database()
    scene.create(place).close()
    query(place, f"ALTER SYSTEM SET {setting} = off")
    own.stop()
    own.start()
    with pytest.raises(FatalLogError, match=f"{setting} = off"):
        scene.reopen(place)
    query(place, f"ALTER SYSTEM RESET {setting}")
    own.stop()
    own.start()
    scene.reopen(place).close()


def test_a_connection_made_later_is_asked_again(own: Server) -> None:
    # L-41
    place = own.database()
    with scene.create(place) as log:
        query(place, "ALTER ROLE CURRENT_USER SET synchronous_commit = off")
        own.stop()
        own.start()
        with pytest.raises(FatalLogError, match="synchronous_commit"):
            log.register(scene.request())
    query(place, "ALTER ROLE CURRENT_USER RESET synchronous_commit")


def test_another_encoding_is_refused(server: Server) -> None:
    # L-41
    place = server.database(options=" ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(FatalLogError, match="server_encoding = SQL_ASCII"):
        scene.create(place)


def test_a_standby_is_read_and_never_written(own: Server) -> None:
    # L-41
    place = own.database()
    scene.create(place).close()
    own.stop()
    (own.data / "standby.signal").touch()
    own.start()
    with pytest.raises(FatalLogError, match="standby"):
        scene.reopen(place)
    with BlockingLog.open(place) as log:
        assert log.head().size == 4
    own.stop()
    (own.data / "standby.signal").unlink()
    own.start()
    scene.reopen(place).close()


def test_a_transaction_that_failed_is_not_committed(copy: Postgres) -> None:
    """PostgreSQL answers such a COMMIT without an error."""

    # L-12
    async def run() -> None:
        database = await open_database(copy, writable=True)
        async with database.append() as connection:
            with pytest.raises(StorageError):
                await connection.fetch("SELECT nonsense", ())
            with pytest.raises(StorageError, match="ROLLBACK"):
                await connection.commit()
        await database.close()

    asyncio.run(run())


def test_a_commit_that_waits_for_its_replica_is_not_acknowledged(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # L-12 L-42
    place, entry = own.database(), scene.request()
    monkeypatch.setattr(postgres_session, "COMMAND_S", 0.5)
    monkeypatch.setitem(postgres._SETTINGS, "lock_timeout", "500ms")
    with scene.create(place) as log:
        query(place, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        query(place, "SELECT pg_reload_conf(), pg_sleep(0.2)")
        with pytest.raises(Refused) as caught:
            log.register(entry)
        assert caught.value.code is Code.UNAVAILABLE
        # Nobody sees it before the replica has it, or before there is none to wait for.
        assert log.head().size == 4
        query(place, "ALTER SYSTEM RESET synchronous_standby_names")
        query(place, "SELECT pg_reload_conf(), pg_sleep(0.2)")
        answer = log.register(entry)
        assert (answer.leaf_index, answer.fresh) == (4, False)
    assert check_file(place) == []


def test_cosignatures_are_kept_while_another_holds_the_head(copy: Postgres) -> None:
    kept = WitnessedHead(304, NOW, b"note")

    async def run() -> None:
        database = await open_database(copy, writable=True)
        async with await Log.open(copy, KEYS, clock=lambda: NOW) as log:
            async with database.append():
                await asyncio.wait_for(log.keep_witnessed(kept), 10)
            assert await log.witnessed() == await log.witnessed(304) == kept
        await database.close()

    asyncio.run(run())


def test_a_vanished_writer_does_not_hold_up_the_others_for_ever(
    copy: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    # L-42
    monkeypatch.setitem(postgres._SETTINGS, "idle_in_transaction_session_timeout", "1500ms")

    async def run() -> None:
        vanished = await open_database(copy, writable=True)
        async with await Log.open(copy, KEYS, clock=lambda: NOW) as log, vanished.append() as connection:
            assert (await log.register(scene.request())).fresh
            with pytest.raises(StorageError):
                await connection.commit()
        await vanished.close()

    asyncio.run(run())
    assert check_file(copy) == []


def test_readers_that_give_up_leave_the_others_their_connections(copy: Postgres) -> None:
    async def run() -> None:
        async with await Log.open(copy) as log:
            for late in range(40):
                reading = [asyncio.create_task(log.find(limit=300)) for _ in range(4)]
                await asyncio.sleep(late / 10_000)
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
            assert {len(await log.find(limit=300)) for _ in range(8)} == {300}

    asyncio.run(run())


def test_a_connection_is_never_less_private_than_was_asked_for(copy: Postgres) -> None:
    """This server knows no TLS, so who insists on it is not connected."""
    with pytest.raises(StorageError, match="cannot be reached"):
        BlockingLog.open(Postgres(copy.url.replace("sslmode=disable", "sslmode=require")))
    BlockingLog.open(copy).close()


def test_what_is_missing_without_the_extra_is_named(copy: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda _: None)
    with pytest.raises(LogError, match=r"exequatur\[postgres\]"):
        BlockingLog.open(copy)
