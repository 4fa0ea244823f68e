"""SQLite: the database file, its lock, its one writing connection, and the connections that read.

WAL mode with ``synchronous=FULL``: what COMMIT confirmed survives a power cut, given an honest
disk. SQLite up to 3.51.2 can corrupt a database when one connection writes while another runs a checkpoint
(sqlite.org/wal.html#walresetbug), so no connection checkpoints by itself, and the writer does so only under
the file lock that also covers every append. The lock is a file of its own, because closing any descriptor of
a database file drops the locks of the process on it.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exequatur_log.errors import FatalLogError, StorageError

from . import files, revisions
from .connection import Row, Step

_APPLICATION_ID: Final = 0x45585121  # "EXQ!"
_LAYOUT: Final = 1
_BUSY_MS: Final = 10_000
_CHECKPOINT_BYTES: Final = 16 << 20
_READERS: Final = 4
_COMMON: Final = (
    f"busy_timeout={_BUSY_MS}",
    "wal_autocheckpoint=0",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "temp_store=MEMORY",
)
_WRITER: Final = (*_COMMON, "synchronous=FULL", "recursive_triggers=ON", "cache_size=-65536", "journal_size_limit=0")
_READER: Final = (*_COMMON, "query_only=ON")


class Session:
    """One transaction, on the driver's own connection: a call of it is one thread switch, SQLAlchemy's are four."""

    dialect: Final = "sqlite"

    def __init__(self, driver: aiosqlite.Connection) -> None:
        self.driver = driver

    async def fetch(self, text: str, values: Sequence[object]) -> list[Row]:
        """Return the rows of a query."""
        return [tuple(row) for row in await self.driver.execute_fetchall(text, values)]

    async def execute(self, steps: Sequence[Step]) -> int:
        """Execute these in their order, to the last even if one fails; raise ``StorageError`` for the first that did.

        The driver's thread takes them one after the other; the event loop, which may be busy, is waited for once.
        """
        changed = 0
        for result in await asyncio.gather(*map(self._start, steps), return_exceptions=True):
            if isinstance(result, sqlite3.Error):
                raise StorageError(f"the batch could not be written: {result}") from result
            if isinstance(result, BaseException):
                raise result
            changed = result.rowcount
        return changed

    def _start(self, step: Step) -> Awaitable[aiosqlite.Cursor]:
        if len(step.rows) == 1:
            return self.driver.execute(step.text, step.rows[0])
        return self.driver.executemany(step.text, step.rows)

    async def commit(self) -> None:
        """Commit; when this raises ``StorageError``, whether it was committed is unknown."""
        try:
            await self.driver.commit()
        except sqlite3.Error as error:
            raise StorageError(f"the batch may not have been committed: {error}") from error


class SqliteDatabase:
    """One log's file, opened; ``append`` only if that was for writing."""

    def __init__(self, path: Path, readers: AsyncEngine, writer: AsyncEngine | None, lock: int | None) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer
        self._lock = lock

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """Yield a connection on one snapshot of the log. Keep it short: a reader holds back the checkpoint."""
        with self._failing("read"):
            async with self._readers.connect() as connection:
                session = await _session(connection)
                await session.driver.execute("BEGIN")
                try:
                    yield session
                finally:
                    await _end(session)

    @asynccontextmanager
    async def append(self) -> AsyncIterator[Session]:
        """Yield the writing connection, alone among all processes, in a transaction that has begun."""
        async with self.writing() as connection:
            yield await _session(connection)

    # There is one writing connection, so it is waited for.
    annotate = append

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Yield that connection as SQLAlchemy's."""
        if self._writer is None or self._lock is None:
            raise ValueError("this log was opened for reading")
        await _take(self._lock)
        try:
            with self._failing("written"):
                async with self._writer.connect() as connection:
                    try:
                        session = await _session(connection)
                        await session.driver.execute("BEGIN IMMEDIATE")
                        yield connection
                        await _end(session)
                        await self._checkpoint(session)
                    except BaseException:
                        # A connection that failed in the middle is not trusted with the next transaction.
                        await connection.invalidate()
                        raise
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    async def close(self) -> None:
        """Close every connection, the writer last and under the lock, because the last one to close checkpoints."""
        await self._readers.dispose()
        if self._writer is not None and self._lock is not None:
            await _take(self._lock)
            try:
                await self._writer.dispose()
            finally:
                os.close(self._lock)
                self._lock = None

    @contextmanager
    def _failing(self, done: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StorageError(f"{self.path} could not be {done}: {error}") from error

    async def _checkpoint(self, session: Session) -> None:
        """Move the write-ahead log into the database once it is long; it begins anew when no reader is left in it."""
        try:
            long = self.path.with_name(self.path.name + "-wal").stat().st_size > _CHECKPOINT_BYTES
        except FileNotFoundError:
            return
        if long:
            await session.fetch("PRAGMA wal_checkpoint(PASSIVE)", ())


async def open_database(path: Path, *, writable: bool) -> SqliteDatabase:
    """Open the file of a log. Raises ``FatalLogError`` if it is another's, or its settings do not hold."""
    _require(path)
    database = _over(path, writable=writable)
    try:
        async with database.read() as session:
            revisions.check(path, await _revision(path, session))
        if writable:
            async with database.append() as session:
                if await _pragma(session, "synchronous") != 2:
                    raise FatalLogError("SQLite did not take synchronous=FULL; commits would not be durable")
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def create_database(path: Path) -> AsyncIterator[Session]:
    """Yield a connection to the tables of a file that has its name once the block has ended well."""
    unfinished = files.unfinished(path)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    database = _over(unfinished, writable=True)
    try:
        try:
            async with database.writing() as connection:
                session = await _session(connection)
                await session.fetch(f"PRAGMA application_id={_APPLICATION_ID}", ())
                await session.fetch(f"PRAGMA user_version={_LAYOUT}", ())
                await connection.run_sync(_upgrade, None)
                yield session
                await session.commit()
        finally:
            await database.close()
    except BaseException:
        files.discard(unfinished)
        raise
    files.publish(unfinished, path)


async def migrate_database(path: Path) -> tuple[str, str]:
    """Bring the tables of a file to the newest revision under its lock; return the former revision and the newest."""
    _require(path)
    database = _over(path, writable=True)
    try:
        async with database.read() as session:
            await _revision(path, session)
        async with database.writing() as connection:
            session = await _session(connection)
            former = await _revision(path, session)
            revisions.check_known(path, former)
            if former != revisions.NEWEST:
                await connection.run_sync(_upgrade, former)
                await session.commit()
    finally:
        await database.close()
    return former, revisions.NEWEST


def _over(path: Path, *, writable: bool) -> SqliteDatabase:
    readers = _engine(path, "ro", _READER, _READERS)
    if not writable:
        return SqliteDatabase(path, readers, None, None)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return SqliteDatabase(path, readers, _engine(path, "rw", _WRITER, 1), lock)


async def _session(connection: AsyncConnection) -> Session:
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    return Session(driver)


async def _end(session: Session) -> None:
    if session.driver.in_transaction:
        await session.driver.rollback()


async def _revision(path: Path, session: Session) -> str:
    """Return the revision of the tables; raise ``FatalLogError`` if the file is no log's."""
    found = [await _pragma(session, name) for name in ("application_id", "user_version", "journal_mode")]
    if found != [_APPLICATION_ID, _LAYOUT, "wal"]:
        raise FatalLogError(f"{path} is not a log of format {_LAYOUT} in WAL mode")
    if not await session.fetch("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'", ()):
        return revisions.FIRST
    ((revision,),) = await session.fetch("SELECT version_num FROM alembic_version", ())
    return str(revision)


async def _pragma(session: Session, name: str) -> object:
    ((value,),) = await session.fetch(f"PRAGMA {name}", ())
    return value


def _upgrade(connection: SyncConnection, former: str | None) -> None:
    # Importing alembic takes a while, and opening a log does not need it.
    from .migrations import upgrade

    upgrade(connection, former)


def _require(path: Path) -> None:
    if not path.is_file():
        raise FatalLogError(f"{path} does not exist; create the log first")


async def _take(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Others hold it for one batch each; the kernel wakes the waiters, so nobody polls.
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)


def _engine(path: Path, mode: str, pragmas: tuple[str, ...], size: int) -> AsyncEngine:
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"})
    # Without an isolation level the driver leaves BEGIN to us, which it would otherwise issue late and
    # deferred; and every way out of ``read`` and ``append`` ends the transaction, so the pool need not.
    engine = create_async_engine(
        url, pool_size=size, max_overflow=0, pool_reset_on_return=None, connect_args={"isolation_level": None}
    )

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        if mode == "rw":
            cursor.execute("PRAGMA journal_mode=WAL")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)
    return engine
