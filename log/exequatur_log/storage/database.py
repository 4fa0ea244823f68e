"""Databases: where a log is kept, whichever it is. ``sqlite`` and ``postgres`` are the two.

Both keep the same tables, made by the same ``migrations``, and give the same promise: what ``append`` yields is
alone with the head, and what its COMMIT confirmed survives a power cut, given an honest disk.
"""

from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from exequatur_log.errors import LogError

from . import sqlite
from .connection import Connection
from .place import Place
from .sqlite_session import COPY

__all__ = ["Connection", "Database", "create_copy", "create_database", "migrate_database", "open_copy", "open_database"]


class Database(Protocol):
    """One log's database, opened; it is written to only if that was for writing."""

    def read(self) -> AbstractAsyncContextManager[Connection]:
        """Yield a connection on one snapshot of the log. Keep it short: a snapshot holds back what cleans up."""
        ...

    def append(self) -> AbstractAsyncContextManager[Connection]:
        """Yield a connection that is alone with the head among all processes, in a transaction that has begun.

        The caller commits; what it does not commit is rolled back. When leaving raises ``StorageError`` the
        outcome of a COMMIT is unknown: read the head again.
        """
        ...

    def annotate(self) -> AbstractAsyncContextManager[Connection]:
        """Yield a connection that adds what stands beside the tree; where it can, it does not wait for who appends."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


async def open_database(place: Place, *, writable: bool) -> Database:
    """Open a log's database. Raises ``FatalLogError`` if it is another's, of another format, or not durable."""
    if isinstance(place, Path):
        return await sqlite.open_database(place, writable=writable)
    _require_driver()
    from . import postgres

    return await postgres.open_database(place, writable=writable)


def create_database(place: Place) -> AbstractAsyncContextManager[Connection]:
    """Yield a connection to tables that were made just now; what it commits appears at ``place`` whole or not at all.

    Raises ``LogError`` if a log stands there already.
    """
    if isinstance(place, Path):
        return sqlite.create_database(place)
    _require_driver()
    from . import postgres

    return postgres.create_database(place)


async def migrate_database(place: Place) -> tuple[str, str]:
    """Bring a log's tables to the newest revision, alone with its head; return the former revision and the newest."""
    if isinstance(place, Path):
        return await sqlite.migrate_database(place)
    _require_driver()
    from . import postgres

    return await postgres.migrate_database(place)


async def open_copy(path: Path) -> Database:
    """Open a copy of a log for reading. Raises ``FatalLogError`` if the file is none, or of another format."""
    return await sqlite.open_database(path, writable=False, form=COPY)


def create_copy(path: Path) -> AbstractAsyncContextManager[Connection]:
    """Yield a connection to the tables of a copy, which has its name once the block has ended well."""
    return sqlite.create_database(path, COPY)


def _require_driver() -> None:
    if find_spec("asyncpg") is None:
        raise LogError("asyncpg is not installed; install exequatur[postgres] to keep a log in PostgreSQL")
