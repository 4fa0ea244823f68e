"""A server on a free port of this machine that answers as it is told to: with any bytes, late, or without end."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple


class Asked(NamedTuple):
    """A request as it came: method, path, and body."""

    method: str
    path: str
    body: bytes


Behave = Callable[[Asked, socket.socket], object]


class Liar:
    """The server; close it. ``asked`` are the requests so far."""

    def __init__(self, behave: Behave) -> None:
        self.asked: list[Asked] = []
        self.headers: list[bytes] = []
        self._behave = behave
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection.makefile("rb") as stream:
            while line := stream.readline():
                method, path, _ = line.decode().split()
                length = 0
                while (header := stream.readline()) != b"\r\n":
                    self.headers.append(header.lower())
                    name, _, value = header.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                asked = Asked(method, path, stream.read(length))
                self.asked.append(asked)
                self._behave(asked, connection)


def answer(status: int, body: bytes = b"", media_type: str = "text/plain", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Word", f"content-length: {len(body)}", f"content-type: {media_type}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def size(number: int) -> bytes:
    return answer(409, b"%d\n" % number, "text/x.tlog.size")


def always(data: bytes) -> Behave:
    """Answer everything with these bytes."""
    return lambda _, connection: connection.sendall(data)


def in_turn(*answers: bytes) -> Behave:
    """Answer each request with the next of these, and the last for ever."""
    left = list(answers)

    def behave(_: Asked, connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave
