"""The file of a new log, or of a copy, appears under its name whole, or not at all; and the lock beside a log."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exequatur_log.errors import LogError, StorageError


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock of a log's file, made if it was not there. A lock is never removed."""
    with _failing(path):
        return os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def keep_names(path: Path) -> None:
    """Make the names durable of a log's file and of what stands beside it."""
    with _failing(path):
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def unfinished(path: Path) -> Path:
    """Return the empty file in which a log is made before it has its name.

    Another process of the same number may have been killed at the same work: what it left would be taken for ours.
    """
    made = path.with_name(f".{path.name}.{os.getpid()}.new")
    with _failing(path):
        if path.exists():
            raise LogError(f"{path} exists already, and nothing is written over a log")
        for left in (_beside(path, "wal"), _beside(path, "journal")):
            # SQLite would take what stands there into the new file. Readers leave an empty one.
            if left.exists() and left.stat().st_size:
                raise LogError(f"{left} is what is left of another log; put its log back beside it, or move it away")
        for part in _parts(made):
            part.unlink(missing_ok=True)
        os.close(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return made


def publish(made: Path, path: Path) -> None:
    """Make a finished file durable and give it its name, unless something has taken that meanwhile.

    No connection to it may be open. When this raises ``StorageError``, the log may be there, and can be opened.
    """
    # SQLite does not say when it could not move everything into the file: it leaves it here.
    if _beside(made, "wal").exists() or _beside(made, "journal").exists():
        raise StorageError(f"{path} was not made: not everything could be moved into the file; create it again")
    with _failing(path):
        _sync(made, os.O_RDONLY)
        try:
            os.link(made, path)
        except FileExistsError:
            raise LogError(f"{path} exists already, and nothing is written over a log") from None
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def discard(made: Path) -> None:
    """Remove the name of what is finished, or was not. What cannot be removed is in nobody's way."""
    for part in _parts(made):
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}-{what}")


def _parts(made: Path) -> tuple[Path, ...]:
    """Return the file and what SQLite puts beside it."""
    return made, *(_beside(made, what) for what in ("wal", "shm", "journal"))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    """Turn what the file system fails or refuses to do within into ``StorageError``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error}") from error
