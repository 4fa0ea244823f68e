"""HTTP/1.1 over one connection that is kept: what the load tool sends and how it hears the answer.

It shares its cores with the server, so what it costs is taken from what is measured. ``httpx2`` was measured at 2.0 ms
of processor time a request, this at 0.2 ms, where signing a statement and checking its receipt cost 0.4 ms. Only the
connection is done by hand; the parsing is llhttp's, by ``httptools``.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools

_TIMEOUT: Final = 30.0
_MOST: Final = 64 << 20
_PIECE: Final = 1 << 18


class Request(NamedTuple):
    """A request: its method, its target (a path, with a query), its body and further headers."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Answer(NamedTuple):
    """An answer: its status, its headers by their names in lower case, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class DisconnectedError(OSError):
    """The connection did not last until the answer was there. Whether the request was heard is unknown."""


class Place(NamedTuple):
    """Where a server is: host, port, whether over TLS, and what stands before every path."""

    host: str
    port: int
    tls: bool
    prefix: str


def parse_url(url: str) -> Place:
    """Return the place that an ``http`` or ``https`` URL names; raise ``ValueError``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{url!r} is not the URL of a served log, like http://127.0.0.1:8080")
    tls = parts.scheme == "https"
    return Place(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))


class Connection:
    """One connection, opened when something is to be sent, for one request at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: Request) -> Answer:
        """Return the answer to a request. Raises ``DisconnectedError``, and then the next request begins anew."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._exchange(request)
        except (OSError, httptools.HttpParserError) as error:
            self.close()
            raise DisconnectedError(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection at once."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _exchange(self, request: Request) -> Answer:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            context = ssl.create_default_context() if self._place.tls else None
            self._reader, self._writer = await asyncio.open_connection(self._place.host, self._place.port, ssl=context)
        self._writer.write(self._encode(request))
        await self._writer.drain()
        heard = _Heard()
        parser = httptools.HttpResponseParser(heard)
        while not heard.complete:
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise ConnectionResetError("the connection ended before the answer did")
            parser.feed_data(piece)
            if heard.size > _MOST:
                raise ConnectionAbortedError(f"an answer of more than {_MOST} bytes")
        if not parser.should_keep_alive():
            self.close()
        return Answer(parser.get_status_code(), heard.headers, b"".join(heard.parts))

    def _encode(self, request: Request) -> bytes:
        place = self._place
        host = f"[{place.host}]" if ":" in place.host else place.host
        lines = [f"{request.method} {place.prefix}{request.target} HTTP/1.1", f"host: {host}:{place.port}"]
        lines += (f"{name}: {value}" for name, value in request.headers.items())
        if request.body or request.method == "POST":
            lines.append(f"content-length: {len(request.body)}")
        return "\r\n".join((*lines, "", "")).encode() + request.body


class _Heard:
    """What the parser calls, by the names that it wants."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.complete = True
