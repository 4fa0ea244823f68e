"""The database file: its lock, its one writing connection, and the connections that read.

SQLite in WAL mode with ``synchronous=FULL``: what COMMIT confirmed survives a power cut, given an honest
disk. SQLite up to 3.51.2 can corrupt a database when one connection writes while another runs a checkpoint
(sqlite.org/wal.html#walresetbug), so no connection checkpoints by itself, and the writer does so only under
the file lock that also covers every append. The lock is a file of its own, because closing any descriptor of
a database file drops the locks of the process on it.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection as Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from exequatur_log.errors import FatalLogError, StorageError

from . import schema

__all__ = ["Connection", "Database"]

_APPLICATION_ID: Final = 0x45585121  # "EXQ!"
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


class Database:
    """One log's file, opened; ``append`` only if that was for writing."""

    def __init__(self, path: Path, readers: AsyncEngine, writer: AsyncEngine | None, lock: int | None) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer
        self._lock = lock

    @classmethod
    async def create(cls, path: Path) -> "Database":
        """Make the file with its tables, in which nothing stands yet; it must not exist."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        database = cls._over(path, writable=True)
        try:
            async with database.append() as connection:
                await connection.exec_driver_sql(f"PRAGMA application_id={_APPLICATION_ID}")
                await connection.exec_driver_sql(f"PRAGMA user_version={schema.FORMAT}")
                await connection.run_sync(schema.metadata.create_all)
                await connection.commit()
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def open(cls, path: Path, *, writable: bool) -> "Database":
        """Open the file of a log. Raises ``FatalLogError`` if it is another's, or its settings do not hold."""
        _require(path)
        database = cls._over(path, writable=writable)
        try:
            async with database.read() as connection:
                found = [await _pragma(connection, name) for name in ("application_id", "user_version", "journal_mode")]
            if found != [_APPLICATION_ID, schema.FORMAT, "wal"]:
                raise FatalLogError(f"{path} is not a log of format {schema.FORMAT} in WAL mode")
            if writable:
                async with database.append() as connection:
                    if await _pragma(connection, "synchronous") != 2:
                        raise FatalLogError("SQLite did not take synchronous=FULL; commits would not be durable")
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    def _over(cls, path: Path, *, writable: bool) -> "Database":
        readers = _engine(path, "ro", _READER, _READERS)
        if not writable:
            return cls(path, readers, None, None)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return cls(path, readers, _engine(path, "rw", _WRITER, 1), lock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Yield a connection on one snapshot of the log. Keep it short: a reader holds back the checkpoint."""
        try:
            async with self._readers.connect() as connection:
                driver = await driver_of(connection)
                await driver.execute("BEGIN")
                try:
                    yield connection
                finally:
                    await _end(connection, driver)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StorageError(f"{self.path} could not be read: {error}") from error

    @asynccontextmanager
    async def append(self) -> AsyncIterator[Connection]:
        """Yield the writing connection, alone among all processes, in a transaction that has begun.

        The caller commits; what it does not commit is rolled back. When leaving raises ``StorageError`` the
        outcome of a COMMIT is unknown: read the head again.
        """
        if self._writer is None or self._lock is None:
            raise ValueError("this log was opened for reading")
        await _take(self._lock)
        try:
            async with self._writer.connect() as connection:
                driver = await driver_of(connection)
                try:
                    await driver.execute("BEGIN IMMEDIATE")
                    yield connection
                    await _end(connection, driver)
                    await self._checkpoint(driver)
                except BaseException:
                    # A connection that failed in the middle is not trusted with the next transaction.
                    await connection.invalidate()
                    raise
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StorageError(f"{self.path} could not be written: {error}") from error
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

    async def _checkpoint(self, driver: aiosqlite.Connection) -> None:
        """Move the write-ahead log into the database once it is long; it begins anew when no reader is left in it."""
        try:
            long = self.path.with_name(self.path.name + "-wal").stat().st_size > _CHECKPOINT_BYTES
        except FileNotFoundError:
            return
        if long:
            await driver.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")


async def driver_of(connection: Connection) -> aiosqlite.Connection:
    """Return the driver's connection. Each call of it is one thread switch, where SQLAlchemy's cursors make four."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    return driver


async def _end(connection: Connection, driver: aiosqlite.Connection) -> None:
    # SQLAlchemy knows of a transaction only when something was executed through it.
    await connection.rollback()
    if driver.in_transaction:
        await driver.rollback()


def _require(path: Path) -> None:
    if not path.is_file():
        raise FatalLogError(f"{path} does not exist; create the log first")


async def _take(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Others hold it for one batch each; the kernel wakes the waiters, so nobody polls.
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)


async def _pragma(connection: Connection, name: str) -> object:
    return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()


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
