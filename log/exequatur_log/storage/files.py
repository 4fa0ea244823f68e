"""The file of a new log appears under its name whole, or not at all; and the lock beside it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exequatur_log.errors import LogError, StorageError


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turn what the file system fails or refuses to do within into ``StorageError``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error}") from error


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock of a log's file, made if it was not there. A lock is never removed."""
    with failing(path):
        return os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def unfinished(path: Path) -> Path:
    """Return the empty file in which a log is made before it has its name.

    Another process of the same number may have been killed at the same work: what it left would be taken for ours.
    """
    made = path.with_name(f".{path.name}.{os.getpid()}.new")
    with failing(path):
        if path.exists():
            raise LogError(f"{path} exists already; a log is created once")
        for left in (_wal(path), _journal(path)):
            if left.exists():
                # SQLite would take what stands there into the new file.
                raise LogError(f"{left} is what is left of another log; move it away, or put its log back beside it")
        for part in _parts(made):
            part.unlink(missing_ok=True)
        os.close(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return made


def discard(made: Path) -> None:
    """Remove the name of what is finished, or was not. What cannot be removed is in nobody's way."""
    for part in _parts(made):
        with suppress(OSError):
            part.unlink(missing_ok=True)


def publish(made: Path, path: Path) -> None:
    """Give a finished file its name, unless something has taken that meanwhile, and make the name durable.

    The file must be closed. When this raises ``StorageError`` the log may be there, and can be opened.
    """
    # SQLite does not say when it could not move its log into the file: it leaves it there.
    if _wal(made).exists():
        raise StorageError(f"{path} was not made: what was written could not be moved into the file; create it again")
    with failing(path):
        try:
            os.link(made, path)
        except FileExistsError:
            raise LogError(f"{path} exists already; a log is created once") from None
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _parts(made: Path) -> tuple[Path, ...]:
    """Return the file and what SQLite and the lock put beside it."""
    return made, _wal(made), _journal(made), made.with_name(f"{made.name}-shm"), made.with_suffix(".lock")
