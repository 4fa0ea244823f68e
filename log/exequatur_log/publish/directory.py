"""A directory to publish to, which any web server can serve. Files appear whole, once, and survive a power cut.

A file is written under another name in ``.new``, synced, linked to its own name, and the folder synced; ``link(2)``
refuses a name that is taken. The checkpoint is renamed over the former one, under a lock that makes comparing and
replacing one step for all processes of this machine. A killed process leaves at most files in ``.new``.
"""

import asyncio
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from exequatur_log.errors import StoreError

from .store import MAX_OBJECT

T = TypeVar("T")
_ABANDONED: Final = 3600


class DirectoryStore:
    """A directory. It is made when something is first written to it, if the folder above is there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._new = root / ".new"
        # Folders whose names are known to be durable, up to the root.
        self._durable: set[Path] = set()

    @property
    def name(self) -> str:
        """The path."""
        return str(self._root)

    async def get(self, path: str) -> bytes | None:
        """As ``Store.get``."""
        return await self._run(lambda: _read(self._root / path))

    async def add(self, path: str, data: bytes) -> bool:
        """As ``Store.add``."""
        return await self._run(lambda: self._add(self._root / path, data))

    async def replace(self, path: str, data: bytes, former: bytes | None) -> bool:
        """As ``Store.replace``; comparing and replacing is one step here."""
        return await self._run(lambda: self._replace(self._root / path, data, former))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise StoreError(f"the directory {self.name} failed: {error}") from error

    def _add(self, path: Path, data: bytes) -> bool:
        self._prepare(path.parent)
        with self._unfinished(data) as made:
            try:
                os.link(made, path)
            except FileExistsError:
                fresh = False
            else:
                fresh = True
        # Also when the file stood already: who linked it may have been killed before the name was durable.
        _sync(path.parent)
        return fresh

    def _replace(self, path: Path, data: bytes, former: bytes | None) -> bool:
        self._prepare(path.parent)
        with self._locked():
            if _read(path) != former:
                return False
            with self._unfinished(data) as made:
                made.replace(path)
            _sync(path.parent)
        return True

    def _prepare(self, folder: Path) -> None:
        """Make a folder below the root, and its name durable, and those of the folders above it."""
        if folder in self._durable:
            return
        if folder == self._root:
            if not folder.parent.is_dir():
                raise StoreError(f"{folder.parent} is not there; make the folder to publish in first")
        else:
            self._prepare(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)
        self._durable.add(folder)

    @contextmanager
    def _unfinished(self, data: bytes) -> Iterator[Path]:
        """Give a synced file of these bytes a name of its own in ``.new``, for as long as the caller needs it."""
        if self._new not in self._durable:
            self._prepare(self._new)
            self._clear()
        made = self._new / secrets.token_hex(16)
        try:
            with made.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield made
        finally:
            made.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._prepare(self._new)
        lock = os.open(self._new / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _clear(self) -> None:
        """Remove what killed processes left; whatever is younger than an hour may be somebody's."""
        before = time.time() - _ABANDONED
        for file in self._new.iterdir():
            with suppress(FileNotFoundError):
                if file.name != "lock" and file.stat().st_mtime < before:
                    file.unlink()


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_OBJECT:
                raise StoreError(f"{path} is not a file that a log publishes")
            return file.read()
    except FileNotFoundError:
        return None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
