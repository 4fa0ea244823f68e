"""The queries: entries by place, id, series and column; tiles; heads. Each takes a connection, on its snapshot."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    tuple_,
    values,
)

from exequatur_log.entry import Entry, NamedKey
from exequatur_log.head import SignedHead, WitnessedHead
from exequatur_log.intake import KeyName
from exequatur_log.tree import Edge, TileKey

from . import schema
from .connection import Connection
from .prepared import ListQuery, Query

# What a column holds. Who asks for more, or for text that no column holds, is told that there is none.
_LARGEST: Final = 2**63 - 1

_entry: Final = schema.entries.c
_heads: Final = schema.heads.c
_witnessed: Final = schema.witnessed.c
_ENTRIES: Final = select(schema.entries)


def _issued(subjects: list[str]) -> Select[Any]:
    # An expression is in no index: SQLite, which knows of no subject how many records it has, would else walk all
    # authorizations of the log.
    kind = _entry.kind.op("||")(literal_column("''"))
    return _ENTRIES.where(_entry.sub.in_(subjects), kind == literal_column("'authorization'"))


def _at(table: Table, names: tuple[str, str], places: list[tuple[Any, Any]]) -> Select[Any]:
    """Return the rows of the places, each looked up; for an ``IN`` of pairs SQLite would walk the whole table."""
    wanted = values(*(column(name, table.c[name].type) for name in names), name="wanted").data(places).cte("wanted")
    return select(table).select_from(wanted).join(table, and_(*(table.c[name] == wanted.c[name] for name in names)))


def _outermost(series: list[str], extreme: Callable[[ColumnElement[int]], ColumnElement[int]]) -> Select[Any]:
    """Return the rows of the largest or smallest numbers, each looked up; a maximum by groups walks whole series."""
    given = values(column("series", _entry.series.type), name="given").data([(name,) for name in series]).cte("given")
    wanted = select(given.c.series).distinct().cte("wanted")
    of = schema.entries.alias("of_series").c
    number = select(extreme(of.number)).where(of.series == wanted.c.series).correlate(wanted).scalar_subquery()
    return (
        select(schema.entries)
        .select_from(wanted)
        .join(schema.entries, and_(_entry.series == wanted.c.series, _entry.number == number))
    )


_HEAD: Final = Query(select(schema.head))
_HEAD_AT: Final = Query(select(schema.heads).where(_heads.size == bindparam("size")))
_HEADS_AFTER: Final = Query(
    select(schema.heads).where(_heads.size > bindparam("after")).order_by(_heads.size).limit(bindparam("limit"))
)
_ENTRY: Final = Query(_ENTRIES.where(_entry.leaf_index == bindparam("index")))
_PAGE: Final = Query(
    _ENTRIES.where(_entry.leaf_index >= bindparam("start"), _entry.leaf_index < bindparam("end")).order_by(
        _entry.leaf_index
    )
)
_BY_ID: Final = ListQuery(lambda ids: _ENTRIES.where(_entry.record_id.in_(ids)), b"")
_KNOWN: Final = ListQuery(
    lambda ids: select(_entry.record_id, _entry.leaf_index, _entry.leaf_hash).where(_entry.record_id.in_(ids)), b""
)
_FROZEN: Final = ListQuery(
    lambda indices: (
        select(_entry.leaf_index, _entry.head_size).where(_entry.leaf_index.in_(indices)).order_by(_entry.leaf_index)
    ),
    0,
)
_NEWEST: Final = ListQuery(lambda series: _outermost(series, func.max), "")
_OLDEST: Final = ListQuery(lambda series: _outermost(series, func.min), "")
_ISSUED: Final = ListQuery(_issued, "")
_SERIES: Final = Query(_ENTRIES.where(_entry.series == bindparam("series")).order_by(_entry.number))
_LAST: Final = Query(select(func.max(_entry.number)).where(_entry.series == bindparam("series")))
_WIDTH: Final = Query(select(func.max(_entry.leaf_index)))
_TILES: Final = ListQuery(lambda places: _at(schema.tiles, ("level", "number"), places), (0, 0))
_COUNT_TILES: Final = Query(select(func.count()).select_from(schema.tiles))
_KEYS: Final = ListQuery(lambda names: _at(schema.keys, ("thumbprint", "algorithm"), names), (b"", 0))
_ALL_KEYS: Final = Query(select(schema.keys))
_WITNESSED: Final = Query(
    select(schema.witnessed).where(_witnessed.size == bindparam("size")).order_by(_witnessed.time.desc()).limit(1)
)
_WITNESSED_AFTER: Final = Query(
    select(schema.witnessed)
    .where(tuple_(_witnessed.size, _witnessed.time) > tuple_(bindparam("size"), bindparam("time")))
    .order_by(_witnessed.size, _witnessed.time)
    .limit(bindparam("limit"))
)
_NEWEST_WITNESSED: Final = Query(
    select(schema.witnessed).order_by(_witnessed.size.desc(), _witnessed.time.desc()).limit(1)
)


async def head(connection: Connection) -> tuple[SignedHead, Edge] | None:
    """Return the current head with the right edge of its tree; ``None`` before the genesis."""
    row = await _HEAD.one(connection)
    if row is None:
        return None
    *signed, edge = row[1:]
    hashes = tuple(edge[start : start + 32] for start in range(0, len(edge), 32))
    return SignedHead(*signed), Edge(signed[0], hashes)


async def head_at(connection: Connection, size: int) -> SignedHead | None:
    """Return the head that was signed at exactly that size."""
    row = await _HEAD_AT.one(connection, size=size)
    return None if row is None else SignedHead(*row)


async def heads(connection: Connection, after: int, limit: int) -> list[SignedHead]:
    """Return the signed heads larger than ``after``, the smallest first."""
    return [SignedHead(*row) for row in await _HEADS_AFTER.all(connection, after=after, limit=limit)]


async def entry(connection: Connection, index: int) -> Entry | None:
    """Return the entry at ``index``."""
    row = await _ENTRY.one(connection, index=index) if 0 <= index <= _LARGEST else None
    return None if row is None else Entry(*row)


async def entry_by_id(connection: Connection, record_id: bytes) -> Entry | None:
    """Return the entry of that record."""
    found = await entries_by_id(connection, [record_id])
    return found[0] if found else None


async def entries(connection: Connection, start: int, end: int) -> list[Entry]:
    """Return the entries from ``start`` up to ``end``, in order."""
    return [Entry(*row) for row in await _PAGE.all(connection, start=min(start, _LARGEST), end=min(end, _LARGEST))]


async def entries_by_id(connection: Connection, ids: Collection[bytes]) -> list[Entry]:
    """Return those entries that stand under one of these record ids."""
    return [Entry(*row) for row in await _BY_ID.all(connection, ids)]


async def known(connection: Connection, ids: Collection[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """Return index and leaf hash of those records that stand already, by record id."""
    return {record_id: (index, leaf_hash) for record_id, index, leaf_hash in await _KNOWN.all(connection, ids)}


async def frozen_at(connection: Connection, indices: Collection[int]) -> list[tuple[int, int]]:
    """Return the index of each of these entries that exist, and the size of the head that it was answered under."""
    held = [index for index in indices if 0 <= index <= _LARGEST]
    return [(index, size) for index, size in await _FROZEN.all(connection, held)]


async def newest(connection: Connection, series: Collection[str]) -> list[Entry]:
    """Return the entry with the largest number of each of these series, as far as they have one."""
    return [Entry(*row) for row in await _NEWEST.all(connection, series)]


async def oldest(connection: Connection, series: Collection[str]) -> list[Entry]:
    """Return the entry with the smallest number of each of these series, as far as they have one."""
    return [Entry(*row) for row in await _OLDEST.all(connection, series)]


async def issued(connection: Connection, subjects: Collection[str]) -> list[Entry]:
    """Return the authorizations of these subjects, for which the index is walked over all their records."""
    return [Entry(*row) for row in await _ISSUED.all(connection, subjects)]


async def series(connection: Connection, name: str) -> list[Entry]:
    """Return all entries of a series, by number."""
    return [Entry(*row) for row in await _SERIES.all(connection, series=name)]


async def last_number(connection: Connection, series: str) -> int | None:
    """Return the largest number in a series."""
    row = await _LAST.one(connection, series=series)
    return None if row is None else row[0]


async def find(
    connection: Connection,
    columns: Mapping[str, str | bytes],
    times: tuple[int | None, int | None],
    indices: tuple[int, int | None],
    limit: int,
    *,
    newest_first: bool,
) -> list[Entry]:
    """Return at most ``limit`` entries whose columns have these values, in the order of their indices.

    ``times`` (``iat``) and ``indices`` are each from the first up to the second.
    """
    if any(isinstance(value, str) and "\0" in value for value in columns.values()):
        return []
    query = _ENTRIES.where(*(_entry[name] == value for name, value in columns.items()))
    for wanted, (least, end) in ((_entry.iat, times), (_entry.leaf_index, indices)):
        if least is not None:
            query = query.where(wanted >= min(least, _LARGEST))
        if end is not None:
            query = query.where(wanted < min(end, _LARGEST))
    order: ColumnElement[Any] = _entry.leaf_index.desc() if newest_first else _entry.leaf_index.asc()
    return [Entry(*row) for row in await Query(query.order_by(order).limit(limit)).all(connection)]


async def tiles(connection: Connection, wanted: Collection[TileKey]) -> dict[TileKey, bytes]:
    """Return the hashes of those tiles that exist."""
    held = [place for place in wanted if max(place) <= _LARGEST]
    return {(level, number): hashes for level, number, hashes in await _TILES.all(connection, held)}


async def keys(connection: Connection, wanted: Collection[KeyName]) -> list[NamedKey]:
    """Return those of the named keys that an entry introduced."""
    return [NamedKey(*row) for row in await _KEYS.all(connection, wanted)]


async def width(connection: Connection) -> int:
    """Return the number of entries by the largest index."""
    largest = await _WIDTH.scalar(connection)
    return 0 if largest is None else largest + 1


async def all_keys(connection: Connection) -> list[NamedKey]:
    """Return every key that an entry introduced."""
    return [NamedKey(*row) for row in await _ALL_KEYS.all(connection)]


async def count_tiles(connection: Connection) -> int:
    """Return the number of tiles, partial ones included."""
    count: int = await _COUNT_TILES.scalar(connection)
    return count


async def witnessed(connection: Connection, size: int | None) -> WitnessedHead | None:
    """Return the checkpoint of that size, or the largest, that a quorum cosigned, as it was cosigned last."""
    row = await (_NEWEST_WITNESSED.one(connection) if size is None else _WITNESSED.one(connection, size=size))
    return None if row is None else WitnessedHead(*row)


async def witnessed_after(connection: Connection, size: int, time: int, limit: int) -> list[WitnessedHead]:
    """Return the cosigned checkpoints after that size and time, in their order."""
    rows = await _WITNESSED_AFTER.all(connection, size=size, time=time, limit=limit)
    return [WitnessedHead(*row) for row in rows]


async def damage(connection: Connection) -> list[str]:
    """Return what SQLite itself finds wrong with its file; a server looks after its own."""
    if connection.dialect != "sqlite":
        return []
    found = [str(row[0]) for row in await connection.fetch("PRAGMA integrity_check(8)", ())]
    return [] if found == ["ok"] else found
