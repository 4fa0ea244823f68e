"""Locks of the operating system: single bytes of one file, held by whoever has the file open (specs/07 §3, §7).

Byte 0 is held around every change of the state, byte n while the gate of reservation n lives. They are locks
of open file descriptions (fcntl(2), F_OFD_SETLK): they exclude threads as well as processes, they end with
their process however that ends, and a number is never given out twice, so none is ever mistaken for another.
The file is made by enrolment. Where it is gone, nobody can tell who else is at work, and nothing is admitted.
"""

import fcntl
import os
import struct
import time
from typing import Final

WRITER: Final = 0

_PAUSE_S: Final = 0.002


def create(path: str) -> None:
    """Create the file whose bytes are locked; one that an earlier enrolment left is used again."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


class Lock:
    """A byte that can be locked and released. It is released at the latest when it is closed, or its process ends."""

    def __init__(self, path: str, byte: int) -> None:
        """Raise ``OSError`` when the file is absent."""
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._byte = byte

    def take(self, patience_s: float = 0) -> bool:
        """Lock the byte and return true, or return false when somebody else holds it for longer than that."""
        deadline = time.monotonic() + patience_s
        while not self._set(fcntl.F_WRLCK):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
        return True

    def release(self) -> None:
        """Let the byte go; the file stays open."""
        self._set(fcntl.F_UNLCK)

    def close(self) -> None:
        """Let go for good; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _set(self, kind: int) -> bool:
        # struct flock: type, whence, start, length, pid (which is 0 for this family of locks).
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, self._byte, 1, 0)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True
