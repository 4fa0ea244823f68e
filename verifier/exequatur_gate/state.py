"""The state of one runtime: the file that it must not lose, and the one door to it (specs/07 §2).

``State.create`` is the enrolment, done once. From then on the state is there, whole, this key's and not
behind what the key has signed, or nothing is admitted: ``State.open`` raises ``StateUnavailableError`` and
never makes what it misses. Any number of processes may hold it open; a thread opens its own.

Every change holds the writer's lock from BEGIN to COMMIT, checkpoints of the write-ahead log included:
SQLite before 3.51.3 may corrupt a file when two connections do those at one moment
(https://sqlite.org/wal.html#walresetbug). Not noticed here: a rollback of the whole disk while offline.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NewType, Self

from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.memory import KnownHead, Memory, Proof
from exequatur_verifier.verdict import Code

from . import locks, memory, tables
from .locks import Lock

Transaction = NewType("Transaction", sqlite3.Connection)

_PATIENCE_S: Final = 10.0


class StateUnavailableError(ExequaturError):
    """There is no state that could be relied on; the gate denies with ``code``."""

    code: Final = Code.STATE_UNAVAILABLE


class State:
    """An open state. Close it; until then one thread uses it."""

    def __init__(self, path: str, connection: sqlite3.Connection, lock: Lock) -> None:
        """For ``create`` and ``open`` only."""
        self.path: Final = path
        self._connection: Final = connection
        self._lock: Final = lock

    @classmethod
    def create(cls, path: str, runtime: bytes, heads: Iterable[KnownHead]) -> Self:
        """Enrol: make the state of the runtime whose key has that thumbprint, and return it open.

        ``heads`` are the heads to start from, one for each log, verified by the caller. Raise
        ``FileExistsError`` when there is a state already: it is never made anew.
        """
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        locks.create(lock_path(path))
        connection = _connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        state = cls(path, connection, Lock(lock_path(path), locks.WRITER))
        with state.transaction() as transaction:
            for table in tables.TABLES:
                transaction.execute(table)
            transaction.execute("INSERT INTO identity VALUES (1, ?, ?)", (runtime, os.urandom(16)))
            transaction.execute("INSERT INTO chain VALUES (1, 0, NULL)")
            memory.begin(transaction, tuple(heads))
            # With the rest in one transaction, so that half an enrolment is never taken for a state.
            transaction.execute(f"PRAGMA application_id = {tables.APPLICATION}")
            transaction.execute(f"PRAGMA user_version = {tables.VERSION}")
        _sync_folder(path)
        return state

    @classmethod
    def open(cls, path: str, runtime: bytes) -> Self:
        """Open the state of the runtime whose key has that thumbprint; raise ``StateUnavailableError``."""
        if not os.path.lexists(path):
            raise StateUnavailableError(f"{path} does not exist; a state is made by enrolment only")
        try:
            lock = Lock(lock_path(path), locks.WRITER)
        except OSError as error:
            raise StateUnavailableError(f"{lock_path(path)} cannot be opened: {error.strerror}") from None
        try:
            connection = _connect(path)
            try:
                _check(connection, path, runtime)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            lock.close()
            raise StateUnavailableError(f"{path} cannot be read: {error}") from None
        except BaseException:
            lock.close()
            raise
        state = cls(path, connection, lock)
        try:
            state._upgrade()
        except BaseException:
            state.close()
            raise
        return state

    def _upgrade(self) -> None:
        """Bring the tables of an earlier version to this one, all that is remembered with them."""
        if _version(self._connection) == tables.VERSION:
            return
        with self.transaction() as transaction:
            # Another process may have done it meanwhile.
            for version in range(_version(transaction), tables.VERSION):
                for step in tables.UPGRADES[version]:
                    transaction.execute(step)
            transaction.execute(f"PRAGMA user_version = {tables.VERSION}")

    def close(self) -> None:
        """Close; the last to do so folds the write-ahead log in."""
        self._lock.take(_PATIENCE_S)
        # A checkpoint that fails now is done by who opens next.
        with suppress(sqlite3.Error):
            self._connection.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Change the state: what is done inside is durable when this ends, or never happened.

        An error raised inside undoes everything and is passed on; one of the database, or of waiting ten
        seconds for others, becomes ``StateUnavailableError``.
        """
        if not self._lock.take(_PATIENCE_S):
            raise StateUnavailableError(f"{self.path} has been in use for {_PATIENCE_S:.0f} s; see who holds it")
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield Transaction(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StateUnavailableError(f"{self.path} cannot be written: {error}") from error
        finally:
            if connection.in_transaction:
                connection.rollback()
            self._lock.release()

    def recall(self) -> tuple[Memory, tuple[Proof, ...]]:
        """Return what is remembered, with its generation, and the proofs kept, all of one moment."""
        try:
            self._connection.execute("BEGIN")
            try:
                return memory.load(self._connection), memory.load_proofs(self._connection)
            finally:
                self._connection.rollback()
        except sqlite3.Error as error:
            raise StateUnavailableError(f"{self.path} cannot be read: {error}") from error

    @property
    def last_seq(self) -> int:
        """The number of the last record that was signed here; 0 before the first."""
        try:
            return int(self._connection.execute("SELECT seq FROM chain").fetchone()[0])
        except sqlite3.Error as error:
            raise StateUnavailableError(f"{self.path} cannot be read: {error}") from error

    def check_not_behind(self, last_seq_in_log: int) -> None:
        """Raise ``StateUnavailableError`` if a log holds later records of this key: this is an old copy."""
        if self.last_seq < last_seq_in_log:
            raise StateUnavailableError(
                f"{self.path} ends at record {self.last_seq}, but a log holds record {last_seq_in_log} of this key: "
                "it is an old copy; enrol a new key"
            )

    def check(self) -> None:
        """Check every page and every index of the file, which ``open`` does for the vital tables only."""
        try:
            answer = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            answer = str(error)
        if answer != "ok":
            raise StateUnavailableError(f"{self.path} is damaged: {answer}")


def lock_path(path: str) -> str:
    """Return the path of the lock file that belongs to a state."""
    return path.removesuffix(".db") + ".lock"


def _connect(path: str) -> sqlite3.Connection:
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{name}?mode=rw", uri=True, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=True
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _check(connection: sqlite3.Connection, path: str, runtime: bytes) -> None:
    application, version = connection.execute("PRAGMA application_id").fetchone()[0], _version(connection)
    if application != tables.APPLICATION or not 1 <= version <= tables.VERSION:
        raise StateUnavailableError(f"{path} is no state of this version or an earlier one, or was never whole")
    standing = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    for table in tables.VITAL:
        if version < tables.VERSION and table not in standing:
            continue
        answer = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()[0]
        if answer != "ok":
            raise StateUnavailableError(f"{path} is damaged: {answer}")
    row = connection.execute("SELECT identity.runtime FROM identity JOIN memory JOIN chain").fetchone()
    if row is None:
        raise StateUnavailableError(f"{path} is damaged: its identity, its memory or its chain is missing")
    (owner,) = row
    if owner != runtime:
        raise StateUnavailableError(f"{path} belongs to the key {owner.hex()}, and this runtime's is {runtime.hex()}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _sync_folder(path: str) -> None:
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
