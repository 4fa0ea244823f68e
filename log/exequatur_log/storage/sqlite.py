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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exequatur_log.errors import FatalLogError

from . import files, revisions
from .sqlite_session import (
    LAYOUT,
    LOG,
    MAKER,
    READER,
    WRITER,
    Form,
    Session,
    engine,
    failing,
    pragma,
    revision,
    session_of,
)

_CHECKPOINT_BYTES: Final = 16 << 20
_READERS: Final = 4


class SqliteDatabase:
    """One log's file, opened; ``append`` only if that was for writing."""

    def __init__(self, path: Path, readers: AsyncEngine, writer: AsyncEngine | None, lock: int | None) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer
        self._lock = lock
        # The file lock is the process's: among the tasks of one, turns are taken.
        self._turn = asyncio.Lock()
        # The one writing connection, once it is open; and the file whose length asks for a checkpoint.
        self._writing: AsyncConnection | None = None
        self._session: Session | None = None
        self._wal = path.with_name(path.name + "-wal")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """Yield a connection on one snapshot of the log. Keep it short: a reader holds back the checkpoint."""
        with failing(self.path, "read"):
            async with self._readers.connect() as connection:
                session = await session_of(connection)
                session.begin("BEGIN")
                try:
                    yield session
                finally:
                    await session.end()

    @asynccontextmanager
    async def append(self) -> AsyncIterator[Session]:
        """Yield the writing connection, alone among all processes, in a transaction that begins with its first use."""
        if self._writer is None or self._lock is None:
            raise ValueError("this log was opened for reading")
        async with self._turn:
            await _take(self._lock)
            try:
                with failing(self.path, "written"):
                    try:
                        session = self._session or await self._open(self._writer)
                        session.begin("BEGIN IMMEDIATE")
                        yield session
                        await session.end()
                        await self._checkpoint(session)
                    except BaseException:
                        await self._give_up()
                        raise
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    # There is one writing connection, so it is waited for.
    annotate = append

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[tuple[Session, AsyncConnection]]:
        """Yield that connection as SQLAlchemy's too."""
        async with self.append() as session:
            assert self._writing is not None
            yield session, self._writing

    async def close(self) -> None:
        """Close every connection, the writer last and under the lock, because the last one to close checkpoints."""
        await self._readers.dispose()
        if self._writer is not None and self._lock is not None:
            await _take(self._lock)
            try:
                if self._writing is not None:
                    await self._writing.close()
                await self._writer.dispose()
            finally:
                os.close(self._lock)
                self._lock = None

    async def _open(self, writer: AsyncEngine) -> Session:
        self._writing = await writer.connect()
        self._session = await session_of(self._writing)
        return self._session

    async def _give_up(self) -> None:
        """Give the writing connection up: one that failed in the middle is not trusted with the next transaction."""
        connection, self._writing, self._session = self._writing, None, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def _checkpoint(self, session: Session) -> None:
        """Move the write-ahead log into the database once it is long; it begins anew when no reader is left in it."""
        try:
            long = self._wal.stat().st_size > _CHECKPOINT_BYTES
        except FileNotFoundError:
            return
        if long:
            await session.fetch("PRAGMA wal_checkpoint(PASSIVE)", ())


async def open_database(path: Path, *, writable: bool, form: Form = LOG) -> SqliteDatabase:
    """Open the file of a log. Raises ``FatalLogError`` if it is another's, or its settings do not hold."""
    _require(path)
    database = _over(path, writable=writable)
    try:
        async with database.read() as session:
            revisions.check(path, await revision(path, session, form))
        if writable:
            async with database.append() as session:
                if await pragma(session, "synchronous") != 2:
                    raise FatalLogError("SQLite did not take synchronous=FULL; commits would not be durable")
            # SQLite syncs the folder of a new write-ahead log, but goes on if that failed.
            files.keep_names(path)
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def create_database(path: Path, form: Form = LOG) -> AsyncIterator[Session]:
    """Yield a connection to the tables of a file that has its name once the block has ended well."""
    unfinished = files.unfinished(path)
    maker = engine(unfinished, "rw", MAKER, 1)
    try:
        try:
            with failing(path, "made"):
                async with maker.connect() as connection:
                    session = await session_of(connection)
                    session.begin("BEGIN IMMEDIATE")
                    await session.fetch(f"PRAGMA application_id={form.application_id}")
                    await session.fetch(f"PRAGMA user_version={LAYOUT}")
                    await connection.run_sync(_upgrade, None)
                    yield session
                    await session.commit()
                    await session.fetch(f"PRAGMA journal_mode={form.journal_mode}")
        finally:
            await maker.dispose()
        files.publish(unfinished, path)
    finally:
        files.discard(unfinished)


async def migrate_database(path: Path) -> tuple[str, str]:
    """Bring the tables of a file to the newest revision under its lock; return the former revision and the newest."""
    _require(path)
    database = _over(path, writable=True)
    try:
        async with database.read() as session:
            revisions.check_known(path, await revision(path, session, LOG))
        async with database.writing() as (session, connection):
            # Another process may have migrated while this one waited.
            former = await revision(path, session, LOG)
            if former != revisions.NEWEST:
                await connection.run_sync(_upgrade, former)
                await session.commit()
    finally:
        await database.close()
    return former, revisions.NEWEST


def _over(path: Path, *, writable: bool) -> SqliteDatabase:
    readers = engine(path, "ro", READER, _READERS)
    if not writable:
        return SqliteDatabase(path, readers, None, None)
    return SqliteDatabase(path, readers, engine(path, "rw", WRITER, 1), files.open_lock(path))


def _upgrade(connection: Connection, former: str | None) -> None:
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
