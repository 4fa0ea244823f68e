"""The shim of ``shim.c``: built once, and spoken to from the process that it is preloaded into."""

import ctypes
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from tests.data import ROOT

_SOURCES: Final = [Path(__file__).with_name(name) for name in ("shim.c", "cache.c", "cache.h")]


class Call(NamedTuple):
    """A call that changes something: its name, how many bytes, and the path."""

    name: str
    size: int
    path: str


def build() -> Path:
    """Return the library, compiled unless it was for these sources. Needs gcc."""
    stamp = sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()[:16]
    library = ROOT / "build" / f"shim-{stamp}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}")
        compiled = [str(source) for source in _SOURCES if source.suffix == ".c"]
        subprocess.run(
            [
                "gcc",
                "-shared",
                "-fPIC",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-o",
                made,
                *compiled,
                "-ldl",
                "-lpthread",
            ],
            check=True,
        )
        made.rename(library)
    return library


class Shim:
    """The shim in this process, which must have been started with it."""

    def __init__(self) -> None:
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        library.shim_struck.restype = library.shim_listed.restype = ctypes.c_char_p
        self._library = library

    def arm(self, root: Path, graveyard: Path, number: int, fault: str) -> None:
        """Let the ``number``-th call below ``root`` go wrong; 0 only lists them."""
        self._library.shim_arm(
            os.fsencode(root), os.fsencode(graveyard), ctypes.c_long(number), ctypes.c_char_p(fault.encode())
        )

    def disarm(self) -> None:
        self._library.shim_disarm()

    def cut(self) -> NoReturn:
        """Let the power fail now."""
        self._library.shim_cut()
        raise AssertionError

    def forget(self) -> None:
        self._library.shim_forget()

    def struck(self) -> Call | None:
        """Return the call that went wrong, in this process or in the last child."""
        line = os.fsdecode(self._library.shim_struck())
        return _call(line) if line else None

    def listed(self) -> list[Call]:
        return [_call(line) for line in os.fsdecode(self._library.shim_listed()).splitlines()]


def _call(line: str) -> Call:
    name, size, path = line.split(" ", 2)
    return Call(name, int(size), path)
