"""The tables: entries, the keys they introduce, tiles, the current head, and every head there was.

Triggers hold the promise that nothing is ever changed or removed, also against our own mistakes: entries,
keys and heads are only added, in order; a tile keeps what it held and grows; the one row of ``head`` moves to
a larger tree. They do not defend against someone who can write the file: that is what the signatures are for.
"""

from typing import Final

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
)

FORMAT: Final = 1
metadata: Final = MetaData()

# The columns of ``entries`` stand in the order of ``entry.Entry``, those of the heads in that of
# ``head.SignedHead``.
entries: Final = Table(
    "entries",
    metadata,
    Column("leaf_index", Integer, primary_key=True, autoincrement=False),
    Column("record_id", LargeBinary, nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sub", Text, nullable=False),
    Column("iss", Text, nullable=False),
    Column("iat", Integer, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("head_size", Integer, nullable=False),
    Column("series", Text),
    Column("number", Integer),
    Column("statement", LargeBinary, nullable=False),
    CheckConstraint("head_size > leaf_index"),
    sqlite_strict=True,
)
Index("entries_sub", entries.c.sub)
Index("entries_kind", entries.c.kind)
Index("entries_key", entries.c.key_id)
Index("entries_series", entries.c.series, entries.c.number, sqlite_where=entries.c.series.is_not(None))

keys: Final = Table(
    "keys",
    metadata,
    Column("thumbprint", LargeBinary, primary_key=True),
    Column("algorithm", Integer, primary_key=True, autoincrement=False),
    Column("encoded", LargeBinary, nullable=False),
    sqlite_strict=True,
)

tiles: Final = Table(
    "tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    CheckConstraint("length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192"),
    sqlite_strict=True,
)

heads: Final = Table(
    "heads",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("iat", Integer, nullable=False),
    Column("protected", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    sqlite_strict=True,
)

head: Final = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("iat", Integer, nullable=False),
    Column("protected", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    CheckConstraint("id = 1"),
    sqlite_strict=True,
)


def _trigger(table: Table, name: str, when: str, message: str) -> None:
    action = f"BEGIN SELECT RAISE(ABORT, '{table.name}: {message}'); END"
    trigger = DDL(f"CREATE TRIGGER {table.name}_{name} BEFORE {when} {action}")  # type: ignore[no-untyped-call]  # theirs
    event.listen(table, "after_create", trigger)


for _table in (entries, keys, heads):
    _trigger(_table, "keep", f"UPDATE ON {_table.name}", "what is logged stays as it is")
for _table in (entries, keys, tiles, heads, head):
    _trigger(_table, "stay", f"DELETE ON {_table.name}", "nothing is removed from a log")
_trigger(
    entries,
    "next",
    "INSERT ON entries WHEN NEW.leaf_index != coalesce((SELECT max(leaf_index) + 1 FROM entries), 0)",
    "indices are contiguous",
)
_trigger(
    heads,
    "next",
    "INSERT ON heads WHEN NEW.size <= coalesce((SELECT max(size) FROM heads), 0)",
    "a new head is larger than all before it",
)
_trigger(
    tiles,
    "grow",
    "UPDATE ON tiles WHEN NEW.level != OLD.level OR NEW.number != OLD.number"
    " OR length(NEW.hashes) <= length(OLD.hashes) OR substr(NEW.hashes, 1, length(OLD.hashes)) != OLD.hashes",
    "a tile keeps its hashes and grows",
)
_trigger(head, "grow", "UPDATE ON head WHEN NEW.size <= OLD.size OR NEW.iat < OLD.iat", "the head only moves forward")
