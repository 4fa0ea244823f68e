"""Refusals as concise problem details (RFC 9290, specs/10 §3): a CBOR map of title, detail and response code."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from exequatur_log.errors import (
    Code,
    Conflict,
    FatalLogError,
    LogError,
    NotFoundError,
    NotWitnessedError,
    Refused,
    StorageError,
    StoreError,
)
from exequatur_verifier import cbor, cose
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm

_journal = logging.getLogger("exequatur.http")

MEDIA_TYPE: Final = "application/concise-problem-details+cbor"
CODE_HEADER: Final = "Exequatur-Code"
_TITLE: Final = -1
_DETAIL: Final = -2
_RESPONSE_CODE: Final = -4
_PASSING: Final = {
    Code.BUSY: (HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests"),
    Code.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable"),
    Code.CLOCK_BEHIND: (HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable"),
    Code.CONFLICT: (HTTPStatus.CONFLICT, "Conflict"),
}


class Problem(Exception):  # noqa: N818  (an answer that is raised where the request turns out to be wrong)
    """A request that is answered with a problem: status, title, detail, and further headers."""

    def __init__(self, status: HTTPStatus, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}


def malformed(detail: str) -> Problem:
    """Return the problem of a request that is not one of this service's."""
    return Problem(HTTPStatus.BAD_REQUEST, "Malformed request", detail)


def not_found(detail: str) -> Problem:
    """Return the problem of something that is not here."""
    return Problem(HTTPStatus.NOT_FOUND, "Not Found", detail)


def response(problem: Problem) -> Response:
    """Return a problem as it is sent."""
    body = {_TITLE: problem.title, _DETAIL: problem.detail, _RESPONSE_CODE: int(problem.status)}
    headers = {"cache-control": "no-store", **problem.headers}
    return Response(cbor.encode(body), int(problem.status), headers, MEDIA_TYPE)


def of_refusal(refused: Refused, statement: bytes) -> Problem:
    """Return the problem of a statement that was not registered; its code is in the header ``Exequatur-Code``."""
    status, title = _PASSING.get(refused.code, (HTTPStatus.BAD_REQUEST, _title(refused.code, statement)))
    headers = {CODE_HEADER: str(refused.code)}
    if refused.retry_after is not None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        headers["retry-after"] = str(max(1, ceil(refused.retry_after or 1)))
    if isinstance(refused, Conflict):
        headers["location"] = f"/entries/{refused.leaf_index}"
    return Problem(status, title, refused.detail, headers)


def of_error(error: LogError) -> Problem:
    """Return the problem of an error of the log. What it says of files is for the operator alone."""
    if isinstance(error, NotFoundError):
        return not_found(str(error))
    if isinstance(error, FatalLogError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable", "the log has stopped; ask its operator")
    if isinstance(error, StorageError | StoreError):
        detail = "the log's storage does not answer; sending the request again is safe"
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable", detail, {"retry-after": "1"})
    if isinstance(error, NotWitnessedError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable", str(error), {"retry-after": "1"})
    return malformed(str(error))


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return response(error)


async def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LogError)
    problem = of_error(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _journal.warning("unavailable", extra={"why": str(error)})
    return response(problem)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return response(Problem(status, status.phrase, str(error.detail), dict(error.headers or {})))


async def _answer_bug(_: Request, error: Exception) -> Response:
    _journal.error("unforeseen", exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return response(Problem(status, status.phrase, "this is a bug of the service; its operator's journal names it"))


# How an application answers what is raised in it.
HANDLERS: Final[Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    Problem: _answer_problem,
    LogError: _answer_error,
    HTTPException: _answer_http,
    Exception: _answer_bug,
}


async def answered(handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Return what a handler answers, or the problem that it raised."""
    try:
        return await handler(request)
    except Exception as error:
        for kind, answer in HANDLERS.items():
            if isinstance(error, kind):
                return await answer(request, error)
        raise


def _title(code: Code, statement: bytes) -> str:
    """Return the title that SCRAPI has for a refusal."""
    if code not in (Code.MALFORMED, Code.UNSUPPORTED):
        return "Rejected"
    try:
        message = cose.decode(statement)
    except MalformedError:
        return "Malformed request"
    if message.headers.get(cose.ALGORITHM) not in set(Algorithm):
        return "Bad Signature Algorithm"
    if message.payload is None:
        return "Payload Missing"
    return "Rejected"
