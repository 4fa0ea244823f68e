"""pymerkle on SQLite, appending: the entries of our log, a transaction for each batch, after so many are there.

    python append.py LOG TREE FIRST BATCH      the first FIRST entries at once, then the others, BATCH at a time

Each append is durable (WAL, synchronous FULL), as ours are. Nothing is verified, signed or proven. Runs in the
environment of this oracle, as a program of its own. It prints one JSON object: seconds for each batch.
"""

import json
import sqlite3
import sys
import time

from pymerkle import SqliteTree


def append(log: str, path: str, first: str, batch: str) -> dict[str, object]:
    entries = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    rows = [row[0] for row in entries.execute("SELECT statement FROM entries ORDER BY leaf_index")]
    seconds: list[float] = []
    with SqliteTree(path) as tree:
        tree.cur.execute("PRAGMA journal_mode = WAL")
        tree.cur.execute("PRAGMA synchronous = FULL")
        tree.append_entries(rows[: int(first)])
        for start in range(int(first), len(rows), int(batch)):
            begun = time.perf_counter()
            tree.append_entries(rows[start : start + int(batch)])
            seconds.append(time.perf_counter() - begun)
    return {"size": len(rows), "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(append(*sys.argv[1:])))
