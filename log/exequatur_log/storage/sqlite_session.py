"""One transaction in SQLite, on the driver's own connection; the connections; and whose a file is."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exequatur_log.errors import FatalLogError, StorageError

from . import revisions
from .connection import Row, Step

P = ParamSpec("P")
T = TypeVar("T")

LAYOUT: Final = 1
_BUSY_MS: Final = 10_000
_COMMON: Final = (
    f"busy_timeout={_BUSY_MS}",
    "wal_autocheckpoint=0",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "temp_store=MEMORY",
)
_WRITING: Final = (*_COMMON, "recursive_triggers=ON", "cache_size=-16384")
READER: Final = (*_COMMON, "query_only=ON")
WRITER: Final = ("journal_mode=WAL", *_WRITING, "synchronous=FULL", "journal_size_limit=0")
# A file that has no name yet is thrown away when it is interrupted, and made durable when it is whole.
MAKER: Final = ("journal_mode=MEMORY", *_WRITING, "synchronous=OFF")


class Form(NamedTuple):
    """What a file is, by its mark, and how its changes are journalled."""

    application_id: int
    journal_mode: str


LOG: Final = Form(0x45585121, "wal")  # "EXQ!"
COPY: Final = Form(0x45585143, "delete")  # "EXQC"


class Session:
    """One transaction, on the driver's own connection: a call of it is one thread switch, SQLAlchemy's are four."""

    dialect: Final = "sqlite"

    def __init__(self, driver: aiosqlite.Connection) -> None:
        self._driver = driver
        self._opening: str | None = None

    def begin(self, statement: str) -> None:
        """Begin, in the visit of the driver's thread that the first use makes anyway."""
        self._opening = statement

    async def fetch(self, text: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query."""
        return await self._visit(_fetch, text, values)

    async def execute(self, steps: Sequence[Step]) -> int:
        """Execute these in their order; return how many rows the last one changed. Raises ``StorageError``.

        All in one visit of the driver's thread: each costs two switches of threads, and the event loop may be busy.
        """
        try:
            return await self._visit(_execute, steps)
        except sqlite3.Error as error:
            raise StorageError(f"the batch could not be written: {error}") from error

    async def commit(self) -> None:
        """Commit; when this raises ``StorageError``, whether it was committed is unknown."""
        try:
            await self._driver.commit()
        except sqlite3.Error as error:
            raise StorageError(f"the batch may not have been committed: {error}") from error

    async def end(self) -> None:
        """Roll back what was not committed."""
        self._opening = None
        if self._driver.in_transaction:
            await self._driver.rollback()

    async def _visit(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **by: P.kwargs) -> T:
        """Do work in the driver's thread, in the transaction."""
        opening, self._opening = self._opening, None

        def begun(connection: sqlite3.Connection) -> T:
            if opening is not None:
                connection.execute(opening)
            return work(connection, *args, **by)

        # aiosqlite has no public call that runs more than one statement with values.
        done: T = await self._driver._execute(begun, self._driver._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return done


def _fetch(connection: sqlite3.Connection, text: str, values: Sequence[object]) -> list[Row]:
    return connection.execute(text, values).fetchall()


def _execute(connection: sqlite3.Connection, steps: Sequence[Step]) -> int:
    changed = 0
    for text, rows, _ in steps:
        if rows:
            cursor = connection.execute(text, rows[0]) if len(rows) == 1 else connection.executemany(text, rows)
            changed = cursor.rowcount
            cursor.close()
    return changed


async def session_of(connection: AsyncConnection) -> Session:
    """Return the session on the driver's connection of one of SQLAlchemy's."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, aiosqlite.Connection)
    return Session(driver)


@contextmanager
def failing(path: Path, done: str) -> Iterator[None]:
    """Turn failures of the database within into ``StorageError``."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StorageError(f"{path} could not be {done}: {error}") from error


async def pragma(session: Session, name: str) -> object:
    """Return the value of a pragma."""
    ((value,),) = await session.fetch(f"PRAGMA {name}")
    return value


async def revision(path: Path, session: Session, form: Form) -> str:
    """Return the revision of the tables; raise ``FatalLogError`` if the file is not of that form."""
    mark = await pragma(session, "application_id")
    if (mark, form) == (COPY.application_id, LOG):
        raise FatalLogError(f"{path} is a copy of a log and cannot be used as one; see `exequatur log import`")
    if (mark, form) == (LOG.application_id, COPY):
        raise FatalLogError(f"{path} is a log and not a copy of one; make one with `exequatur log export`")
    found = (mark, await pragma(session, "user_version"), await pragma(session, "journal_mode"))
    if found != (form.application_id, LAYOUT, form.journal_mode):
        raise FatalLogError(f"{path} is not a log of format {LAYOUT} in {form.journal_mode} mode")
    if not await session.fetch("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"):
        return revisions.FIRST
    ((found_revision,),) = await session.fetch("SELECT version_num FROM alembic_version")
    return str(found_revision)


def engine(path: Path, mode: str, pragmas: tuple[str, ...], size: int) -> AsyncEngine:
    """Return a pool of connections that are set up with these pragmas."""
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"})
    # Without an isolation level the driver leaves BEGIN to us, which it would otherwise issue late and
    # deferred; and every way out of ``read`` and ``append`` ends the transaction, so the pool need not.
    made = create_async_engine(
        url, pool_size=size, max_overflow=0, pool_reset_on_return=None, connect_args={"isolation_level": None}
    )

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for each in pragmas:
            cursor.execute(f"PRAGMA {each}")
        cursor.close()

    event.listen(made.sync_engine, "connect", connected)
    return made
