"""The one write: entries, the keys they introduce, tiles, the new head, in the transaction of ``Database.append``."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

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
    try:
        await driver.executemany(_ENTRIES, entries)
        if named := list(keys):
            await driver.executemany(_KEYS, named)
        await driver.executemany(_TILES, [(*key, hashes) for key, hashes in tiles.items()])
        await driver.execute(_HEADS, head)
        if former is None:
            await driver.execute(_FIRST, (1, *head, packed))
            return
        moved = await driver.execute(_NEXT, (*head, packed, former.size, former.root))
    except sqlite3.Error as error:
        raise StorageError(f"the batch could not be written: {error}") from error
    if moved.rowcount != 1:
        raise FatalLogError("the head moved while this process held the lock; something else writes to the log")


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
