"""The disk and the embedded database by themselves: what one durable write costs, for operators who measure.

Both write as the log does, and where it would: a commit of one row with SQLite in WAL mode and ``synchronous=FULL``,
and a write of one page with ``fdatasync``, which is what such a commit waits for.
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

_PAGE: Final = 4096


def syncs(path: Path, count: int) -> list[float]:
    """Return how many seconds each of so many appended pages took to be on the disk, in a new file at ``path``."""
    taken: list[float] = []
    with path.open("xb", buffering=0) as file:
        for _ in range(count):
            begun = time.perf_counter()
            file.write(bytes(_PAGE))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return taken


def commits(path: Path, rows: Sequence[bytes]) -> list[float]:
    """Return how many seconds the commit of each row took, in a new database at ``path``."""
    taken: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE rows (data BLOB NOT NULL) STRICT")
        for row in rows:
            begun = time.perf_counter()
            connection.execute("INSERT INTO rows VALUES (?)", (row,))
            taken.append(time.perf_counter() - begun)
    return taken
