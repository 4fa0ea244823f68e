"""PostgreSQL: any number of processes append to one log, which is alone in its database.

``append`` locks the one row of ``head`` (READ COMMITTED, ``FOR UPDATE``), so there is no leader: whoever has the row
is the writer, and every other waits for it. ``read`` is one snapshot (REPEATABLE READ). A COMMIT is durable only if
the server says so truthfully, so whoever writes checks its settings on every connection that it makes, and connects
to a primary alone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exequatur_log.errors import FatalLogError, LogError, StorageError

from . import place as places
from . import revisions
from .place import Postgres
from .postgres_session import COMMAND_S, CONNECT_S, FAILURES, Session, told

# One appends, one adds what stands beside the tree.
_WRITERS: Final = 2
_READERS: Final = 4
# A process that vanished while it held the head holds up all others, until the server ends its transaction.
_SETTINGS: Final = {
    "application_name": "exequatur",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
# Without these, what was acknowledged could be lost, or could not be stored.
_REQUIRED: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
    "server_encoding": ("UTF8",),
}
_MAKING: Final = 0x45585121  # "EXQ!", the advisory lock under which tables are made.

_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_LOCK: Final = "SELECT 1 FROM head WHERE id = 1 FOR UPDATE"


class PostgresDatabase:
    """One log's database, opened; ``append`` only if that was for writing."""

    def __init__(self, place: Postgres, readers: AsyncEngine, writers: AsyncEngine | None) -> None:
        self.place = place
        self._readers = readers
        self._writers = writers

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """Yield a connection on one snapshot of the log."""
        async with _transaction(self.place, self._readers, _READ) as (_, session):
            yield session

    @asynccontextmanager
    async def append(self) -> AsyncIterator[Session]:
        """Yield a connection that holds the lock of the head, in a transaction that has begun."""
        async with self.annotate() as session:
            await session.fetch(_LOCK)
            yield session

    @asynccontextmanager
    async def annotate(self) -> AsyncIterator[Session]:
        """Yield a connection in a transaction that has begun and leaves the head alone."""
        if self._writers is None:
            raise ValueError("this log was opened for reading")
        async with _transaction(self.place, self._writers, _WRITE) as (_, session):
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self._readers.dispose()
        if self._writers is not None:
            await self._writers.dispose()


async def open_database(place: Postgres, *, writable: bool) -> PostgresDatabase:
    """Open the database of a log. Raises ``FatalLogError`` if it holds none, or would not keep what it confirms."""
    readers = _engine(place, _READERS, writing=False, primary=writable)
    writers = _engine(place, _WRITERS, writing=True, primary=True) if writable else None
    database = PostgresDatabase(place, readers, writers)
    try:
        async with database.read() as session:
            revisions.check(place, await _revision(place, session))
        if writable:
            async with database.annotate():
                pass
    except _StandbyError as error:
        await database.close()
        raise FatalLogError(f"{error}; open the log at its primary") from error
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def create_database(place: Postgres) -> AsyncIterator[Session]:
    """Yield a connection to the tables of a log that stands once the block has ended well."""
    async with _patient(place) as (connection, session):
        await session.fetch("SELECT pg_advisory_xact_lock($1)", (_MAKING,))
        if await _exists(session, "alembic_version") or await _exists(session, "entries"):
            raise LogError(
                f"{place} holds a log already, or something else; a log is created once, in its own database"
            )
        with session.failing("the tables could not be made"):
            await connection.run_sync(_upgrade, None)
        yield session
        await session.commit()


async def migrate_database(place: Postgres) -> tuple[str, str]:
    """Bring the tables to the newest revision, holding the head; return the former revision and the newest."""
    async with _patient(place) as (connection, session):
        revisions.check_known(place, await _revision(place, session))
        await session.fetch(_LOCK)
        # Another process may have migrated while this one waited.
        former = await _revision(place, session)
        if former != revisions.NEWEST:
            with session.failing("the tables could not be migrated"):
                await connection.run_sync(_upgrade, former)
            await session.commit()
    return former, revisions.NEWEST


