"""Refusals as concise problem details (RFC 9290, specs/12 §3): title −1, detail −2, response code −4, and a denial.

A signed denial stands in a custom entry of the map, under ``urn:exequatur:problem:denial``: the decision as it was
logged, its receipt, and what is said of it to whoever asked.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from exequatur_issuer.identity.errors import CredentialError, EntitlementError, KeysUnavailableError
from exequatur_issuer.log import LogUnavailableError
from exequatur_verifier import cbor
from exequatur_verifier.errors import ExequaturError, MalformedError

from .desk import BusyError

_journal = logging.getLogger("exequatur.authority")

MEDIA_TYPE: Final = "application/concise-problem-details+cbor"
CODE_HEADER: Final = "Exequatur-Code"
DENIAL: Final = "urn:exequatur:problem:denial"
FRESH: Final = {"cache-control": "no-store"}
_TITLE: Final = -1
_DETAIL: Final = -2
_RESPONSE_CODE: Final = -4
_MOST_TEXT: Final = 2000
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="exequatur"'}
_AGAIN: Final = {"retry-after": "1"}

# What is refused without a decision (specs/09 §1, specs/03 §3.1) because of who asks, and because of what stands.
_FORBIDDEN: Final = frozenset(
    {
        "ACTION_NOT_ENROLLED",
        "DELEGATION_INVALID",
        "ISSUER_MISMATCH",
        "KEY_OUT_OF_RANGE",
        "KIND_NOT_ENROLLED",
        "MODE_NOT_PERMITTED",
        "RUNTIME_UNKNOWN",
        "SIGNATURE_INVALID",
        "UNKNOWN_KEY",
    }
)
_CONFLICTING: Final = frozenset({"CONFLICT", "EXPIRED"})


class Problem(Exception):  # noqa: N818  (an answer that is raised where the request turns out to be wrong)
    """A request that is answered with a problem: status, detail, code, further headers and entries."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        code: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        entries: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = dict(headers or {})
        self.entries = dict(entries or {})


def malformed(detail: str) -> Problem:
    """Return the problem of a request that is not one of this service's."""
    return Problem(HTTPStatus.BAD_REQUEST, detail, "MALFORMED")


def status_of(code: str) -> HTTPStatus:
    """Return the status of a refusal that rests on no decision."""
    if code in _CONFLICTING:
        return HTTPStatus.CONFLICT
    return HTTPStatus.FORBIDDEN if code in _FORBIDDEN else HTTPStatus.UNPROCESSABLE_ENTITY


def of_error(error: Exception) -> Problem:
    """Return the problem of an error. What it says of files, keys and hosts is for the operator alone."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return Problem(status, status.phrase, headers=dict(error.headers or {}))
    if isinstance(error, CredentialError):
        return Problem(HTTPStatus.UNAUTHORIZED, str(error), "CREDENTIAL_INVALID", headers=_CHALLENGE)
    if isinstance(error, EntitlementError):
        return Problem(HTTPStatus.FORBIDDEN, error.detail, error.code)
    if isinstance(error, BusyError):
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), "BUSY", headers=_AGAIN)
    if isinstance(error, MalformedError):
        return malformed(str(error))
    if isinstance(error, KeysUnavailableError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "UNAVAILABLE", headers=_AGAIN)
    if isinstance(error, ExequaturError | OSError):
        _journal.warning("unavailable", extra={"why": f"{type(error).__name__}: {error}"})
        away = isinstance(error, LogUnavailableError)
        who = "the log does not answer" if away else "the authority cannot answer now; its operator's journal says why"
        detail = f"{who}; sending the request again is safe"
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, "UNAVAILABLE", headers=_AGAIN)
    _journal.error("unforeseen", exc_info=error)
    detail = "this is a bug of the service; its operator's journal names it"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, "INTERNAL_ERROR")


def response(problem: Problem) -> Response:
    """Return a problem as it is sent."""
    body: dict[Any, Any] = {
        _TITLE: problem.status.phrase,
        _DETAIL: plain(problem.detail),
        _RESPONSE_CODE: int(problem.status),
        **problem.entries,
    }
    code = {} if problem.code is None else {CODE_HEADER: problem.code}
    return Response(cbor.encode(body), int(problem.status), {**FRESH, **code, **problem.headers}, MEDIA_TYPE)


def plain(text: str) -> str:
    """Return text of the profile whatever it quotes, cut to what fits a line or two."""
    text = text[:_MOST_TEXT]
    try:
        cbor.encode(text)
    except (ValueError, UnicodeEncodeError):
        return text.encode("ascii", "backslashreplace").decode()
    return text


Handler = Callable[[Request], Awaitable[Response]]


async def answered(handler: Handler, request: Request, answer: Callable[[Problem], Response] = response) -> Response:
    """Return what a handler answers, or the problem of whatever it raised."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001  # the edge of the service: nothing leaves it as a stack trace
        return answer(of_error(error))
