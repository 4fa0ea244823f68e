"""The memory of one witness: the file that it must not lose, and the only place where it is read and written.

``Memory.create`` is called once, by ``witness init``. From then on the file is there, whole and this witness's, or
nothing is cosigned: ``Memory.open`` raises and never makes what it misses, and a file that is exchanged under a running
witness is noticed. What a transaction wrote is on the disk when it ends (WAL, ``synchronous=FULL``, both looked at).

Every change holds the lock beside the file from BEGIN to COMMIT, because SQLite before 3.51.3 may corrupt a file when
one connection writes while another runs a checkpoint (sqlite.org/wal.html#walresetbug). Not noticed here: that the
whole file is an older copy (specs/11 §5).
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from exequatur_log.errors import LogError
from exequatur_verifier import checkpoint, merkle, note
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.note import NoteKey, SignatureType

from . import tables
from .decide import Held
from .evidence import Evidence, Kind
from .wire import name_of_origin

MOST_EVIDENCE: Final = 16  # of one kind from one log
_PATIENCE_S: Final = 10.0
_LONGEST_ORIGIN: Final = 255  # in an ML-DSA cosignature


class MemoryUnavailableError(LogError):
    """There is no memory that could be relied on, and without it nothing is cosigned."""


class Kept(NamedTuple):
    """Evidence as it is kept: its number, the log's origin, and what it is."""

    number: int
    origin: str
    evidence: Evidence


class Transaction:
    """What is read and written at one moment. What is written stands when the transaction ends, or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """For ``Memory`` only."""
        self._connection = connection

    def log_keys(self, origin: str | None = None) -> list[NoteKey]:
        """Return the keys of the logs that the witness knows, or of the one with that origin."""
        query = "SELECT vkey FROM logs WHERE ?1 IS NULL OR origin = ?1 ORDER BY rowid"
        return [note.parse_key(vkey) for (vkey,) in self._connection.execute(query, (origin,))]

    def add_log(self, key: NoteKey) -> bool:
        """Add a log's key and say whether it is new; for ``Memory.add_logs``, which checks it."""
        row = (note.format_key(key), key.name)
        return self._connection.execute("INSERT OR IGNORE INTO logs VALUES (?, ?)", row).rowcount == 1

    def held(self) -> list[Held]:
        """Return what was cosigned last for each log."""
        return [_held(*row) for row in self._connection.execute(f"{_HELD} ORDER BY origin")]

    def held_of(self, origin: str) -> Held | None:
        """Return what was cosigned last for a log."""
        return self.held_by_name(name_of_origin(origin))

    def held_by_name(self, name: str) -> Held | None:
        """Return what was cosigned last for the log whose origin has that SHA-256."""
        row = self._connection.execute(f"{_HELD} WHERE name = ?", (name,)).fetchone()
        return None if row is None else _held(*row)

    def hold(self, held: Held) -> None:
        """Remember what is cosigned now."""
        (origin, size, root), name = held.checkpoint, name_of_origin(held.checkpoint.origin)
        self._connection.execute(
            "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET "
            "size = excluded.size, root = excluded.root, time = excluded.time, note = excluded.note",
            (origin, name, size, root, held.time, held.note),
        )

    def newest_time(self) -> int:
        """Return the time of the newest cosignature of any log, or 0."""
        return int(self._connection.execute("SELECT coalesce(max(time), 0) FROM cosigned").fetchone()[0])

    def keep(self, evidence: Evidence) -> None:
        """Keep evidence, unless the same was kept before or there is much of its kind from this log already."""
        origin, size, root = checkpoint.parse(note.parse(evidence.presented).text)
        proof, kind = b"".join(evidence.proof), str(evidence.kind)
        self._connection.execute(
            "INSERT OR IGNORE INTO evidence SELECT NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 "
            "WHERE (SELECT count(*) FROM evidence WHERE origin = ?1 AND kind = ?2) < ?9",
            (origin, kind, size, root, evidence.time, evidence.held, evidence.presented, proof, MOST_EVIDENCE),
        )

    def evidence(self) -> list[Kept]:
        """Return all evidence, oldest first."""
        query = "SELECT number, origin, kind, time, held, presented, proof FROM evidence ORDER BY number"
        return [
            Kept(number, origin, Evidence(Kind(kind), seen, held, presented, _split(proof)))
            for number, origin, kind, seen, held, presented, proof in self._connection.execute(query)
        ]

    def count_evidence(self) -> dict[tuple[str, Kind], int]:
        """Return how much evidence there is, by origin and kind."""
        query = "SELECT origin, kind, count(*) FROM evidence GROUP BY origin, kind"
        return {(origin, Kind(kind)): count for origin, kind, count in self._connection.execute(query)}

    def lose(self, origin: str, own_time: int, presented: bytes) -> None:
        """Write down that this memory is older than what the witness has signed."""
        self._connection.execute("INSERT INTO lost VALUES (?, ?, ?)", (origin, own_time, presented))

    def is_lost(self) -> bool:
        """Say whether that was written down."""
        return self._connection.execute("SELECT 1 FROM lost LIMIT 1").fetchone() is not None


