"""Requests: their bodies within a limit, their media types, and the few headers that mean something."""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from exequatur_log.publish.publication import Ack

from .problems import Problem, malformed

COSE: Final = "application/cose"
CBOR: Final = "application/cbor"
SECONDS: Final = 30


async def read(request: Request, media_type: str, most: int) -> bytes:
    """Return the body, of that media type and of at most ``most`` bytes; raise ``Problem``, without reading more.

    One that does not end in thirty seconds is given up, and its connection with it: it would be held for as long.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", f"send {media_type}")
    return await read_any(request, most)


async def read_any(request: Request, most: int) -> bytes:
    """Return the body of any media type, as ``read``."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError:
        detail = f"the body did not end within {SECONDS} seconds; send the request again"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "Request Timeout", detail, {"connection": "close"}) from None
    return b"".join(parts)


def deadline_of(request: Request) -> float | None:
    """Return the seconds within which the caller wants its answer (``Exequatur-Deadline``); raise ``Problem``."""
    text = request.headers.get("exequatur-deadline")
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
    text = request.headers.get("exequatur-ack", Ack.DURABLE)
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
    words = ",".join(request.headers.getlist("prefer")).split(",")
    return any(word.partition(";")[0].strip().lower() == "respond-async" for word in words)


def takes_gzip(request: Request) -> bool:
    """Say whether the caller accepts gzip (RFC 9110 §12.5.3)."""
    for item in ",".join(request.headers.getlist("accept-encoding")).lower().split(","):
        coding, _, rest = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            weight = rest.replace(" ", "").removeprefix("q=")
            return weight.strip("0.") != "" if rest else True
    return False


def _too_large(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Content Too Large", f"at most {most} bytes are taken")
