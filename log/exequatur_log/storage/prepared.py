"""Statements compiled once for each database: their text and the order of their values, executed by the driver itself.

SQLAlchemy's asynchronous cursor makes four thread switches an execution, and its compiler looks the statement up anew;
a commit or a proof makes several of them. SQLAlchemy still writes the SQL, so the tables stand in ``schema`` alone.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import Insert, Select, Update
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.sql.compiler import SQLCompiler

from .connection import Connection, Dialect, Row

# SQLite binds at most 32,766 values in a statement, and PostgreSQL 32,767.
_MAX_BOUND: Final = 8192


class _Compiled(NamedTuple):
    """The text for one database, its values by name in their order, and what SQLAlchemy binds by itself."""

    text: str
    order: tuple[str, ...]
    bound: dict[str, Any]


class Query:
    """A query whose values are named by ``bindparam``."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._compiled: dict[Dialect, _Compiled] = {}

    async def all(self, connection: Connection, **values: object) -> list[Row]:
        """Return every row."""
        text, order, bound = self.compiled(connection.dialect)
        named = {**bound, **values}
        return await connection.fetch(text, [named[name] for name in order])

    async def one(self, connection: Connection, **values: object) -> Row | None:
        """Return the only row, or ``None`` if there is none."""
        rows = await self.all(connection, **values)
        assert len(rows) <= 1
        return rows[0] if rows else None

    async def scalar(self, connection: Connection) -> Any:
        """Return the only value of the only row."""
        ((value,),) = await self.all(connection)
        return value

    def compiled(self, dialect: Dialect) -> _Compiled:
        """Return what is executed in a database."""
        found = self._compiled.get(dialect)
        if found is None:
            found = self._compiled[dialect] = _compile(self._statement, dialect)
        return found


class ListQuery:
    """A query whose only values are a list: ``build`` returns it for a list like the one in ``example``.

    It is compiled for lengths that are powers of two; shorter lists repeat their last item, which changes no ``IN``.
    """

    def __init__(self, build: Callable[[list[Any]], Select[Any]], example: object) -> None:
        self._build = build
        self._example = example
        self._width = len(example) if isinstance(example, tuple) else 1
        self._texts: dict[tuple[Dialect, int], str] = {}

    async def all(self, connection: Connection, items: Iterable[Any]) -> list[Row]:
        """Return the rows for all items; for none, none."""
        rows: list[Row] = []
        rest = iter(items)
        while part := list(islice(rest, _MAX_BOUND // self._width)):
            length = 1 << (len(part) - 1).bit_length()
            part += part[-1:] * (length - len(part))
            bound = [value for item in part for value in item] if self._width > 1 else part
            rows.extend(await connection.fetch(self.text(connection.dialect, length), bound))
        return rows

    def text(self, dialect: Dialect, length: int) -> str:
        """Return the SQL for a list of that length."""
        text = self._texts.get((dialect, length))
        if text is None:
            text = self._texts[dialect, length] = _compile(self._build([self._example] * length), dialect).text
        return text


class Change:
    """A statement that changes rows, with what SQLAlchemy has no common words for at its end."""

    def __init__(self, statement: Insert | Update, ending: str = "") -> None:
        self._statement = statement
        self._ending = ending
        self._texts: dict[Dialect, str] = {}

    def text(self, dialect: Dialect) -> str:
        """Return the SQL."""
        text = self._texts.get(dialect)
        if text is None:
            text = self._texts[dialect] = _compile(self._statement, dialect).text + self._ending
        return text


@cache
def _compiler(dialect: Dialect) -> Compiler:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.dialect(paramstyle="qmark")
    # The SQL of asyncpg, which is not imported by it.
    from sqlalchemy.dialects.postgresql import asyncpg

    return asyncpg.dialect()  # type: ignore[no-untyped-call]  # theirs


def _compile(statement: Select[Any] | Insert | Update, dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=_compiler(dialect), compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)
    return _Compiled(str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params))
