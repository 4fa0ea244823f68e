"""A TCP proxy that spoils connections: between a client and the log, or between the log and its database.

    with Proxy(port) as proxy:                # forwards 127.0.0.1, proxy.port to that port of this machine
        proxy.spoil(Plan(answered=0))         # the target gets the request, and the client a reset for an answer
        proxy.cut()                           # resets every connection that is open now

Open connections obey a new plan too; its counts of bytes begin when it is set. After it has spoiled ``times``
connections, everything is forwarded again. ``spoiled`` counts all of them.
"""

import asyncio
import socket
import struct
import threading
from enum import Enum
from typing import NamedTuple, Self


class End(Enum):
    """How a spoiled connection ends."""

    RESET = "both sides are reset"
    CLOSE = "both sides are told that all has been said"
    HALF = "one side is told that nothing more comes, and the other direction goes on"
    STALL = "one side hears nothing more, and is not told"


class Plan(NamedTuple):
    """What happens to connections; by itself, nothing.

    delay      seconds before each piece is passed on
    refuse     new connections are reset
    sent       the connection ends when more than so many bytes go to the target; so many are passed on
    answered   likewise for what comes back
    after      it ends when the target says anything after it was sent these bytes; the answer is not passed on
    """

    delay: float = 0.0
    refuse: bool = False
    sent: int | None = None
    answered: int | None = None
    after: bytes | None = None
    end: End = End.RESET
    times: int = 1 << 30


class _Link:
    """One connection: its two sides, and what has passed since the plan was set."""

    def __init__(self, *sides: asyncio.StreamWriter) -> None:
        self.sides = sides
        self.begin(Plan())

    def begin(self, plan: Plan) -> None:
        self.plan, self.passed, self.tail, self.deaf = plan, [0, 0], b"", False

    def allow(self, piece: bytes, *, answer: bool) -> int:
        """Return how many bytes of a piece may pass."""
        if answer and self.deaf:
            return 0
        if not answer and self.plan.after is not None:
            self.deaf = self.deaf or self.plan.after in self.tail + piece
            self.tail = (self.tail + piece)[-len(self.plan.after) :]
        limit = self.plan.answered if answer else self.plan.sent
        allowed = len(piece) if limit is None else min(len(piece), limit - self.passed[answer])
        self.passed[answer] += allowed
        return allowed

    def end(self, how: End) -> None:
        for side in self.sides:
            if how is End.RESET and not side.is_closing():
                linger = struct.pack("ii", 1, 0)
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                side.transport.abort()
            side.close()


class Proxy:
    """Forwards to a port of this machine, in a thread of its own, as long as the context lasts."""

    def __init__(self, target: int) -> None:
        self.spoiled = 0
        self._target = target
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.spoil(Plan())

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def spoil(self, plan: Plan) -> None:
        """Set the plan; ``Plan()`` forwards everything again."""
        self._plan, self._left = plan, plan.times

    def cut(self) -> None:
        """Reset every open connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for link in tuple(self._links):
            link.end(End.RESET)

    async def _stop(self) -> None:
        self._server.close()
        self._cut()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            if self._plan.refuse:
                self._end(link, End.RESET)
                return
            answers, target = await asyncio.open_connection("127.0.0.1", self._target)
            link.sides = (writer, target)
            pumps = self._pump(link, reader, target, answer=False), self._pump(link, answers, writer, answer=True)
            await asyncio.gather(*pumps)
            link.end(End.CLOSE)
        except OSError:
            link.end(End.RESET)
        finally:
            self._links.discard(link)

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answer: bool
    ) -> None:
        whole = True
        while piece := await source.read(1 << 16):
            if not whole:
                continue
            if link.plan is not self._plan:
                link.begin(self._plan)
            await asyncio.sleep(link.plan.delay)
            allowed = link.allow(piece, answer=answer)
            sink.write(piece[:allowed])
            await sink.drain()
            whole = allowed == len(piece)
            if not whole:
                if link.plan.end is End.HALF:
                    sink.write_eof()
                self._end(link, link.plan.end)
        if whole and not sink.is_closing():
            sink.write_eof()

    def _end(self, link: _Link, how: End) -> None:
        self.spoiled += 1
        self._left -= 1
        if self._left <= 0:
            self.spoil(Plan())
        if how in (End.RESET, End.CLOSE):
            link.end(how)
