"""Execution: run exactly what was measured, under its limits, and say what happened (specs/07).

The gate starts the child (``start``), passes its output on, watches the clock and forwards signals until it
ends; then it kills what is left of the child's session. When the gate dies, Linux kills the child; what that
had started itself is found again by ``process.kill_identity``. Stated limits: a process that leaves the
session is not followed; a command has no controlling terminal, so job control and what asks for passwords on
/dev/tty do not work; the peak of resident memory includes the gate's own copy before exec.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Any, Final, Literal, NamedTuple, Self

from exequatur_verifier.constraints import SEALED, Limits
from exequatur_verifier.host import Command
from exequatur_verifier.records import Resources

from .limits import breach
from .output import Output, Relay, Stream
from .process import Identity, kill_session
from .start import Child, failing, plan, start

UNLIMITED: Final = Limits()

_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH)


class Result(NamedTuple):
    """What happened, from which an outcome record is written.

    ``status`` is "killed" when the gate ended it because of a limit. Times are unix milliseconds; an output
    is ``None`` for a terminal. ``violations`` name limits: "wall", "output", "cpu", "file-size".
    ``leftovers`` counts the processes that the command left behind in its session and that were killed;
    ``swept`` says whether none of them is left.
    """

    status: Literal["exited", "signaled", "killed"]
    code: int | None
    signal: int | None
    started_ms: int
    ended_ms: int
    stdout: Output | None
    stderr: Output | None
    resources: Resources
    violations: tuple[str, ...]
    leftovers: int
    swept: bool


def execute(
    command: Command,
    *,
    record: Callable[[Identity], None],
    limits: Limits = UNLIMITED,
    image: str = SEALED,
    script: str = SEALED,
    stdio: tuple[int, int, int] = (0, 1, 2),
) -> Result:
    """Run a command measured with ``images.seal``; return when it has ended and its session is empty.

    ``record`` is given the child's identity and makes the start durable; when it raises, nothing runs and its
    error is passed on. ``image`` and ``script`` are the forms that the authorization allows, "sealed" or
    "path". ``stdio`` are descriptors of the gate. SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGWINCH are forwarded
    when this is the main thread.

    Raise ``StartError``. The caller still closes ``command``.
    """
    with ExitStack() as opened, _Signals() as signals:
        with ExitStack() as theirs:
            with failing("the gate's own streams cannot be used"):
                streams, inner = _connect(stdio, limits, opened, theirs)
            prepared = plan(command, limits, image, script, inner, opened)

            def record_and_aim(identity: Identity) -> None:
                record(identity)
                signals.aim(identity.pid)

            child = start(prepared, record_and_aim)
        opened.callback(os.close, child.handle)
        return _watch(child, streams, limits, signals)


def _watch(child: Child, streams: Sequence[Stream | None], limits: Limits, signals: "_Signals") -> Result:
    """Stand by a running child until it has ended, and clear up after it."""
    relay = Relay([stream for stream in streams if stream is not None], limits.output)
    deadline = None if limits.wall_ms is None else child.started + limits.wall_ms / 1000
    try:
        relay.run(child.handle, deadline, lambda: os.killpg(child.pid, signal.SIGKILL))
    finally:
        # The child is not reaped yet, so its number means its own session and nobody else's; also when the
        # relay has failed.
        wall_us, ended_ms = int((time.monotonic() - child.started) * 1_000_000), time.time_ns() // 1_000_000
        leftovers, swept = kill_session(child.pid)
        signals.aim(None)
        _, status, usage = os.wait4(child.pid, 0)
    relay.drain(signals.end_is_wanted)
    resources = Resources(
        wall_us=wall_us,
        user_us=int(usage.ru_utime * 1_000_000),
        system_us=int(usage.ru_stime * 1_000_000),
        max_rss_kib=usage.ru_maxrss,
    )
    died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    killed = relay.killed and died_of == signal.SIGKILL
    resource = None if killed else breach(limits, died_of, resources.user_us + resources.system_us)
    stdout, stderr = (None if stream is None else stream.output for stream in streams)
    return Result(
        status="killed" if killed else "exited" if died_of is None else "signaled",
        code=os.WEXITSTATUS(status) if died_of is None else None,
        signal=died_of,
        started_ms=child.started_ms,
        ended_ms=ended_ms,
        stdout=stdout,
        stderr=stderr,
        resources=resources,
        violations=(*relay.breaches, *filter(None, (resource,))),
        leftovers=leftovers,
        swept=swept,
    )


def _connect(
    stdio: tuple[int, int, int], limits: Limits, ours: ExitStack, theirs: ExitStack
) -> tuple[list[Stream | None], tuple[int, int, int]]:
    """Return our streams for stdout and stderr (``None`` for a terminal), and the child's stdio."""
    streams: list[Stream | None] = []
    inner = [stdio[0]]
    for sink in stdio[1:]:
        if limits.output is None and os.isatty(sink):
            streams.append(None)
            inner.append(sink)
            continue
        source, target = os.pipe()
        theirs.callback(os.close, target)
        try:
            stream = Stream(source, sink)
        except OSError:
            os.close(source)
            raise
        ours.callback(stream.close)
        streams.append(stream)
        inner.append(target)
    return streams, (inner[0], inner[1], inner[2])


class _Signals:
    """Signals to the gate: they do not end it while a command runs, and are handed to the command's group.

    Those that arrive before there is a group wait for it. In a thread other than the main one nothing is
    done: handlers are not such a thread's to set.
    """

    def __init__(self) -> None:
        self._group: int | None = None
        self._received: list[int] = []
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals."""
        try:
            # A parent that ignored SIGCHLD has left us so, and Linux would throw the child's status away.
            self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            return self  # Only the main thread may set handlers.
        for number in _FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def aim(self, group: int | None) -> None:
        """Forward to this process group from now on, what has been waiting included; ``None`` ends it."""
        self._group = group
        waiting, self._received = self._received, []
        if group is not None:
            for number in waiting:
                os.killpg(group, number)

    def end_is_wanted(self) -> bool:
        """Say whether a signal other than a change of window size has come since the last ``aim``."""
        return any(number != signal.SIGWINCH for number in self._received)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._group is None:
            self._received.append(number)
        else:
            os.killpg(self._group, number)
