"""Start: fork a child, have its start recorded, and release it (specs/07).

    child   confines itself ─ ready ─┐          ┌─ limits, exec of the descriptor that was hashed
    gate    fork, pidfd ─────────────┴─ record ─┴─ exec seen, or the reason why not

What was not recorded never runs. Whatever goes wrong before exec is a ``StartError`` that says so, and the
child is gone then.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from exequatur_verifier.constraints import FROM_PATH, SEALED, Limits
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.host import Command, Image, UnmeasurableError, open_file

from .child import READY, SCRIPT_PATH, Launch, become
from .images import is_sealed, is_unchanged
from .limits import resource_bounds
from .process import Identity, identify

_SIGNALS: Final = [int(number) for number in signal.valid_signals()]


class StartError(ExequaturError):
    """The command was not started: nothing of it has run."""


class Plan(NamedTuple):
    """What the child becomes, and the files that are hashed again just before they run from their paths."""

    launch: Launch
    unsealed: tuple[tuple[Image, int], ...]


class Child(NamedTuple):
    """A child that runs the command: pid, a pidfd that the caller closes, its release by two clocks."""

    pid: int
    handle: int
    started_ms: int
    started: float


def plan(
    command: Command, limits: Limits, image: str, script: str, stdio: tuple[int, int, int], opened: ExitStack
) -> Plan:
    """Return how ``command`` starts in these forms; ``opened`` closes what it opens. Raise ``StartError``."""
    uids = os.getresuid()
    if {command.descriptor["uid"]} != set(uids):
        raise StartError(f"the command is bound to uid {command.descriptor['uid']}, and the gate has the uids {uids}")
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        raise StartError("SIGCHLD is ignored in this process, and the command's end could not be learnt")
    unsealed: list[tuple[Image, int]] = []
    executed = _hold(command.interpreter or command.executable, image, unsealed, opened)
    arguments, held = list(command.descriptor["args"]), None
    if command.interpreter is not None:
        held = _hold(command.executable, script, unsealed, opened)
        place = SCRIPT_PATH if script == SEALED else command.executable.path
        arguments[:1] = [*command.prefix, place]
    launch = Launch(
        image=executed,
        script=held if script == SEALED else None,
        arguments=arguments,
        environment=dict(command.descriptor["env"]),
        directory=_enter(command.descriptor["cwd"], opened),
        stdio=stdio,
        signals=[number for number in _SIGNALS if _is_ours(number)],
        bounds=resource_bounds(limits),
        parent=os.getpid(),
        prctl=_load_prctl(),
    )
    return Plan(launch, tuple(unsealed))


def start(prepared: Plan, record: Callable[[Identity], None]) -> Child:
    """Start a child and return it running; ``record`` makes the start durable, and may raise to prevent it.

    Raise ``StartError``, or what ``record`` raises.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        with failing("no child could be made"):
            wait, go = _pipe(theirs, ours)
            heard, report = _pipe(ours, theirs)
            pid = _fork(prepared.launch, wait, report)
        handle = -1
        try:
            theirs.close()
            with failing("the child cannot be watched"):
                handle = os.pidfd_open(pid)
                if os.read(heard, 1) != READY:
                    raise StartError(f"the child could not confine itself: {_read_all(heard)}")
                # Only now is it in a session of its own, which its identity names.
                identity = identify(pid)
            record(identity)
            with failing("the child could not be released"):
                _check_unchanged(prepared)
                started_ms, started = time.time_ns() // 1_000_000, time.monotonic()
                os.write(go, READY)
            if failure := _read_all(heard):
                raise StartError(f"the command could not be executed: {failure}")
        except BaseException:
            _abandon(pid, handle)
            raise
    return Child(pid, handle, started_ms, started)


@contextmanager
def failing(how: str) -> Iterator[None]:
    """Turn what the operating system refuses into a ``StartError`` that says ``how``."""
    try:
        yield
    except OSError as error:
        raise StartError(f"{how}: {error}") from error


def _check_unchanged(prepared: Plan) -> None:
    for image, descriptor in prepared.unsealed:
        if not is_unchanged(image, descriptor):
            raise StartError(f"{os.fsdecode(image.path)!r} was changed after it was measured")


def _fork(launch: Launch, wait: int, report: int) -> int:
    """Fork with all signals blocked, so that no handler of ours ever runs in the child."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            become(launch, mask, wait, report)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _abandon(pid: int, handle: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if handle >= 0:
        os.close(handle)


def _hold(image: Image, form: str, unsealed: list[tuple[Image, int]], opened: ExitStack) -> int:
    """Return the descriptor from which an image runs; an unsealed one will be hashed again."""
    if form == SEALED:
        if image.handle is None or not is_sealed(image.handle):
            raise StartError(f"{os.fsdecode(image.path)!r} was not measured as a sealed image")
        return image.handle
    if form != FROM_PATH:
        raise StartError(f"{form!r} is no form of execution that this gate knows")
    try:
        descriptor = open_file(image.path)
    except UnmeasurableError as error:
        raise StartError(str(error)) from None
    opened.callback(os.close, descriptor)
    unsealed.append((image, descriptor))
    return descriptor


def _enter(path: bytes, opened: ExitStack) -> int:
    """Return a descriptor of the bound directory, which no link may have replaced by another."""
    with failing(f"the directory {os.fsdecode(path)!r} cannot be entered"):
        directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        if os.readlink(f"/proc/self/fd/{directory}".encode()) != path:
            raise StartError(f"the directory {os.fsdecode(path)!r} was replaced by a link")
    return directory


def _is_ours(number: int) -> bool:
    """Say whether a command must not inherit what a signal does here: our handlers, and what Python ignores."""
    return callable(signal.getsignal(number)) or number in {signal.SIGPIPE, signal.SIGXFSZ}


def _load_prctl() -> Callable[[int, int], None]:
    """Return ``prctl`` of the C library; the standard library has no other way to it."""
    import ctypes

    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)

    def prctl(option: int, argument: int) -> None:
        if function(option, argument, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option} was refused")

    return prctl


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    source, target = os.pipe()
    reader.callback(os.close, source)
    writer.callback(os.close, target)
    return source, target


def _read_all(descriptor: int) -> str:
    text = b""
    while data := os.read(descriptor, 512):
        text += data
    return text.decode(errors="replace")
