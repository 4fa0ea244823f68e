"""What the benchmarks of serving share: servers in processes of their own, and a client that costs little.

The client is this process, and it shares the cores with the servers. It writes requests to open connections as bytes
and reads the answers, the same for whatever is compared.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_log.http import server
from exequatur_log.storage.place import Place, Postgres

_SERVE: Final = """
import asyncio, socket, sys, uvloop
from exequatur_log.http import server
from exequatur_log.storage import place
from tests.log import scene
listener = socket.socket(fileno=int(sys.argv[1]))
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    at = place.parse(sys.argv[2])
    runner.run(server.serve(at, scene.KEYS, listener, lambda _: None, clock=lambda: scene.NOW))
"""
COSE: Final = "application/cose"
CBOR: Final = "application/cbor"


class Served(NamedTuple):
    """A server that answers on ``port``."""

    port: int
    pid: int


@contextmanager
def log(place: Place) -> Iterator[Served]:
    """Serve the log at a place in a process of its own."""
    with process(["-c", _SERVE], place.url if isinstance(place, Postgres) else str(place)) as served:
        yield served


@contextmanager
def process(program: list[str], argument: str) -> Iterator[Served]:
    """Start a server that inherits a listening socket; connections wait until it is up."""
    with server.listen("127.0.0.1", 0) as listener:
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        port: int = listener.getsockname()[1]
        command = [sys.executable, *program, str(descriptor), argument]
        with subprocess.Popen(command, pass_fds=[descriptor]) as running:
            try:
                socket.create_connection(("127.0.0.1", port), 30).close()
                yield Served(port, running.pid)
            finally:
                running.terminate()


def request(target: str, body: bytes = b"", media_type: str = COSE) -> bytes:
    """Return a request as it is sent: a POST with a body, a GET without."""
    if not body:
        return f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def spread(ports: Sequence[int], requests: Sequence[bytes], clients: int) -> None:
    """Send requests over so many connections to these servers by turns, each connection one request at a time."""
    number = min(clients, len(requests))
    await asyncio.gather(*(_client(ports[at % len(ports)], requests[at::number]) for at in range(number)))


async def paced(ports: Sequence[int], requests: Sequence[bytes], clients: int, rate: float) -> list[float]:
    """Send so many requests a second, whatever the answers take; return the seconds from when each was due.

    A request waits for a free connection, and the wait counts.
    """
    begun = time.perf_counter()
    ways = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    for at in range(clients):
        ways.put_nowait(await asyncio.open_connection("127.0.0.1", ports[at % len(ports)]))
    begun = time.perf_counter()

    async def one(number: int) -> float:
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        way = await ways.get()
        await _exchange(*way, requests[number])
        ways.put_nowait(way)
        return time.perf_counter() - due

    seconds = await asyncio.gather(*(one(number) for number in range(len(requests))))
    while not ways.empty():
        ways.get_nowait()[1].close()
    return seconds


def cpu(*pids: int) -> float:
    """Return the processor seconds of these processes and of those that they started and still have."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ticks += round(sum(cpu(int(child)) for child in children) * os.sysconf("SC_CLK_TCK"))
    return ticks / os.sysconf("SC_CLK_TCK")


async def _client(port: int, requests: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for one in requests:
        await _exchange(reader, writer, one)
    writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
    writer.write(sent)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith((b"http/1.1 200", b"http/1.1 201")), head
    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
