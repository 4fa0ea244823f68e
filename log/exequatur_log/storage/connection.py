"""What queries and the writer run on: one transaction, in whichever database.

Its failures are ``StorageError`` by the end of the transaction at the latest, and some already within it: whoever
catches there what speaks against the log must let pass that the database was away.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import Table

Dialect = Literal["sqlite", "postgresql"]
Row = tuple[Any, ...]


class Step(NamedTuple):
    """A statement that changes something, and the values of each time that it is executed.

    ``whole``: the values are whole rows of that table, which a driver may have a faster way in for.
    """

    text: str
    rows: Sequence[Sequence[object]]
    whole: Table | None = None


class Connection(Protocol):
    """One transaction. What it does not commit is rolled back."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    async def fetch(self, text: str, values: Sequence[object]) -> list[Row]:
        """Return the rows of a query."""
        ...

    async def execute(self, steps: Sequence[Step]) -> int:
        """Execute these in their order; return how many rows the last one changed, which has one row of values."""
        ...

    async def commit(self) -> None:
        """Commit. When this raises ``StorageError``, whether it was committed is unknown."""
        ...
