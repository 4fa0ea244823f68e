"""The spool: records that were signed and are in no log yet, in their order (specs/07 §8).

It is a table of the state, so that a record, its number and what it speaks of are one commit (G-12). A record
leaves when a log has acknowledged it; one that a log refuses for good stays, and a ``gap`` record that names
it goes on in its place. Denials like one that was recorded less than a minute ago are counted, not recorded.
"""

import os
import sqlite3
from typing import Final, NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.records import Enforcement, Outcome, Verification
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims
from exequatur_verifier.verdict import Code, StepResult

from . import records

# Until trust can bound them, these do (G-08): what a day of heavy use leaves behind, and a week's outage.
MAX_WAITING: Final = 10_000
MAX_AGE_S: Final = 7 * 86_400

_ALIKE_S: Final = 60


class Author(NamedTuple):
    """Who signs: a runtime by its id, with its key."""

    id: str
    signer: Signer


class Waiting(NamedTuple):
    """A record that is in no log yet."""

    seq: int
    id: bytes
    statement: bytes


class Spooled(NamedTuple):
    """How many records wait, when the oldest was made (unix seconds; 0 without one), how many were refused."""

    waiting: int
    oldest: int
    refused: int

    def is_stale(self, now: int) -> bool:
        """Say whether the records are more or older than is permitted."""
        return self.waiting >= MAX_WAITING or (self.waiting > 0 and now - self.oldest > MAX_AGE_S)


def append(
    connection: sqlite3.Connection,
    author: Author,
    record: Verification | Outcome | Enforcement,
    subject: str,
    now: int,
) -> bytes:
    """Sign a record as the next of its author's chain, store it, and return its id. Only within a transaction.

    The signer may raise ``OSError``, which undoes the transaction.
    """
    seq, prev = connection.execute("SELECT seq, prev FROM chain").fetchone()
    claims = Claims(author.id, subject, now, os.urandom(16))
    signed = statement.sign(record._replace(seq=seq + 1, prev=prev), claims, author.signer)
    record_id = statement.parse(signed).id
    connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, NULL)", (seq + 1, record_id, signed, now))
    connection.execute("UPDATE chain SET seq = ?, prev = ?", (seq + 1, record_id))
    return record_id


def measure(connection: sqlite3.Connection) -> Spooled:
    """Return the size of the spool."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE refused IS NULL), min(made) FILTER (WHERE refused IS NULL), count(refused) "
        "FROM records"
    ).fetchone()
    return Spooled(row[0], row[1] or 0, row[2])


def load(connection: sqlite3.Connection, limit: int) -> list[Waiting]:
    """Return the next records to send, in order."""
    rows = connection.execute(
        "SELECT seq, id, statement FROM records WHERE refused IS NULL ORDER BY seq LIMIT ?", (limit,)
    )
    return [Waiting(*row) for row in rows]


def acknowledge(connection: sqlite3.Connection, seq: int) -> None:
    """Take out a record that a log has."""
    connection.execute("DELETE FROM records WHERE seq = ?", (seq,))


def refuse(connection: sqlite3.Connection, author: Author, waiting: Waiting, code: str, now: int) -> None:
    """Set aside a record that a log will never have, and append the record of the gap.

    That a gap record itself is refused is only noted: it would need another, without end.
    """
    marked = connection.execute("UPDATE records SET refused = ? WHERE seq = ? AND refused IS NULL", (code, waiting.seq))
    record = statement.parse(waiting.statement).record
    if marked.rowcount == 1 and not (isinstance(record, Enforcement) and record.action == "gap"):
        append(connection, author, records.gap(waiting.id, code), records.fresh_urn(), now)


def append_denial(
    connection: sqlite3.Connection,
    author: Author,
    step: StepResult,
    artifact: bytes | None,
    subject: str | None,
    now: int,
) -> tuple[str, bytes | None]:
    """Record a denial, or count it to one like it. Return the subject, and the record's id if there is a new one.

    ``subject`` is that of an artifact which is in a log, ``None`` for any other. When the spool is full,
    denials are counted only, whatever artifact they are about.
    """
    assert step.code is not None
    is_full = measure(connection).waiting >= MAX_WAITING
    if is_full:
        artifact, subject = None, None
    key = (step.code.name, step.number, artifact or b"")
    known = connection.execute(
        "SELECT subject, since, times FROM denials WHERE (code, step, artifact) = (?, ?, ?)", key
    ).fetchone()
    if known is not None and (is_full or 0 <= now - known[1] < _ALIKE_S):
        connection.execute("UPDATE denials SET times = times + 1 WHERE (code, step, artifact) = (?, ?, ?)", key)
        return known[0], None
    counted = 0 if known is None else known[2]
    logged, subject = subject is not None, subject or records.fresh_urn()
    connection.execute(
        "INSERT OR REPLACE INTO denials VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, logged, subject, now, int(is_full))
    )
    if is_full:
        return subject, None
    record = records.denial(step, artifact, logged=logged, times=counted + 1)
    return subject, append(connection, author, record, subject, now)


def append_counted(connection: sqlite3.Connection, author: Author, now: int) -> None:
    """Record the denials that were counted for a minute, and forget those that had no more like them."""
    rows = connection.execute(
        "SELECT code, step, artifact, logged, subject, times FROM denials WHERE NOT since BETWEEN ? AND ?",
        (now - _ALIKE_S + 1, now),
    ).fetchall()
    if not rows or measure(connection).waiting >= MAX_WAITING:
        return
    for code, number, artifact, logged, subject, times in rows:
        if times:
            step = StepResult(number, "", "", "", Code[code])
            record = records.denial(step, artifact or None, logged=bool(logged), times=times)
            append(connection, author, record, subject, now)
        connection.execute("DELETE FROM denials WHERE (code, step, artifact) = (?, ?, ?)", (code, number, artifact))
