"""All rows of a log from one database into another, a page in memory at a time, as they are and unjudged."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, bindparam, insert, select, tuple_

from . import schema
from .connection import Connection, Step
from .prepared import Change, Query

_PAGE: Final = 512


class _Rows(NamedTuple):
    """A table's rows in the order of its key: the first page, a later one, where the key stands; how to write them."""

    table: Table
    first: Query
    next: Query
    key: tuple[int, ...]
    into: Change


def _rows(table: Table) -> _Rows:
    key = list(table.primary_key.columns)
    names = [column.name for column in table.columns]
    ordered = select(table).order_by(*key).limit(_PAGE)
    after = tuple_(*(bindparam(column.name, type_=column.type) for column in key))
    return _Rows(
        table,
        Query(ordered),
        Query(ordered.where(tuple_(*key) > after)),
        tuple(names.index(column.name) for column in key),
        Change(insert(table)),
    )


# Entries come before what is said of them, and heads before what was cosigned.
_ALL: Final = tuple(
    _rows(table) for table in (schema.entries, schema.keys, schema.tiles, schema.heads, schema.witnessed, schema.head)
)


async def transfer(source: Connection, target: Connection, told: Callable[[int], None]) -> None:
    """Write all rows of ``source``, whose snapshot it is, into ``target``; ``told`` is called with the entries done."""
    for rows in _ALL:
        page = await rows.first.all(source)
        while page:
            await target.execute([Step(rows.into.text(target.dialect), page, rows.table)])
            if rows.table is schema.entries:
                told(page[-1][0] + 1)
            names = [column.name for column in rows.table.primary_key.columns]
            last: dict[str, Any] = {name: page[-1][place] for name, place in zip(names, rows.key, strict=True)}
            page = await rows.next.all(source, **last)
