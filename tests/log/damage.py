"""Damage to the file of a closed log, done with plain SQL after its triggers have been taken away."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from exequatur_log import tree
from exequatur_log.entry import entry_of, named_key
from exequatur_log.genesis import sign_genesis
from exequatur_log.head import sign
from exequatur_log.storage import queries
from exequatur_log.storage.database import open_database
from exequatur_log.storage.place import Place, Postgres
from exequatur_log.storage.writer import commit, write
from exequatur_verifier.statement import parse
from tests.log import scene
from tests.log.scene import KEYS, NOW
from tests.support.postgres import query
from tests.support.world import signer

# Before what is changed by hand, in a session that fires no triggers.
_QUIETLY = "SET session_replication_role = replica"

Damage = Callable[[sqlite3.Connection], object]


def execute(place: Place, statement: str) -> None:
    """Run SQL as the owner of the tables may."""
    if isinstance(place, Postgres):
        query(place, statement)
        return
    connection = sqlite3.connect(place)
    with connection:
        connection.execute(statement)
    connection.close()


def meddle(place: Place, statement: str) -> None:
    """Change a log that may be in use, with SQL that both databases know, past its triggers."""
    if isinstance(place, Postgres):
        query(place, f"{_QUIETLY}; {statement}")
    else:
        apply(place, sql(statement))


def apply(path: Path, damage: Damage) -> None:
    """Open the file as nobody should, and change it."""
    connection = sqlite3.connect(path)
    with connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        damage(connection)
    connection.close()


def append_without_asking(place: Place, entry: bytes, delegated: int = 0) -> None:
    """Append as the log does, properly signed, but without registration: what a dishonest operator could do."""

    async def run() -> None:
        database = await open_database(place, writable=True)
        async with database.append() as connection:
            found = await queries.head(connection)
            assert found is not None
            former, edge = found
            parsed = parse(entry)
            growth = tree.append(edge, [parsed.leaf])
            signed = sign(growth.edge.size, growth.root, NOW, KEYS)
            held = await queries.tiles(connection, growth.gains.keys())
            tiles = {key: held.get(key, b"") + gain for key, gain in growth.gains.items()}
            row = entry_of(parsed, parsed.leaf, former.size, signed.size, delegated)
            key = named_key(parsed)
            await write(connection, former, [row], [key] if key else [], tiles, signed, growth.edge)
            await commit(connection)
        await database.close()

    asyncio.run(run())


def sql(statement: str) -> Damage:
    return lambda connection: connection.execute(statement)


def flip(table: str, column: str, where: str, byte: int = -1) -> Damage:
    """Return what flips the lowest bit of one byte of a blob."""

    def damage(connection: sqlite3.Connection) -> None:
        (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        place = byte % len(value)
        changed = value[:place] + bytes((value[place] ^ 1,)) + value[place + 1 :]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed,))

    return damage


def forged_head(connection: sqlite3.Connection) -> None:
    """Put the same size under another root, signed with the log's own keys: the database of a fork."""
    (size,) = connection.execute("SELECT size FROM head").fetchone()
    edge = (bytes(32),) * size.bit_count()
    head = sign(size, tree.fold(edge), NOW, KEYS)
    values = (head.root, head.protected, head.signature, head.note)
    connection.execute(
        "UPDATE head SET root = ?, protected = ?, signature = ?, note = ?, edge = ?", (*values, b"".join(edge))
    )
    where = "WHERE size = ?"
    connection.execute(f"UPDATE heads SET root = ?, protected = ?, signature = ?, note = ? {where}", (*values, size))


def another_genesis(connection: sqlite3.Connection) -> None:
    other = sign_genesis(signer("another operator"), KEYS, now=NOW, unique=scene.unique())
    connection.execute("UPDATE entries SET statement = ? WHERE leaf_index = 0", (other,))


