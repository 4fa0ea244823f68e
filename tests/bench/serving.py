"""Serving: the log over HTTP against a bare FastAPI echo and static files, on the same server and the same cores.

Both servers are processes of their own; the client is this process, and it shares the cores with them. It writes
requests to open connections as bytes and reads the answers, which costs it little, and the same for both.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exequatur_log.http import server
from tests.bench.rounds import alternate
from tests.bench.table import Row, Target, cost, rate
from tests.log import scene

SUBJECT: Final = "the log over HTTP, client on the same cores"
_SERVE: Final = """
import asyncio, socket, sys, uvloop
from pathlib import Path
from exequatur_log.http import server
from tests.log import scene
listener = socket.socket(fileno=int(sys.argv[1]))
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(server.serve(Path(sys.argv[2]), scene.KEYS, listener, lambda _: None, clock=lambda: scene.NOW))
"""


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of serving."""
    path, static = folder / "log.db", folder / "static"
    static.mkdir()
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(600)])
        (static / "tile").write_bytes(log.tile(0, 0))
    with (
        _process(["-c", _SERVE], str(path)) as ours,
        _process(["-m", "tests.bench.echo"], str(static)) as bare,
        asyncio.Runner() as runner,
    ):

        def send(port: int, target: str, bodies: Sequence[bytes], clients: int) -> None:
            runner.run(_spread(port, target, bodies, clients))

        rounds, count = (2, 500) if quick else (6, 2000)
        rows: list[Row] = []
        for clients in (64, 256):
            batches = [[scene.request() for _ in range(count)] for _ in range(rounds)]
            rows.append(_singles(batches, clients, _to(send, ours, "/entries"), _to(send, bare, "/echo")))
        tile, file = alternate(
            rounds,
            count,
            lambda _: send(ours, "/tile/0/000", [b""] * count, 64),
            lambda _: send(bare, "/static/tile", [b""] * count, 64),
        )
        rows.append(
            rate(
                SUBJECT,
                "full tiles a second, against a static file",
                tile,
                file,
                target=Target("≥", 0.8),
                statistic="best",
            )
        )
        waits = 50 if quick else 200
        idle = [scene.request() for _ in range(waits)]
        answered, echoed = alternate(
            waits,
            1,
            lambda number: send(ours, "/entries", [idle[number]], 1),
            lambda number: send(bare, "/echo", [idle[number]], 1),
        )
        name = "submit to receipt, idle, connection included, against the echo"
        rows.append(cost(SUBJECT, name, answered, echoed, "ms", target=Target("≤", 10, "measured"), statistic="p50"))
        rows.append(cost(SUBJECT, name, answered, echoed, "ms", statistic="p99"))
        return rows


Send = Callable[[int, str, Sequence[bytes], int], None]


def _to(send: Send, port: int, target: str) -> Callable[[Sequence[bytes], int], None]:
    return lambda bodies, clients: send(port, target, bodies, clients)


def _singles(
    batches: Sequence[Sequence[bytes]],
    clients: int,
    ours: Callable[[Sequence[bytes], int], None],
    bare: Callable[[Sequence[bytes], int], None],
) -> Row:
    registered, echoed = alternate(
        len(batches),
        len(batches[0]),
        lambda number: ours(batches[number], clients),
        lambda number: bare(batches[number], clients),
    )
    return rate(
        SUBJECT,
        f"registrations a second, one a request, {clients} clients, against a FastAPI echo",
        registered,
        echoed,
        target=Target("≥", 0.45),
        statistic="best",
    )


async def _spread(port: int, target: str, bodies: Sequence[bytes], clients: int) -> None:
    await asyncio.gather(*(_client(port, target, bodies[start::clients]) for start in range(min(clients, len(bodies)))))


async def _client(port: int, target: str, bodies: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        writer.write(_request(target, body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 201")), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()


def _request(target: str, body: bytes) -> bytes:
    if not body:
        return f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: application/cose\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def _process(program: list[str], argument: str) -> Iterator[int]:
    """Start a server that inherits a listening socket, and yield its port; connections wait until it is up."""
    with server.listen("127.0.0.1", 0) as listener:
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        port: int = listener.getsockname()[1]
        command = [sys.executable, *program, str(descriptor), argument]
        with subprocess.Popen(command, pass_fds=[descriptor]) as process:
            try:
                socket.create_connection(("127.0.0.1", port), 30).close()
                yield port
            finally:
                process.terminate()
