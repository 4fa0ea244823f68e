"""Output: what a command writes, on its way through the gate, hashed and counted (specs/07).

A terminal is handed to the command itself, so that it behaves as it always does there, and nothing is
recorded of what it shows; unless an output limit makes the gate stand between. Everything else is a pipe that
``Relay`` empties: into the gate's own stream, no faster than that takes it, while the clock of the wall limit
runs on. The two streams are two pipes, so when both lead to one place their order there may differ by a
little.
"""

import fcntl
import hashlib
import os
import select
import stat
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

Breach = Literal["wall", "output"]

_CHUNK: Final = 1 << 16
# A reader who takes nothing is asked again this often, so that a signal to the gate can end the waiting.
_PATIENCE_MS: Final = 200


class Output(NamedTuple):
    """What a command wrote to one stream: SHA-256 and number of bytes, whoever read them."""

    digest: bytes
    size: int


class Stream:
    """One stream: ``source`` is the pipe that the command fills, ``sink`` is where that goes.

    ``pending`` was read from the one and not yet written to the other. A stream owns the source, and never
    the sink that it was given.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink, self._owned, self._slice = _open_sink(sink)
        self.pending = b""
        self.at_end = False
        self._hasher = hashlib.sha256()
        self._size = 0
        os.set_blocking(source, False)

    @property
    def output(self) -> Output:
        """What was taken so far."""
        return Output(self._hasher.digest(), self._size)

    def read(self, budget: int | None) -> int:
        """Take at most ``budget`` bytes of what waits; return how many there were, at most one more."""
        try:
            data = os.read(self.source, _CHUNK if budget is None else min(budget + 1, _CHUNK))
        except BlockingIOError:
            return 0
        self.at_end = not data
        self.pending = data if budget is None else data[:budget]
        self._hasher.update(self.pending)
        self._size += len(self.pending)
        return len(data)

    def write(self) -> None:
        """Write what the sink takes now; when it fails, close the pipe, as the command would find it."""
        try:
            self.pending = self.pending[os.write(self.sink, self.pending[: self._slice]) :]
        except BlockingIOError:
            return
        except OSError:
            self.pending, self.at_end = b"", True
            self.close()

    def close(self) -> None:
        """Close what this stream owns; a second time does nothing."""
        if self.source >= 0:
            os.close(self.source)
            self.source = -1
            if self._owned:
                os.close(self.sink)


class Relay:
    """The streams of one execution, the bytes that they may still take, and the limits that were breached."""

    def __init__(self, streams: Sequence[Stream], limit: int | None) -> None:
        self.streams = streams
        self.breaches: list[Breach] = []
        self.killed = False
        self._budget = limit

    def run(self, process: int, deadline: float | None, kill: Callable[[], None]) -> None:
        """Pass output on until the process behind the pidfd ``process`` has ended.

        At ``deadline`` (seconds of ``time.monotonic``), and at the first byte beyond the limit, ``kill`` is
        called and the breach is noted. Nothing beyond the limit is passed on.
        """
        while True:
            poller = select.poll()
            poller.register(process, select.POLLIN)
            for stream in self.streams:
                if stream.pending:
                    poller.register(stream.sink, select.POLLOUT)
                elif self._may_take(stream):
                    poller.register(stream.source, select.POLLIN)
            timeout = None if deadline is None or self.killed else max(0.0, deadline - time.monotonic()) * 1000
            ready = {number for number, _ in poller.poll(timeout)}
            if process in ready:
                return
            for stream in self.streams:
                if stream.pending and stream.sink in ready:
                    stream.write()
                elif not stream.pending and stream.source in ready:
                    self._take(stream)
            if deadline is not None and time.monotonic() >= deadline and not self.killed:
                self.breaches.append("wall")
            if self.breaches and not self.killed:
                self.killed = True
                kill()

    def drain(self, is_stopped: Callable[[], bool]) -> None:
        """Pass on what the pipes still hold after the command's end.

        It waits for slow readers until ``is_stopped``, though not for long after a limit was breached, and never
        for writers. A process that left the session may still hold a pipe and fill it for ever, so no more is
        taken than a pipe can hold.
        """
        for stream in self.streams:
            left = 0 if stream.source < 0 else fcntl.fcntl(stream.source, fcntl.F_GETPIPE_SZ)
            while not is_stopped():
                if stream.pending:
                    poller = select.poll()
                    poller.register(stream.sink, select.POLLOUT)
                    if poller.poll(_PATIENCE_MS):
                        stream.write()
                    elif self.killed:
                        break
                elif left > 0 and self._may_take(stream) and (count := self._take(stream)):
                    left -= count
                else:
                    break

    def _may_take(self, stream: Stream) -> bool:
        return not stream.at_end and "output" not in self.breaches

    def _take(self, stream: Stream) -> int:
        """Read from a stream within the budget; return how many bytes there were, and note too many."""
        count = stream.read(self._budget)
        if self._budget is not None:
            if count > self._budget:
                self.breaches.append("output")
            self._budget = max(0, self._budget - count)
        return count


def _open_sink(sink: int) -> tuple[int, bool, int]:
    """Return a descriptor that does not block, whether it is ours to close, and how much to write at once.

    Setting O_NONBLOCK on the stream itself would set it for everybody who shares it, the user's shell
    included. Where it cannot be opened a second time, writes are so small that one which ``poll`` announced
    does not block on a pipe.
    """
    mode = os.fstat(sink).st_mode
    if stat.S_ISREG(mode):
        return sink, False, _CHUNK
    if stat.S_ISFIFO(mode) or os.isatty(sink):
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            return os.open(f"/proc/self/fd/{sink}", flags), True, _CHUNK
        except OSError:
            pass  # It belongs to another user, for one.
    return sink, False, select.PIPE_BUF
