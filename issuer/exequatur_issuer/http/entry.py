"""What every surface does first: who asks, and how an answer is written."""

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from exequatur_issuer.identity.subject import Caller, Credentials

from .problems import FRESH

JSON = "application/json"


class Door:
    """Who asks, by the request's ``Authorization``, at the time of the clock."""

    def __init__(self, credentials: Credentials, clock: Callable[[], int]) -> None:
        self._credentials = credentials
        self._clock = clock

    async def caller(self, request: Request) -> Caller:
        """Return who asks. Raises what ``Credentials.identify`` raises. Keys may have to be fetched for it."""
        shown = request.headers.get("authorization")
        return await asyncio.to_thread(self._credentials.identify, shown, self._clock())


def json_response(value: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON that is ASCII, whatever it quotes."""
    return Response(json.dumps(value).encode(), int(status), {**FRESH, **(headers or {})}, JSON)
