"""A log of a million entries in half a minute: made at the storage layer, by the functions that registration uses.

Tree, tiles, edge and heads are made by ``tree`` and ``head`` and written by ``storage.writer``, one transaction
for many entries, and every head is signed. Only the entries are no statements, but a few bytes each: nothing
that appends or proves later reads them. Genesis and enrolments are real, and so is all that is registered
afterwards.
"""

import asyncio
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Final

from exequatur_log import head as heads
from exequatur_log import tree
from exequatur_log.entry import Entry
from exequatur_log.head import LogKeys
from exequatur_log.storage import queries
from exequatur_log.storage.connection import Connection
from exequatur_log.storage.database import open_database
from exequatur_log.storage.writer import commit, write
from exequatur_verifier import merkle
from tests.log import scene
from tests.support.world import NOW

_BATCH: Final = 50_000
_KEY_ID: Final = bytes(32)


def grow(folder: Path, sizes: list[int]) -> dict[int, Path]:
    """Return the path of a log of each size; all but the largest are copies of it on its way."""
    path = folder / "growing.db"
    scene.create(path).close()
    made: dict[int, Path] = {}
    for size in sorted(sizes):
        asyncio.run(_grow(path, size))
        made[size] = path if size == max(sizes) else Path(shutil.copy(path, folder / f"{size}.db"))
    return made


async def _grow(path: Path, size: int) -> None:
    database = await open_database(path, writable=True)
    try:
        done = 0
        while done < size:
            async with database.append() as connection:
                done = await _append(connection, size)
    finally:
        # The last connection to close moves everything into the one file, which can then be copied.
        await database.close()


async def _append(connection: Connection, size: int) -> int:
    found = await queries.head(connection)
    assert found is not None
    start, end = found[0].size, min(size, found[0].size + _BATCH)
    statements = [f"entry {index} of a wide log".encode() for index in range(start, end)]
    entries = [
        Entry(
            index,
            sha256(item).digest(),
            merkle.leaf_hash(item),
            "request",
            "urn:wide",
            "urn:wide",
            NOW,
            _KEY_ID,
            end,
            None,
            None,
            item,
        )
        for index, item in enumerate(statements, start)
    ]
    await put(connection, entries, scene.KEYS)
    return end


async def put(connection: Connection, entries: list[Entry], keys: LogKeys) -> None:
    """Commit entries, which follow those of the log, under a head of their own."""
    found = await queries.head(connection)
    assert found is not None
    former, edge = found
    growth = tree.append(edge, [entry.leaf_hash for entry in entries])
    head = heads.sign(growth.edge.size, growth.root, NOW, keys)
    partial = await queries.tiles(connection, tree.partial_tiles(growth.gains, former.size).keys())
    tiles = {key: partial.get(key, b"") + gain for key, gain in growth.gains.items()}
    await write(connection, former, entries, [], tiles, head, growth.edge)
    await commit(connection)
