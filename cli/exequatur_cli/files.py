"""Files that only their owner can read, and the passphrase for the keys beside it."""

import os
import secrets
from pathlib import Path


def make_passphrase(directory: Path) -> bytes:
    """Write a random passphrase into ``directory``, which is made if need be, and return it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    passphrase = secrets.token_hex(32).encode()
    write(directory / "passphrase", passphrase + b"\n")
    return passphrase


def write(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Put a file that only its owner can read in place of another, durably and at once."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    write(fresh, content)
    fresh.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
