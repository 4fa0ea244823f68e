"""One transaction in PostgreSQL, on the driver's own connection; and what counts as a failure of the database."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from exequatur_log.errors import StorageError

from .connection import Row, Step
from .place import Postgres

CONNECT_S: Final = 10
COMMAND_S: Final = 60
# The driver's own limit must not end a COMMIT, see there.
_NEVER: Final = 10**6

FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    SQLAlchemyError,
    OSError,
    TimeoutError,
)


class Session:
    """A transaction. Once anything has failed in it, it is not ``sound``, and its connection is to be given up."""

    dialect: Final = "postgresql"

    def __init__(self, place: Postgres, driver: Any) -> None:
        self.sound = True
        self._place = place
        self._driver = driver

    async def begin(self, statement: str) -> None:
        """Begin; the server answers soon, or the connection leads nowhere any more."""
        with self.failing("no transaction could be begun"):
            await self._driver.execute(statement, timeout=CONNECT_S)

    async def fetch(self, text: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query."""
        with self.failing("it could not be read"):
            return [tuple(row) for row in await self._driver.fetch(text, *values)]

    async def execute(self, steps: Sequence[Step]) -> int:
        """Execute these in their order, whole rows by COPY; return how many rows the last one changed."""
        status = ""
        with self.failing("the batch could not be written"):
            for text, rows, whole in steps:
                if whole is not None and len(rows) > 1:
                    names = [column.name for column in whole.columns]
                    status = await self._driver.copy_records_to_table(whole.name, records=rows, columns=names)
                elif len(rows) == 1:
                    status = await self._driver.execute(text, *rows[0])
                elif rows:
                    await self._driver.executemany(text, rows)
        # "UPDATE 1", "INSERT 0 1"; an executemany says nothing.
        return int(status.rpartition(" ")[2] or 0)

    async def commit(self) -> None:
        """Commit; when this raises ``StorageError``, whether it was committed is unknown.

        A COMMIT that takes too long is not cancelled, which would end the wait for a synchronous replica as if that
        had answered: the connection is dropped, and the transaction keeps its locks until the server knows.
        """
        with self.failing("the batch may not have been committed"):
            committing = asyncio.ensure_future(self._driver.execute("COMMIT", timeout=_NEVER))
            try:
                await asyncio.wait([committing], timeout=COMMAND_S)
                if not committing.done():
                    raise TimeoutError(f"no answer to COMMIT within {COMMAND_S} s")
            except BaseException:
                self._driver.terminate()
                await asyncio.wait([committing])
                committing.exception()
                raise
            if (status := committing.result()) != "COMMIT":
                raise StorageError(f"{self._place}: the batch was not committed, the database answered {status}")

    async def end(self) -> None:
        """Roll back what was not committed; give the connection up if that cannot be."""
        if self.sound and self._driver.is_in_transaction():
            with self.failing("it could not be rolled back"):
                await self._driver.execute("ROLLBACK", timeout=CONNECT_S)

    def drop(self) -> None:
        """Cut the connection off."""
        self._driver.terminate()

    @contextmanager
    def failing(self, what: str) -> Iterator[None]:
        """Turn failures of the database within into ``StorageError``, and give the connection up after any failure."""
        try:
            yield
        except BaseException as error:
            self.sound = False
            if isinstance(error, FAILURES):
                raise StorageError(f"{self._place}: {what}: {told(error)}") from error
            raise


def told(error: BaseException) -> str:
    """Return what an error says, or its name if it says nothing."""
    return str(error) or type(error).__name__