class _StandbyError(StorageError):
    """The server follows another one, and cannot be written to."""


@asynccontextmanager
async def _patient(place: Postgres) -> AsyncIterator[tuple[AsyncConnection, Session]]:
    """Yield one connection for what may take long, in a transaction that has begun."""
    engine = _engine(place, 1, writing=True, primary=True, command_s=None)
    try:
        async with _transaction(place, engine, _WRITE) as pair:
            yield pair
    finally:
        await engine.dispose()


@asynccontextmanager
async def _transaction(
    place: Postgres, engine: AsyncEngine, begin: str
) -> AsyncIterator[tuple[AsyncConnection, Session]]:
    connection, session = await _begin(place, engine, begin)
    try:
        yield connection, session
    finally:
        await _end(connection, session)


async def _begin(place: Postgres, engine: AsyncEngine, begin: str) -> tuple[AsyncConnection, Session]:
    """Return a connection that works: those that a restarted server has left behind in the pool are given up."""
    while True:
        try:
            connection = await engine.connect()
            raw = await connection.get_raw_connection()
        except FAILURES as error:
            raise StorageError(f"{place} cannot be reached: {told(error)}") from error
        session = Session(place, raw.driver_connection)
        used, raw.info["used"] = raw.info.get("used", False), True
        try:
            await session.begin(begin)
        except BaseException as error:
            await _end(connection, session)
            if used and isinstance(error, StorageError):
                continue
            raise
        return connection, session


async def _end(connection: AsyncConnection, session: Session) -> None:
    """Roll back what was not committed, and give the connection back, or up if anything failed on it."""
    try:
        with suppress(StorageError):
            await session.end()
    finally:
        if not session.sound:
            session.drop()
            await connection.invalidate()
        await connection.close()


async def _exists(session: Session, table: str) -> bool:
    ((found,),) = await session.fetch("SELECT to_regclass($1) IS NOT NULL", (table,))
    return bool(found)


async def _revision(place: Postgres, session: Session) -> str:
    """Return the revision of the tables; raise ``FatalLogError`` if there are none."""
    if not await _exists(session, "alembic_version"):
        raise FatalLogError(f"{place} holds no log; create it first")
    ((revision,),) = await session.fetch("SELECT version_num FROM alembic_version")
    return str(revision)


def _upgrade(connection: SyncConnection, former: str | None) -> None:
    # Importing alembic takes a while, and opening a log does not need it.
    from .migrations import upgrade

    upgrade(connection, former)


def _engine(
    place: Postgres, size: int, *, writing: bool, primary: bool, command_s: float | None = COMMAND_S
) -> AsyncEngine:
    places.check(place)

    async def connect(*_: object, **__: object) -> Any:
        try:
            driver = await asyncpg.connect(
                place.url,
                timeout=CONNECT_S,
                command_timeout=command_s,
                server_settings=_SETTINGS,
                target_session_attrs="primary" if primary else None,
            )
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise _StandbyError(f"{place} is a standby, which cannot be written to") from error
        if writing:
            try:
                await _check_durable(place, driver)
            except BaseException:
                driver.terminate()
                raise
        return driver

    # Transactions are begun and ended by us alone, also those that SQLAlchemy takes part in.
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=size,
        max_overflow=0,
        pool_reset_on_return=None,
    )


async def _check_durable(place: Postgres, driver: Any) -> None:
    names = "SELECT name, current_setting(name) FROM unnest($1::text[]) AS name"
    for name, value in await driver.fetch(names, list(_REQUIRED)):
        if value not in _REQUIRED[name]:
            needed = " or ".join(_REQUIRED[name])
            raise FatalLogError(
                f"{place} has {name} = {value}; what a log acknowledged could be lost. Set it to {needed}, for the "
                "server or for this database and role"
            )
