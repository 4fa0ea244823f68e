"""Requests: their bodies within a limit, their media types, and the few headers that mean something.

The headers are read from the scope: Starlette's mapping of them is made anew for every request, for four questions.
"""

from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from exequatur_log.publish.publication import Ack

from .problems import Problem, malformed

COSE: Final = "application/cose"
CBOR: Final = "application/cbor"


async def read(request: Request, media_type: str, most: int) -> bytes:
    """Return the body, of that media type and of at most ``most`` bytes; raise ``Problem``, without reading more."""
    given = _field(request, b"content-type") or ""
    if given != media_type and given.partition(";")[0].strip().lower() != media_type:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", f"send {media_type}")
    return await read_any(request, most)


async def read_any(request: Request, most: int) -> bytes:
    """Return the body of any media type, as ``read``. That it ends in time is the protocol's care."""
    declared = _field(request, b"content-length") or ""
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem(HTTPStatus.BAD_REQUEST, "Bad Request", "the connection ended before the body")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def deadline_of(request: Request) -> float | None:
    """Return the seconds within which the caller wants its answer (``Exequatur-Deadline``); raise ``Problem``."""
    text = _field(request, b"exequatur-deadline")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise malformed("Exequatur-Deadline is a number of seconds above 0, at most 3600")
    return seconds


def ack_of(request: Request, levels: tuple[Ack, ...]) -> Ack:
    """Return the level of acknowledgement that the caller wants (``Exequatur-Ack``); raise ``Problem``."""
    text = _field(request, b"exequatur-ack")
    if text is None:
        return Ack.DURABLE
    if text not in levels:
        raise malformed(f"this service answers at the level {' or '.join(levels)}")
    return Ack(text)


def whole_number(request: Request, name: str) -> int:
    """Return a query parameter that is a whole number below 2^63; raise ``Problem``."""
    values = request.query_params.getlist(name)
    if len(values) != 1 or not values[0].isascii() or not values[0].isdecimal() or len(values[0]) > 19:
        raise malformed(f"the query parameter {name} is one whole number")
    number = int(values[0])
    if number >= 1 << 63:
        raise malformed(f"the query parameter {name} is below 2^63")
    return number


def prefers_async(request: Request) -> bool:
    """Say whether the caller wants to fetch its receipt later (RFC 7240, ``Prefer: respond-async``)."""
    words = (word for text in _fields(request, b"prefer") for word in text.split(","))
    return any(word.partition(";")[0].strip().lower() == "respond-async" for word in words)


def takes_gzip(request: Request) -> bool:
    """Say whether the caller accepts gzip (RFC 9110 §12.5.3)."""
    for item in ",".join(_fields(request, b"accept-encoding")).lower().split(","):
        coding, _, rest = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            weight = rest.replace(" ", "").removeprefix("q=")
            return weight.strip("0.") != "" if rest else True
    return False


def _fields(request: Request, name: bytes) -> list[str]:
    """Return every value of a header, whose name is in lower case."""
    return [value.decode("latin-1") for field, value in request.scope["headers"] if field == name]


def _field(request: Request, name: bytes) -> str | None:
    """Return the first value of a header."""
    values = _fields(request, name)
    return values[0] if values else None


def _too_large(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Content Too Large", f"at most {most} bytes are taken")
