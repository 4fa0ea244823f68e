"""The file of a new log, or of a copy, appears under its name whole, or not at all."""

import os
from pathlib import Path

from exequatur_log.errors import LogError


def unfinished(path: Path) -> Path:
    """Return where a log is made before it has its name; what an interrupted ``create`` left there is removed."""
    if path.exists():
        raise LogError(f"{path} exists already, and nothing is written over a log")
    place = path.with_name(f".{path.name}.{os.getpid()}.new")
    place.unlink(missing_ok=True)
    return place


def discard(made: Path) -> None:
    """Remove what was not finished."""
    for suffix in ("", "-wal", "-shm"):
        made.with_name(made.name + suffix).unlink(missing_ok=True)
    made.with_suffix(".lock").unlink(missing_ok=True)


def publish(made: Path, path: Path) -> None:
    """Make a finished file durable and give it its name, unless something has taken that meanwhile."""
    try:
        _sync(made, os.O_RDONLY)
        os.link(made, path)
    except FileExistsError:
        raise LogError(f"{path} exists already, and nothing is written over a log") from None
    finally:
        discard(made)
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
