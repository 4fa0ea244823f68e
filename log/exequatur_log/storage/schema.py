"""The tables, as they are today: entries, the keys they introduce, tiles, the current head, every head there was.

They are made by ``migrations``, which also set the triggers that hold the promise that nothing is ever changed or
removed. What stands here is what queries and the writer name; a test holds the two together.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata: Final = MetaData()

# SQLite's strict tables know one integer, which has 64 bits.
_INTEGER: Final = BigInteger().with_variant(Integer, "sqlite")

# The columns of ``entries`` stand in the order of ``entry.Entry``, those of the heads in that of
# ``head.SignedHead``.
entries: Final = Table(
    "entries",
    metadata,
    Column("leaf_index", _INTEGER, primary_key=True, autoincrement=False),
    Column("record_id", LargeBinary, nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sub", Text, nullable=False),
    Column("iss", Text, nullable=False),
    Column("iat", _INTEGER, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("head_size", _INTEGER, nullable=False),
    Column("series", Text),
    Column("number", _INTEGER),
    Column("statement", LargeBinary, nullable=False),
    CheckConstraint("head_size > leaf_index"),
    sqlite_strict=True,
)
Index("entries_sub", entries.c.sub)
Index("entries_kind", entries.c.kind)
Index("entries_key", entries.c.key_id)
Index("entries_iss", entries.c.iss)
Index("entries_iat", entries.c.iat)
Index(
    "entries_series",
    entries.c.series,
    entries.c.number,
    sqlite_where=entries.c.series.is_not(None),
    postgresql_where=entries.c.series.is_not(None),
)

keys: Final = Table(
    "keys",
    metadata,
    Column("thumbprint", LargeBinary, primary_key=True),
    Column("algorithm", _INTEGER, primary_key=True, autoincrement=False),
    Column("encoded", LargeBinary, nullable=False),
    sqlite_strict=True,
)

tiles: Final = Table(
    "tiles",
    metadata,
    Column("level", _INTEGER, primary_key=True, autoincrement=False),
    Column("number", _INTEGER, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    CheckConstraint("length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192"),
    sqlite_strict=True,
)

heads: Final = Table(
    "heads",
    metadata,
    Column("size", _INTEGER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("iat", _INTEGER, nullable=False),
    Column("protected", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    sqlite_strict=True,
)

head: Final = Table(
    "head",
    metadata,
    Column("id", _INTEGER, primary_key=True, autoincrement=False),
    Column("size", _INTEGER, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("iat", _INTEGER, nullable=False),
    Column("protected", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    CheckConstraint("id = 1"),
    sqlite_strict=True,
)

# The checkpoint of a head with the cosignatures that were gathered on it.
witnessed: Final = Table(
    "witnessed",
    metadata,
    Column("size", _INTEGER, primary_key=True, autoincrement=False),
    Column("time", _INTEGER, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    sqlite_strict=True,
)
