"""The content store: what replay needs and the log does not hold, in files named by their SHA-256 (specs/09 §9).

    content/ab/cdef…    descriptors and terms as the preimages of their commitments (``action.preimage``),
                        and the parts of policy sets

A salted commitment is the SHA-256 of its preimage, so a store of digests finds it too, and salt and content
are erased by dropping one file: every proof in the log stays valid, and the decision can no longer be
replayed. Files are readable by their owner only. Writing is atomic and durable: a file has its name only when
its bytes are on the disk.
"""

import os
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from exequatur_verifier.errors import ExequaturError


class ContentError(ExequaturError):
    """Content that cannot be given out: its digest, and what is wrong."""

    def __init__(self, digest: bytes, detail: str) -> None:
        super().__init__(f"content {digest.hex()} {detail}")
        self.digest = digest


class ContentMissingError(ContentError):
    """The store does not hold it: it was erased, or never stored here."""


class ContentDamagedError(ContentError):
    """What lies under the digest hashes to something else."""


class ContentStore:
    """A directory of contents, created when first written to. Several processes may share one.

    Failures of the file system are ``OSError``, and then nothing of what was being put may be relied on.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, content: bytes) -> bytes:
        """Return the SHA-256 of ``content``, which is on the disk when this returns."""
        return self.put_many((content,))[0]

    def put_many(self, contents: Iterable[bytes]) -> list[bytes]:
        """Return the SHA-256 of each content; all are on the disk when this returns."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        digests: list[bytes] = []
        folders: dict[Path, None] = {}
        for content in contents:
            digest = sha256(content).digest()
            digests.append(digest)
            path = self._path(digest)
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                folders[self._directory] = None
            # What is there already may have been renamed by a process that has not synced the folder yet.
            folders[path.parent] = None
            if not _holds(path, content):
                self._write(path, content)
        for folder in folders:
            _sync_folder(folder)
        return digests

    def get(self, digest: bytes) -> bytes:
        """Return the content of that SHA-256, hashed again.

        Raises ``ContentMissingError`` or ``ContentDamagedError``.
        """
        name = digest.hex()
        try:
            # To make a path and open that would take longer than to read, and audits read one file a decision.
            with open(f"{self._directory}/{name[:2]}/{name[2:]}", "rb", buffering=0) as file:  # noqa: PTH123
                content = file.read()
        except FileNotFoundError:
            raise ContentMissingError(digest, "is not in the store: erased, or stored elsewhere") from None
        if sha256(content).digest() != digest:
            raise ContentDamagedError(digest, f"is damaged: restore {self._path(digest)} from a copy")
        return content

    def drop(self, digest: bytes) -> None:
        """Erase the content of that SHA-256; nothing happens when it is not there.

        The name is gone for good when this returns. What the file system or its copies still hold of the
        bytes is not within reach of this.
        """
        path = self._path(digest)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        _sync_folder(path.parent)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name[2:]

    def _write(self, path: Path, content: bytes) -> None:
        # Readable by the owner only, and in the same file system, so that the rename is atomic.
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).rename(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _holds(path: Path, content: bytes) -> bool:
    """Say whether the file holds ``content``; a damaged one is written again."""
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
