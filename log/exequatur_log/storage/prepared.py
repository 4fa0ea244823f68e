"""Queries compiled once: their text and the order of their parameters, executed by one call of the driver.

SQLAlchemy's asynchronous cursor makes four thread switches an execution, and its compiler looks the statement up anew;
a commit or a proof makes several of them. SQLAlchemy still writes the SQL, so the tables stand in ``schema`` alone.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from .database import Connection, driver_of

Row = tuple[Any, ...]
_DIALECT: Final = sqlite.dialect(paramstyle="qmark")
# SQLite binds at most 32,766 parameters in a statement.
_MAX_BOUND: Final = 8192


class Query:
    """A query whose parameters are named by ``bindparam``."""

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._text = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        # What SQLAlchemy binds by itself, such as the offset beside a limit.
        self._bound = dict(compiled.params)

    async def all(self, connection: Connection, **values: object) -> list[Row]:
        """Return every row."""
        driver = await driver_of(connection)
        bound = {**self._bound, **values}
        return [tuple(row) for row in await driver.execute_fetchall(self._text, [bound[name] for name in self._order])]

    async def one(self, connection: Connection, **values: object) -> Row | None:
        """Return the only row, or ``None`` if there is none."""
        rows = await self.all(connection, **values)
        assert len(rows) <= 1
        return rows[0] if rows else None

    async def scalar(self, connection: Connection) -> Any:
        """Return the only value of the only row."""
        ((value,),) = await self.all(connection)
        return value


class ListQuery:
    """A query whose only parameters are a list: ``build`` returns it for a list like the one in ``example``.

    It is compiled for lengths that are powers of two; shorter lists repeat their last item, which changes no ``IN``.
    """

    def __init__(self, build: Callable[[list[Any]], Select[Any]], example: object) -> None:
        self._build = build
        self._example = example
        self._width = len(example) if isinstance(example, tuple) else 1
        self._texts: dict[int, str] = {}

    async def all(self, connection: Connection, items: Iterable[Any]) -> list[Row]:
        """Return the rows for all items; for none, none."""
        driver = await driver_of(connection)
        rows: list[Row] = []
        rest = iter(items)
        while part := list(islice(rest, _MAX_BOUND // self._width)):
            length = 1 << (len(part) - 1).bit_length()
            part += part[-1:] * (length - len(part))
            bound = [value for item in part for value in item] if self._width > 1 else part
            rows.extend(tuple(row) for row in await driver.execute_fetchall(self.text(length), bound))
        return rows

    def text(self, length: int) -> str:
        """Return the SQL for a list of that length."""
        text = self._texts.get(length)
        if text is None:
            statement = self._build([self._example] * length)
            text = str(statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True}))
            self._texts[length] = text
        return text
