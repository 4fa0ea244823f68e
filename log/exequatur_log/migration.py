"""Migration of a log's tables from an older format to the one of this build; never by itself, always by command."""

import asyncio

from .log import Log
from .storage.database import migrate_database
from .storage.place import Place


async def migrate(place: Place) -> tuple[str, str]:
    """Bring the tables of a log to the newest revision, alone with its head; return the former revision and the newest.

    Afterwards the head is checked as at every opening. Raises ``FatalLogError`` for what is no log of a known format,
    or is unsound.
    """
    revisions = await migrate_database(place)
    await (await Log.open(place)).close()
    return revisions


def migrate_blocking(place: Place) -> tuple[str, str]:
    """As ``migrate``, for callers without an event loop."""
    return asyncio.run(migrate(place))
