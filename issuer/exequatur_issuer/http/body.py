"""The body of a request: of one media type, and within a limit that holds before more of it is read."""

from http import HTTPStatus

from starlette.requests import Request

from .problems import Problem


async def read(
    request: Request, media_type: str, most: int, wrong: HTTPStatus = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
) -> bytes:
    """Return the body, of that media type and at most ``most`` bytes; raise ``Problem``, ``wrong`` for another type."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != media_type:
        raise Problem(wrong, f"send {media_type}")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem(HTTPStatus.BAD_REQUEST, "the connection ended before the body")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body here has at most {most} bytes")