# What start-up must refuse, each a reason of its own.
STARTUP: dict[str, Damage] = {
    "the head is gone": sql("DELETE FROM head"),
    "its receipt signature": flip("head", "signature", "id = 1"),
    "its signed header": flip("head", "protected", "id = 1", 40),
    "its root": flip("head", "root", "id = 1"),
    "its time": sql("UPDATE head SET iat = iat + 1"),
    "its size": sql("UPDATE head SET size = size + 1"),
    "its checkpoint": flip("head", "note", "id = 1", -8),
    "a head signed over another tree": forged_head,
    "the right edge": flip("head", "edge", "id = 1"),
    "the right edge is short": sql("UPDATE head SET edge = substr(edge, 33)"),
    "the newest tile": flip("tiles", "hashes", "level = 0 AND number = 1"),
    "the newest tile is short": sql("UPDATE tiles SET hashes = substr(hashes, 1, 32) WHERE level = 0 AND number = 1"),
    "the newest tile is gone": sql("DELETE FROM tiles WHERE level = 0 AND number = 1"),
    "the tile above": flip("tiles", "hashes", "level = 1 AND number = 0"),
    "the newest entry": flip("entries", "statement", "leaf_index = (SELECT max(leaf_index) FROM entries)"),
    "the newest leaf": flip("entries", "leaf_hash", "leaf_index = (SELECT max(leaf_index) FROM entries)"),
    "the newest entry is gone": sql("DELETE FROM entries WHERE leaf_index = (SELECT max(leaf_index) FROM entries)"),
    "the newest head is not in the history": sql("DELETE FROM heads WHERE size = (SELECT max(size) FROM heads)"),
    "the history goes on": sql("INSERT INTO heads SELECT size + 1, root, iat, protected, signature, note FROM head"),
    "the genesis is gone": sql("DELETE FROM entries WHERE leaf_index = 0"),
    "the genesis": flip("entries", "statement", "leaf_index = 0"),
    "the genesis is no statement": sql("UPDATE entries SET statement = x'00' WHERE leaf_index = 0"),
    "the genesis is another entry": sql(
        "UPDATE entries SET statement = (SELECT statement FROM entries WHERE leaf_index = 1) WHERE leaf_index = 0"
    ),
}

# What only fsck can find, with the code of the finding.
HIDDEN: dict[str, tuple[Damage, str]] = {
    "an old entry": (flip("entries", "statement", "leaf_index = 7"), "SIGNATURE"),
    "an old entry's bytes are no statement": (
        sql("UPDATE entries SET statement = x'00' WHERE leaf_index = 7"),
        "SIGNATURE",
    ),
    "an old leaf": (flip("entries", "leaf_hash", "leaf_index = 7"), "ENTRY"),
    "a record id": (flip("entries", "record_id", "leaf_index = 7"), "ENTRY"),
    "a kind": (sql("UPDATE entries SET kind = 'decision' WHERE leaf_index = 7"), "ENTRY"),
    "a subject": (sql("UPDATE entries SET sub = 'urn:x' WHERE leaf_index = 7"), "ENTRY"),
    "an issuer": (sql("UPDATE entries SET iss = 'x' WHERE leaf_index = 7"), "ENTRY"),
    "a time": (sql("UPDATE entries SET iat = 7 WHERE leaf_index = 7"), "ENTRY"),
    "a key id": (flip("entries", "key_id", "leaf_index = 7"), "ENTRY"),
    "the head of a receipt": (sql("UPDATE entries SET head_size = head_size + 1 WHERE leaf_index = 7"), "ENTRY"),
    "a series": (sql("UPDATE entries SET series = 'policy x', number = 9 WHERE leaf_index = 7"), "ENTRY"),
    "a number": (sql("UPDATE entries SET number = 9 WHERE series LIKE 'policy %'"), "ENTRY"),
    "an old entry is gone": (sql("DELETE FROM entries WHERE leaf_index = 7"), "ENTRY"),
    "an old tile": (flip("tiles", "hashes", "level = 0 AND number = 0"), "TILE"),
    "a tile too many": (sql("INSERT INTO tiles VALUES (0, 9, zeroblob(32))"), "TILE"),
    "an old root": (flip("heads", "root", "size = 1"), "HEAD"),
    "an old receipt signature": (flip("heads", "signature", "size = 1"), "HEAD"),
    "an old checkpoint": (flip("heads", "note", "size = 1", -8), "HEAD"),
    "an old head's time": (sql("UPDATE heads SET iat = iat + 1 WHERE size = 1"), "HEAD"),
    "an old head is gone": (sql("DELETE FROM heads WHERE size = 4"), "ENTRY"),
    "a key": (flip("keys", "encoded", "rowid = 2"), "KEY"),
    "a key is gone": (sql("DELETE FROM keys WHERE rowid = 2"), "KEY"),
    "an index of SQLite": (
        lambda connection: connection.executescript(
            "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, '(sub)', '(iss)') "
            "WHERE name = 'entries_sub'; PRAGMA writable_schema=OFF;"
        ),
        "DATABASE",
    ),
}