class Memory:
    """An open memory, used by one thread at a time. Close it, or use it as a context manager."""

    def __init__(self, path: Path, lock: int) -> None:
        """For ``create`` and ``open`` only."""
        self.path: Final = path
        self._lock = lock
        self._connection: sqlite3.Connection | None = None
        self._file = _identify(path)

    @classmethod
    def create(cls, path: Path, name: str, keys: Iterable[NoteKey]) -> Self:
        """Make the memory of a new witness, which has cosigned nothing, and open it. Raises ``FileExistsError``."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            for table in tables.TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO identity VALUES (1, ?, ?)", (name, _spell(keys)))
            # With the rest in one transaction, so that half a memory is never taken for one.
            connection.execute(f"PRAGMA application_id = {tables.APPLICATION}")
            connection.execute(f"PRAGMA user_version = {tables.VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the memory of a witness, and check it; raise ``MemoryUnavailableError``."""
        if not path.is_file():
            raise MemoryUnavailableError(
                f"{path} does not exist; it is made once, by `exequatur witness init`. If this witness ever cosigned, "
                "its memory is lost: retire its keys and make a new witness"
            )
        if path.stat().st_mode & 0o022:
            raise MemoryUnavailableError(
                f"{path} can be written by others, and may have been; chmod go-w if it was not"
            )
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        memory = cls(path, lock)
        try:
            with memory.transaction():
                pass
            # SQLite goes on when it could not make the name of its write-ahead log durable.
            _sync_folder(path)
        except BaseException:
            memory.close()
            raise
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; the last to do so folds the write-ahead log in, which is why it happens under the lock."""
        with suppress(MemoryUnavailableError):
            _take(self._lock, self.path)
        self._drop()
        os.close(self._lock)

    def add_logs(self, keys: Sequence[NoteKey]) -> list[bool]:
        """Know these keys of logs from now on, and say of each whether it is new; raise ``MalformedError`` for others.

        Checkpoints of the log that is named like the key are then cosigned, from the first that comes on.
        """
        own = {key.public_key for key in self.keys}
        for key in keys:
            if key.type is not SignatureType.ED25519:
                raise MalformedError(f"the key of {key.name} is none for checkpoints, which is Ed25519 of type 0x01")
            if key.public_key in own:
                raise MalformedError(f"the key of {key.name} is this witness's own; no log signs with that")
            if len(key.name.encode()) > _LONGEST_ORIGIN:
                raise MalformedError(f"an origin is at most {_LONGEST_ORIGIN} bytes long where a witness cosigns it")
        with self.transaction() as transaction:
            return [transaction.add_log(key) for key in keys]

    @property
    def name(self) -> str:
        """The name of the witness."""
        return self._identity()[0]

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """The keys that this memory belongs to."""
        return tuple(note.parse_key(vkey) for vkey in self._identity()[1].split("\n"))

    def _identity(self) -> tuple[str, str]:
        with self.transaction() as transaction:
            row: tuple[str, str] = transaction._connection.execute("SELECT name, vkeys FROM identity").fetchone()  # noqa: SLF001  # of this module
            return row

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Read and write, alone among all processes: what was written is durable when this ends, or never happened.

        Raises ``MemoryUnavailableError`` when the file is another than was opened, when the database fails, or when
        others keep it for ten seconds. After a failure the file is opened and checked anew.
        """
        _take(self._lock, self.path)
        try:
            if _identify(self.path) != self._file:
                raise MemoryUnavailableError(f"{self.path} is not the file that was opened; restart the witness")
            if self._connection is None:
                self._connection = _checked(self.path)
            self._connection.execute("BEGIN IMMEDIATE")
            yield Transaction(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._drop()
            raise MemoryUnavailableError(f"{self.path} cannot be used: {error}") from error
        except BaseException:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()
            raise
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _drop(self) -> None:
        # What a failed transaction left is gone with its connection; a checkpoint that fails now is done later.
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


_HELD: Final = "SELECT origin, size, root, time, note FROM cosigned"


def _held(origin: str, size: int, root: bytes, seen: int, signed: bytes) -> Held:
    return Held(checkpoint.Checkpoint(origin, size, root), seen, signed)


def _split(proof: bytes) -> tuple[bytes, ...]:
    return tuple(proof[start : start + merkle.HASH_SIZE] for start in range(0, len(proof), merkle.HASH_SIZE))


def _spell(keys: Iterable[NoteKey]) -> str:
    return "\n".join(note.format_key(key) for key in keys)


def _identify(path: Path) -> Sequence[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _take(lock: int, path: Path) -> None:
    last = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > last:
                raise MemoryUnavailableError(
                    f"{path} has been in use for {_PATIENCE_S:.0f} s; see who holds it"
                ) from None
            time.sleep(0.002)
        else:
            return


def _connect(path: Path) -> sqlite3.Connection:
    # A thread at a time uses it, and not always the same one.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    for pragma in ("synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON", "recursive_triggers = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _checked(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        names = ("application_id", "user_version", "journal_mode", "synchronous")
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        if found[:2] != [tables.APPLICATION, tables.VERSION]:
            raise MemoryUnavailableError(f"{path} is no memory of a witness of this version, or was not finished")
        if found[2:] != ["wal", 2]:
            raise MemoryUnavailableError(f"SQLite did not take WAL with synchronous=FULL for {path}")
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok" or connection.execute("SELECT count(*) FROM identity").fetchone() != (1,):
            raise MemoryUnavailableError(f"{path} is damaged: {answer}; restore nothing, retire the witness's keys")
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
