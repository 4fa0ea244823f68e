"""Every query that a proof or a batch makes is answered by an index: none walks a table (specs/03 §4)."""

import sqlite3
from pathlib import Path

import pytest

from exequatur_log.storage import queries
from exequatur_log.storage.prepared import ListQuery, Query
from tests.log import scene

# Of these, one asks for everything by its name, and the others for a number, the only row, or the last one.
WHOLE = {"_ALL_KEYS", "_COUNT_TILES", "_HEAD", "_NEWEST_WITNESSED"}
NAMED = {name: value for name, value in vars(queries).items() if isinstance(value, Query | ListQuery)}


@pytest.mark.parametrize("name", sorted(NAMED.keys() - WHOLE))
def test_a_query_searches_and_never_scans(path: Path, name: str) -> None:
    """A log of many entries has many tiles, and a proof reads a handful."""
    query = NAMED[name]
    scene.create(path).close()
    connection = sqlite3.connect(path)
    for length in (1, 2, 64):
        text = query.compiled("sqlite").text if isinstance(query, Query) else query.text("sqlite", length)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?")).fetchall()
        steps = [step for *_, step in plan]
        tables = ("entries", "keys", "tiles", "heads", "head")
        assert not [step for step in steps if step in {f"SCAN {table}" for table in tables}], steps
        assert [step for step in steps if step.startswith("SEARCH")], steps
    connection.close()


def test_what_scans_is_noticed(path: Path) -> None:
    scene.create(path).close()
    connection = sqlite3.connect(path)
    text = "SELECT * FROM tiles WHERE (level, number) IN (VALUES (?, ?), (?, ?))"
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", (0, 0, 0, 1)).fetchall()
    assert "SCAN tiles" in [step for *_, step in plan]
    connection.close()
