"""Export: a copy of a log in one file, of one moment, while others go on appending.

The copy holds everything and is marked as one: nothing opens it as a log, because a log that goes on from an older
state forks. ``importing`` makes a log of it again.
"""

import asyncio
from pathlib import Path

from .fsck import Progress
from .head import SignedHead
from .startup import check_head, check_identity
from .storage.database import create_copy, open_database
from .storage.place import Place
from .storage.transfer import transfer


async def export_log(place: Place, path: Path, progress: Progress | None = None) -> SignedHead:
    """Write a copy of the log to a file that is not there yet, and return the head that the copy ends with.

    The head is checked as at every opening, all else when the copy is imported. Raises ``FatalLogError`` for a log that
    would not open, ``LogError`` if the file is there.
    """
    database = await open_database(place, writable=False)
    try:
        async with database.read() as source, create_copy(path) as target:
            identity = await check_identity(source, None)
            head = await check_head(source, identity)

            def told(done: int) -> None:
                if progress is not None:
                    progress(done, head.size)

            await transfer(source, target, told)
            await check_head(target, identity)
    finally:
        await database.close()
    return head


def export_blocking(place: Place, path: Path, progress: Progress | None = None) -> SignedHead:
    """As ``export_log``, for callers without an event loop."""
    return asyncio.run(export_log(place, path, progress))
