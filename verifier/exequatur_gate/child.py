"""The child: what a new process does between fork and exec (specs/07).

It runs in a copy of the gate with every signal blocked, imports nothing, and ends in exec or in ``_exit``. It
confines itself in this order: its own session, death with the gate, stdio, no other descriptor, the bound
directory, default signals, no new privileges. Then it says that it is ready, and waits until the gate has
made its start durable: end of file there means that the gate is gone, and nothing is run. Resource limits
come last, since they bind the child's own steps too.
"""

import fcntl
import os
import resource
import signal
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, NoReturn

from .limits import ResourceLimit

READY: Final = b"+"
SCRIPT_DESCRIPTOR: Final = 3
SCRIPT_PATH: Final = b"/dev/fd/3"

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class Launch(NamedTuple):
    """What the child turns itself into.

    Numbers are descriptors of the gate, but for ``parent``, the gate's pid. ``signals`` get their default action.
    ``script`` is a sealed script, which stays open as ``/dev/fd/3``. ``prctl`` takes option and argument and raises
    ``OSError``.
    """

    image: int
    script: int | None
    arguments: list[bytes]
    environment: dict[bytes, bytes]
    directory: int
    stdio: tuple[int, int, int]
    signals: list[int]
    bounds: list[ResourceLimit]
    parent: int
    prctl: Callable[[int, int], None]


def become(launch: Launch, mask: Iterable[int], wait: int, report: int) -> NoReturn:
    """Turn this process into the command, or tell ``report`` which step failed, and end.

    ``mask`` are the signals to leave blocked; ``wait`` is read until the gate writes ``READY`` to its other
    end.
    """
    step = b"session"
    try:
        os.setsid()
        launch.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launch.parent:
            os._exit(126)  # The gate died before Linux could be told to take us along.
        step = b"descriptors"
        image, directory, wait, report = _place_descriptors(launch, wait, report)
        step = b"directory"
        os.fchdir(directory)
        os.close(directory)
        step = b"signals"
        for number in launch.signals:
            signal.signal(number, signal.SIG_DFL)
        step = b"no-new-privs"
        launch.prctl(_PR_SET_NO_NEW_PRIVS, 1)
        os.write(report, READY)
        if os.read(wait, 1) != READY:
            os._exit(126)
        step = b"limits"
        for number, bound in launch.bounds:
            resource.setrlimit(number, bound)
        step = b"exec"
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execve(image, launch.arguments, launch.environment)
    except BaseException as error:  # noqa: BLE001 - Nothing may escape into the copy of the gate that this process is.
        # Under a tight bound on memory there may be no room for words; the step alone is there already.
        os.write(report, step)
        os.write(report, f": {error}".encode(errors="replace")[:400])
    finally:
        os._exit(127)


def _place_descriptors(launch: Launch, wait: int, report: int) -> tuple[int, int, int, int]:
    """Put stdio at 0 to 2 and a script at 3, and close the rest; return where the four that stay are now."""
    # First everything moves out of the way, so that no dup2 overwrites what is still needed.
    scripts = () if launch.script is None else (launch.script,)
    placed = [_move_up(descriptor) for descriptor in (*launch.stdio, *scripts)]
    image, directory, wait, report = (_move_up(number) for number in (launch.image, launch.directory, wait, report))
    for number, descriptor in enumerate(placed):
        os.dup2(descriptor, number)
    keep = {*range(len(placed)), image, directory, wait, report}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            _close(int(name))
    return image, directory, wait, report


def _move_up(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, SCRIPT_DESCRIPTOR + 1)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # The listing's own descriptor is in the listing, and closed by now.
