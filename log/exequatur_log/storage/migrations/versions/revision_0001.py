"""0001: entries, the keys they introduce, tiles, every head, and the current one."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, Text, text

from exequatur_log.storage.migrations import triggers

revision = "0001"
down_revision = None

_INTEGER = BigInteger().with_variant(Integer, "sqlite")


def _number(name: str, *, key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, _INTEGER, primary_key=key, autoincrement=False, nullable=nullable)


def _bytes(name: str, *, key: bool = False, unique: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, unique=unique, nullable=False)


def _signed() -> tuple[Column[bytes], Column[int], Column[bytes], Column[bytes], Column[bytes]]:
    return _bytes("root"), _number("iat"), _bytes("protected"), _bytes("signature"), _bytes("note")


def upgrade(op: Operations) -> None:
    """Make the tables and their triggers."""
    op.create_table(
        "entries",
        _number("leaf_index", key=True),
        _bytes("record_id", unique=True),
        _bytes("leaf_hash"),
        Column("kind", Text, nullable=False),
        Column("sub", Text, nullable=False),
        Column("iss", Text, nullable=False),
        _number("iat"),
        _bytes("key_id"),
        _number("head_size"),
        Column("series", Text),
        _number("number", nullable=True),
        _bytes("statement"),
        CheckConstraint("head_size > leaf_index"),
        sqlite_strict=True,
    )
    op.create_index("entries_sub", "entries", ["sub"])
    op.create_index("entries_kind", "entries", ["kind"])
    op.create_index("entries_key", "entries", ["key_id"])
    numbered = text("series IS NOT NULL")
    op.create_index("entries_series", "entries", ["series", "number"], sqlite_where=numbered, postgresql_where=numbered)
    op.create_table(
        "keys",
        _bytes("thumbprint", key=True),
        _number("algorithm", key=True),
        _bytes("encoded"),
        sqlite_strict=True,
    )
    op.create_table(
        "tiles",
        _number("level", key=True),
        _number("number", key=True),
        _bytes("hashes"),
        CheckConstraint("length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192"),
        sqlite_strict=True,
    )
    op.create_table("heads", _number("size", key=True), *_signed(), sqlite_strict=True)
    op.create_table(
        "head",
        _number("id", key=True),
        _number("size"),
        *_signed(),
        _bytes("edge"),
        CheckConstraint("id = 1"),
        sqlite_strict=True,
    )
    for table in ("entries", "keys", "heads"):
        triggers.keep(op, table)
    for table in ("entries", "keys", "tiles", "heads", "head"):
        triggers.stay(op, table)
    triggers.contiguous(op)
    triggers.refuse(
        op,
        "heads",
        "next",
        "INSERT",
        "a new head is larger than all before it",
        when="NEW.size <= coalesce((SELECT max(size) FROM heads), 0)",
    )
    triggers.refuse(
        op,
        "tiles",
        "grow",
        "UPDATE",
        "a tile keeps its hashes and grows",
        when="NEW.level != OLD.level OR NEW.number != OLD.number"
        " OR length(NEW.hashes) <= length(OLD.hashes) OR substr(NEW.hashes, 1, length(OLD.hashes)) != OLD.hashes",
    )
    triggers.refuse(
        op,
        "head",
        "grow",
        "UPDATE",
        "the head only moves forward",
        when="NEW.size <= OLD.size OR NEW.iat < OLD.iat",
    )
