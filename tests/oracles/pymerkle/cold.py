"""pymerkle on SQLite beside our log: the same entries, and one proof from a tree that was just opened.

    python cold.py build LOG TREE               append every entry of our log to a new tree
    python cold.py prove TREE KIND FIRST SECOND a proof, as tests/bench/fresh.py makes ours

Runs in the environment of this oracle, as a program of its own. It prints one JSON object.
"""

import json
import sqlite3
import sys
import time

from pymerkle import SqliteTree


def build(log: str, path: str) -> dict[str, object]:
    entries = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    rows = entries.execute("SELECT statement FROM entries ORDER BY leaf_index")
    begun = time.perf_counter()
    with SqliteTree(path) as tree:
        tree.cur.execute("PRAGMA journal_mode = WAL")
        size = tree.append_entries(row[0] for row in rows)
    return {"size": size, "seconds": time.perf_counter() - begun}


def prove(path: str, kind: str, first: str, second: str) -> dict[str, object]:
    opening = time.perf_counter()
    with SqliteTree(path) as tree:
        opened = time.perf_counter()
        if kind == "inclusion":
            # Its leaves are counted from 1, and the leaf itself comes before the path.
            found = tree.prove_inclusion(int(first) + 1, int(second)).path[1:]
        else:
            found = tree.prove_consistency(int(first), int(second)).path
        proven = time.perf_counter()
    return {"open": opened - opening, "prove": proven - opened, "path": [item.hex() for item in found]}


if __name__ == "__main__":
    print(json.dumps({"build": build, "prove": prove}[sys.argv[1]](*sys.argv[2:])))
