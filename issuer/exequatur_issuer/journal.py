"""The journal: what the authority signed for each request, kept before any of it is sent.

An answer can be lost between authority and log. Who then signed again would put two decisions, or two
artifacts with a use each, behind one request. So the statements that answer a request are kept first, all of
them in one transaction, and the first to be kept stand: every later attempt, of whichever process, sends
those very bytes (specs/09 §7, specs/04 §4).

Beside them stand the tree heads of each runtime's last authorizations, from which the next bundles staple
consistency proofs. Losing those costs a runtime a question to the log, and nothing else. And there stand what an
authority reports, in the order of its chain (``reports``).
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Head

HEADS_KEPT: Final = 16
_WAIT_S: Final = 30.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS answers (
  request BLOB NOT NULL PRIMARY KEY, decision BLOB NOT NULL, artifact BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads (
  origin TEXT NOT NULL, runtime TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  PRIMARY KEY (origin, runtime, size)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chains (key BLOB NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, prev BLOB) STRICT;
CREATE TABLE IF NOT EXISTS reports (
  key BLOB NOT NULL, seq INTEGER NOT NULL, statement BLOB NOT NULL, PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;
"""


class JournalError(ExequaturError):
    """The journal cannot be read or written, so nothing may be signed."""


class Signed(NamedTuple):
    """The statements that answer a request: the decision, and the artifact if it allows."""

    decision: bytes
    artifact: bytes | None


class Journal:
    """A journal in one SQLite file, which several processes may share; one object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises ``JournalError``."""
        self._path = path
        with self._reported():
            # Made here, because SQLite would let others read it; the files beside it get the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
            # A rollback journal: SQLite before 3.51.3 can lose a commit when two processes reset one WAL.
            self._connection.execute("PRAGMA journal_mode = PERSIST")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_TABLES)

    def find(self, request: bytes) -> Signed | None:
        """Return what was signed for the request of that record id."""
        with self._reported():
            row = self._connection.execute(
                "SELECT decision, artifact FROM answers WHERE request = ?", (request,)
            ).fetchone()
        return None if row is None else Signed(*row)

    def keep(self, answers: Mapping[bytes, Signed], former: Mapping[bytes, Signed] = {}) -> dict[bytes, Signed]:
        """Keep answers by the record ids of their requests; return what stands for each, on the disk.

        ``former`` has answers without an artifact that these take the place of, if they still stand.
        """
        with self._reported(), self._transaction():
            self._connection.executemany(
                "DELETE FROM answers WHERE request = ? AND decision = ? AND artifact IS NULL",
                [(request, signed.decision) for request, signed in former.items()],
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)",
                [(request, *signed) for request, signed in answers.items()],
            )
            stand = {request: self.find(request) for request in answers}
        return {request: signed for request, signed in stand.items() if signed is not None}

    def undecided(self) -> dict[bytes, bytes]:
        """Return the decisions that led to no artifact, by the record ids of their requests, the newest last."""
        with self._reported():
            # WITHOUT ROWID: there is no order of insertion, and the decisions carry their times.
            rows = self._connection.execute("SELECT request, decision FROM answers WHERE artifact IS NULL").fetchall()
        return dict(rows)

    def heads(self, origin: str, runtime: str) -> list[Head]:
        """Return the last heads of a log that authorizations for a runtime rest on, the smallest first."""
        with self._reported():
            rows = self._connection.execute(
                "SELECT origin, size, root FROM heads WHERE origin = ? AND runtime = ? ORDER BY size",
                (origin, runtime),
            ).fetchall()
        return [Head(*row) for row in rows]

    def note_heads(self, noted: Iterable[tuple[str, Head]]) -> None:
        """Note runtimes and the heads that their authorizations rest on; only the largest few are kept."""
        heads = set(noted)
        with self._reported(), self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO heads (runtime, origin, size, root) VALUES (?, ?, ?, ?)",
                [(runtime, *head) for runtime, head in heads],
            )
            for place in {(head.origin, runtime) for runtime, head in heads}:
                self._connection.execute(
                    "DELETE FROM heads WHERE origin = ? AND runtime = ? AND size NOT IN (SELECT size FROM heads"
                    " WHERE origin = ? AND runtime = ? ORDER BY size DESC LIMIT ?)",
                    (*place, *place, HEADS_KEPT),
                )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Work on the file in one transaction, which is on the disk at the end. Raises ``JournalError`` of the file."""
        try:
            with self._transaction():
                yield self._connection
        except sqlite3.Error as error:
            raise JournalError(f"{self._path}: {error}; nothing was sent that is not in it") from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{self._path}: {error}; nothing was sent that is not in it") from None
