"""The one write: entries, the keys they introduce, tiles, the new head, in the transaction of ``Database.append``."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Final

import aiosqlite
from sqlalchemy import Table, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from exequatur_log.entry import Entry, NamedKey
from exequatur_log.errors import FatalLogError, StorageError
from exequatur_log.head import SignedHead
from exequatur_log.tree import Edge, TileKey

from . import schema
from .database import Connection, driver_of


def _insert(table: Table, ending: str = "") -> str:
    """Return the SQL that inserts whole rows, compiled once: appends would wait for what Python does for each row."""
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark"))) + ending


_ENTRIES: Final = _insert(schema.entries)
_KEYS: Final = _insert(schema.keys, " ON CONFLICT DO NOTHING")
_TILES: Final = _insert(schema.tiles, " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes")
_HEADS: Final = _insert(schema.heads)
_FIRST: Final = _insert(schema.head)
_NEXT: Final = (
    "UPDATE head SET size = ?, root = ?, iat = ?, protected = ?, signature = ?, note = ?, edge = ? "
    "WHERE id = 1 AND size = ? AND root = ?"
)


async def write(
    connection: Connection,
    former: SignedHead | None,
    entries: Sequence[Entry],
    keys: Iterable[NamedKey],
    tiles: Mapping[TileKey, bytes],
    head: SignedHead,
    edge: Edge,
) -> None:
    """Write one batch, whole tiles with what they held before. Nothing is committed.

    Raises ``FatalLogError`` if the head is no longer ``former``: then somebody writes without holding the
    lock.
    """
    packed = b"".join(edge.hashes)
    driver = await driver_of(connection)
    # The driver's thread takes these one after the other; the event loop, which may be busy, is waited for once.
    *_, moved = await _in_order(
        driver.executemany(_ENTRIES, entries),
        driver.executemany(_KEYS, list(keys)),
        driver.executemany(_TILES, [(*key, hashes) for key, hashes in tiles.items()]),
        driver.execute(_HEADS, head),
        driver.execute(_FIRST, (1, *head, packed))
        if former is None
        else driver.execute(_NEXT, (*head, packed, former.size, former.root)),
    )
    if former is not None and moved.rowcount != 1:
        raise FatalLogError("the head moved while this process held the lock; something else writes to the log")


async def _in_order(*statements: Awaitable[aiosqlite.Cursor]) -> list[aiosqlite.Cursor]:
    """Run statements in their order, to the last even if one fails; raise ``StorageError`` for the first that did."""
    done = await asyncio.gather(*statements, return_exceptions=True)
    cursors: list[aiosqlite.Cursor] = []
    for result in done:
        if isinstance(result, sqlite3.Error):
            raise StorageError(f"the batch could not be written: {result}") from result
        if isinstance(result, BaseException):
            raise result
        cursors.append(result)
    return cursors


async def commit(connection: Connection) -> None:
    """Commit what was written. When this raises ``StorageError``, whether it was committed is unknown."""
    try:
        await connection.commit()
        # SQLAlchemy commits only if something was executed through it.
        driver = await driver_of(connection)
        if driver.in_transaction:
            await driver.commit()
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StorageError(f"the batch may not have been committed: {error}") from error
