"""The revisions of the tables: which one a database has is its format, and this build works with the newest alone."""

from typing import Final

from exequatur_log.errors import FatalLogError

from .place import Place

# The tables of the first format bear no mark of it in SQLite.
FIRST: Final = "0001"
NEWEST: Final = "0002"
_KNOWN: Final = (FIRST, NEWEST)


def check(place: Place, revision: str) -> None:
    """Raise ``FatalLogError`` unless the tables are of the newest revision."""
    check_known(place, revision)
    if revision != NEWEST:
        raise FatalLogError(
            f"{place} is a log of format {revision}, and this build works with {NEWEST}: stop what appends to it, "
            "copy it, and run `exequatur log migrate`"
        )


def check_known(place: Place, revision: str) -> None:
    """Raise ``FatalLogError`` if the tables are of a revision that this build has never heard of."""
    if revision not in _KNOWN:
        raise FatalLogError(
            f"{place} is of format {revision}, which this build does not know; use the one that made it"
        )
