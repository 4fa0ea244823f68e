"""0002: entries are found by issuer and time; the checkpoints that a quorum cosigned, by size and time."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

from exequatur_log.storage.migrations import triggers

revision = "0002"
down_revision = "0001"

_INTEGER = BigInteger().with_variant(Integer, "sqlite")


def upgrade(op: Operations) -> None:
    """Add two indexes and a table."""
    op.create_index("entries_iss", "entries", ["iss"])
    op.create_index("entries_iat", "entries", ["iat"])
    op.create_table(
        "witnessed",
        Column("size", _INTEGER, primary_key=True, autoincrement=False),
        Column("time", _INTEGER, primary_key=True, autoincrement=False),
        Column("note", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    triggers.keep(op, "witnessed")
    triggers.stay(op, "witnessed")
    triggers.refuse(
        op,
        "witnessed",
        "head",
        "INSERT",
        "only a head of this log is witnessed",
        when="NOT EXISTS (SELECT 1 FROM heads WHERE size = NEW.size)",
    )
