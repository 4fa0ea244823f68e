"""A process under the shim, warmed up, that forks one victim after another and reports what became of each."""

import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.data import ROOT
from tests.faults import shim
from tests.faults.shim import Call, Shim

LONGEST_S: Final = 60
KILLED: Final = -signal.SIGKILL

# How a victim says what it is answered.
Say = Callable[[Any], None]


class Arms(NamedTuple):
    """The fault that a victim is to meet."""

    shim: Shim
    root: Path
    graveyard: Path
    number: int
    fault: str

    def arm(self) -> None:
        self.shim.arm(self.root, self.graveyard, self.number, self.fault)

    def disarm(self) -> None:
        self.shim.disarm()

    def end(self) -> None:
        """Once the operation has been answered: let the power fail, if that is what is to happen."""
        if self.fault == "lost-cut":
            self.shim.cut()


class Fate(NamedTuple):
    """How a victim ended (as ``waitpid`` says: minus the signal), what it said, what went wrong, and all its calls."""

    status: int
    told: list[Any]
    struck: Call | None
    calls: list[Call]


class Nursery:
    """The forking process, seen from the test; close it. What power cuts take away is kept in ``folder`` meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        near, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from tests.faults.nursery import serve; serve({far.fileno()})"],
                env={**_quiet(), "LD_PRELOAD": str(shim.build())},
                cwd=ROOT,
                pass_fds=[far.fileno()],
            )
        self._pipe = Connection(near.detach())

    def run(self, work: Callable[..., None], root: Path, number: int, fault: str, *arguments: Any) -> Fate:
        """Fork a victim that does ``work`` while the ``number``-th call below ``root`` goes wrong; 0 is none."""
        graveyard = Path(tempfile.mkdtemp(dir=self._folder))
        return self._fork(work, (root, graveyard, number, fault), arguments)

    def run_on(self, work: Callable[..., None], number: int, fault: str, *arguments: Any) -> Fate:
        """Fork a victim that makes its ``number``-th call go wrong by itself; the shim only passes things on."""
        return self._fork(work, (self._folder, self._folder, number, fault), arguments)

    def _fork(self, work: Callable[..., None], arms: tuple[Any, ...], arguments: tuple[Any, ...]) -> Fate:
        self._pipe.send((work, arms, arguments))
        fate = self._pipe.recv()
        assert isinstance(fate, Fate)
        return fate

    def close(self) -> None:
        self._pipe.close()
        assert self._process.wait(LONGEST_S) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _quiet() -> dict[str, str]:
    # Measured for coverage, a victim would write files of its own.
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def serve(descriptor: int) -> None:
    """Fork a victim for each request, until the pipe is closed."""
    # Also what is imported only by who makes a log.
    for module in ("tests.faults.seam", "exequatur_log.storage.migrations"):
        importlib.import_module(module)
    gc.freeze()
    pipe, preloaded = Connection(descriptor), Shim()
    while True:
        try:
            work, arms, arguments = pipe.recv()
        except EOFError:
            return
        preloaded.forget()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                signal.alarm(LONGEST_S)
                work(Arms(preloaded, *arms), Connection(writer).send, *arguments)
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                # The threads of a log that could not be closed would keep the process for ever.
                os._exit(status)
        os.close(writer)
        told: list[Any] = []
        with Connection(reader) as listening:
            try:
                while True:
                    told.append(listening.recv())
            except EOFError:
                pass
        _, status = os.waitpid(child, 0)
        pipe.send(Fate(os.waitstatus_to_exitcode(status), told, preloaded.struck(), preloaded.listed()))
