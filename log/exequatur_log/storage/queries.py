"""The queries: entries by place, id, series and column; tiles; heads. Each takes a connection, on its snapshot."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select, tuple_

from exequatur_log.entry import Entry, NamedKey
from exequatur_log.head import SignedHead
from exequatur_log.intake import KeyName
from exequatur_log.tree import Edge, TileKey

from . import schema
from .database import Connection

_ENTRIES: Final = select(schema.entries)
_HEADS: Final = select(schema.heads)
_entry: Final = schema.entries.c
_head: Final = schema.head.c
# SQLite binds at most 32,766 parameters in a statement.
_MAX_BOUND: Final = 8192


async def head(connection: Connection) -> tuple[SignedHead, Edge] | None:
    """Return the current head with the right edge of its tree; ``None`` before the genesis."""
    row = (await connection.execute(select(schema.head))).one_or_none()
    if row is None:
        return None
    edge = bytes(row.edge)
    hashes = tuple(edge[start : start + 32] for start in range(0, len(edge), 32))
    return SignedHead(*row[1:7]), Edge(row.size, hashes)


async def head_at(connection: Connection, size: int) -> SignedHead | None:
    """Return the head that was signed at exactly that size."""
    row = (await connection.execute(_HEADS.where(schema.heads.c.size == size))).one_or_none()
    return None if row is None else SignedHead(*row)


async def heads(connection: Connection, after: int, limit: int) -> list[SignedHead]:
    """Return the signed heads larger than ``after``, the smallest first."""
    rows = await connection.execute(
        _HEADS.where(schema.heads.c.size > after).order_by(schema.heads.c.size).limit(limit)
    )
    return [SignedHead(*row) for row in rows]


async def entry(connection: Connection, index: int) -> Entry | None:
    """Return the entry at ``index``."""
    return _one(await connection.execute(_ENTRIES.where(_entry.leaf_index == index)))


async def entry_by_id(connection: Connection, record_id: bytes) -> Entry | None:
    """Return the entry of that record."""
    return _one(await connection.execute(_ENTRIES.where(_entry.record_id == record_id)))


async def entries(connection: Connection, start: int, end: int) -> list[Entry]:
    """Return the entries from ``start`` up to ``end``, in order."""
    rows = await connection.execute(
        _ENTRIES.where(_entry.leaf_index >= start, _entry.leaf_index < end).order_by(_entry.leaf_index)
    )
    return [Entry(*row) for row in rows]


async def entries_by_id(connection: Connection, ids: Collection[bytes]) -> list[Entry]:
    """Return those entries that stand under one of these record ids."""
    return [
        Entry(*row)
        for part in _parts(ids)
        for row in await connection.execute(_ENTRIES.where(_entry.record_id.in_(part)))
    ]


async def known(connection: Connection, ids: Collection[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """Return index and leaf hash of those records that stand already, by record id."""
    columns = select(_entry.record_id, _entry.leaf_index, _entry.leaf_hash)
    return {
        record_id: (index, leaf_hash)
        for part in _parts(ids)
        for record_id, index, leaf_hash in await connection.execute(columns.where(_entry.record_id.in_(part)))
    }


async def newest(connection: Connection, series: Collection[str]) -> list[Entry]:
    """Return the entry with the largest number of each of these series, as far as they have one."""
    found: list[Entry] = []
    for part in _parts(series):
        last = (
            select(_entry.series, func.max(_entry.number).label("number"))
            .where(_entry.series.in_(part))
            .group_by(_entry.series)
            .subquery()
        )
        joined = _ENTRIES.join(last, and_(_entry.series == last.c.series, _entry.number == last.c.number))
        found.extend(Entry(*row) for row in await connection.execute(joined))
    return found


async def series(connection: Connection, name: str) -> list[Entry]:
    """Return all entries of a series, by number."""
    rows = await connection.execute(_ENTRIES.where(_entry.series == name).order_by(_entry.number))
    return [Entry(*row) for row in rows]


async def last_number(connection: Connection, series: str) -> int | None:
    """Return the largest number in a series."""
    number: int | None = await connection.scalar(select(func.max(_entry.number)).where(_entry.series == series))
    return number


async def find(
    connection: Connection,
    columns: dict[str, str | bytes],
    start: int,
    end: int | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[Entry]:
    """Return at most ``limit`` entries whose columns have these values, in the order of their indices."""
    query = _ENTRIES.where(*(_entry[name] == value for name, value in columns.items()), _entry.leaf_index >= start)
    if end is not None:
        query = query.where(_entry.leaf_index < end)
    order: ColumnElement[Any] = _entry.leaf_index.desc() if newest_first else _entry.leaf_index.asc()
    return [Entry(*row) for row in await connection.execute(query.order_by(order).limit(limit))]


async def tiles(connection: Connection, wanted: Collection[TileKey]) -> dict[TileKey, bytes]:
    """Return the hashes of those tiles that exist."""
    if not wanted:
        return {}
    place = tuple_(schema.tiles.c.level, schema.tiles.c.number)
    rows = await connection.execute(select(schema.tiles).where(place.in_(list(wanted))))
    return {(level, number): hashes for level, number, hashes in rows}


async def keys(connection: Connection, wanted: Collection[KeyName]) -> list[NamedKey]:
    """Return those of the named keys that an entry introduced."""
    place = tuple_(schema.keys.c.thumbprint, schema.keys.c.algorithm)
    return [
        NamedKey(*row)
        for part in _parts(wanted, _MAX_BOUND // 2)
        for row in await connection.execute(select(schema.keys).where(place.in_(part)))
    ]


async def width(connection: Connection) -> int:
    """Return the number of entries by the largest index."""
    largest: int | None = await connection.scalar(select(func.max(_entry.leaf_index)))
    return 0 if largest is None else largest + 1


async def all_keys(connection: Connection) -> list[NamedKey]:
    """Return every key that an entry introduced."""
    return [NamedKey(*row) for row in await connection.execute(select(schema.keys))]


async def count_tiles(connection: Connection) -> int:
    """Return the number of tiles, partial ones included."""
    return await connection.scalar(select(func.count()).select_from(schema.tiles)) or 0


async def damage(connection: Connection) -> list[str]:
    """Return what SQLite itself finds wrong with the file."""
    found = [str(row[0]) for row in await connection.exec_driver_sql("PRAGMA integrity_check(8)")]
    return [] if found == ["ok"] else found


def _one(rows: Any) -> Entry | None:
    row = rows.one_or_none()
    return None if row is None else Entry(*row)


def _parts(items: Iterable[Any], most: int = _MAX_BOUND) -> Iterable[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, most)):
        yield part
