"""The daemon's journal: one JSON object a line, and no signature without its line (specs/09 §9).

    {"time": 1764000000, "event": "signed", "name": "authority", "kind": "decision", "digest": "…", "uid": 0, "pid": 7}

The digest of a statement is its record id, so whoever has the log finds every signature here that is not there.
"""

import json
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final


class Journal:
    """A journal at the end of a file, which others may rotate away, or on an open descriptor such as stderr."""

    def __init__(self, target: Path | int) -> None:
        """Open the file, which is made if need be; raise ``OSError``."""
        self._path: Final = target if isinstance(target, Path) else None
        self._descriptor = target if isinstance(target, int) else _open(target)
        self._writing: Final = threading.Lock()

    def __call__(self, line: Mapping[str, int | str]) -> None:
        """Append a line; it is on the disk when this returns, if that is where the journal is. Raises ``OSError``."""
        data = json.dumps(line).encode() + b"\n"
        with self._writing:
            if self._path is not None:
                self._follow(self._path)
            if os.write(self._descriptor, data) != len(data):
                raise OSError("the journal took half a line; make room where it is")
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._descriptor)

    def _follow(self, path: Path) -> None:
        """Open the file again if another one, or none, has its name by now."""
        try:
            found = path.stat()
            same = os.path.samestat(found, os.fstat(self._descriptor))
        except FileNotFoundError:
            same = False
        if not same:
            fresh = _open(path)
            os.close(self._descriptor)
            self._descriptor = fresh


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
