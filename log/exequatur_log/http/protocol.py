"""uvicorn's HTTP/1.1 by httptools, with bounds that it does not have: on the size of a request's head, and on its time.

The parser keeps what it is given until a head is complete, however much that is, and a connection that says nothing may
stay for ever. Here a head has 64 KiB and thirty seconds, the first one from the moment of the connection on, and so has
a body, whose size is bounded where it is read. Between requests uvicorn's own time for idle connections applies.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD: Final = 64 << 10
SECONDS: Final = 30.0
_HEAD: Final = b"HTTP/1.1 "
_INTERIM: Final = b"HTTP/1.1 1"


class _Joined:
    """A transport on which the head of an answer waits for the body behind it: one system call and packet, not two.

    uvicorn writes a head, and then a body, which may be empty. An interim answer has no body, and does not wait.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or keep what is a head."""
        if self._head or not data.startswith(_HEAD) or data.startswith(_INTERIM):
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._head = data

    def close(self) -> None:
        """Write what waits, and close."""
        self.write(b"")
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """One connection."""

    # Whether a head is being read, or a body; the how manieth head, and what came of it in pieces of its own.
    _in_head = True
    _in_body = False
    _heads = 0
    _size = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(cast("asyncio.Transport", _Joined(transport)))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a piece; give the connection up when the head that it belongs to is too long."""
        heads = self._heads
        super().data_received(data)
        # The piece that a head begins in holds other things too, and the system bounds it.
        self._size = self._size + len(data) if self._in_head and self._heads == heads else 0
        if self._size > MOST_HEAD and not self.transport.is_closing():
            self._give_up(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._timer is None and (self._in_body or (self._in_head and self._heads)):
            # Most requests come whole in one piece, and are not waited for.
            self._wait()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._heads += 1

    def on_headers_complete(self) -> None:
        """End a head, and begin a body."""
        self._end()
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a body, which may be empty."""
        self._end()
        self._in_body = False
        super().on_message_complete()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(SECONDS, self._give_up, HTTPStatus.REQUEST_TIMEOUT)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self, status: HTTPStatus) -> Any:
        self._end()
        # Who was answered before its body had ended has heard enough.
        if self._in_head or not self.cycle.response_started:
            lines = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(lines.encode())
        self.transport.close()
