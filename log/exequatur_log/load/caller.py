"""A client that does not give up: it sends a request until there is an answer, as whoever needs a receipt does.

A connection that breaks, an answer 429, and one of 502 to 504 are no violations. The request is sent again, after what
``Retry-After`` says, otherwise after a pause that doubles from 20 ms to a second, each drawn between its half and its
whole so that clients do not come back together.
"""

import asyncio
import random
import time
from http import HTTPStatus
from typing import Final

from .client import Answer, Connection, DisconnectedError, Place, Request
from .ledger import Acknowledged
from .report import Tally
from .violation import Code, Violation

_PASSING: Final = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_FIRST: Final = 0.02
_LONGEST: Final = 1.0


class UnansweredError(Exception):
    """There was no answer for as long as the caller was patient."""


class Caller:
    """One client with one connection. ``patience``: for how many seconds one request is repeated."""

    def __init__(self, place: Place, tally: Tally, draw: random.Random, patience: float) -> None:
        self._connection = Connection(place)
        self._tally = tally
        self._draw = draw
        self._patience = patience

    async def call(self, name: str, request: Request) -> Answer:
        """Return the answer to a request, which the tally counts under ``name``; raise ``UnansweredError``."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._patience, _FIRST
        while True:
            begun = time.perf_counter()
            delay = pause * self._draw.uniform(0.5, 1)
            try:
                answer = await self._connection.send(request)
            except DisconnectedError as error:
                self._tally.disconnected += 1
                why = str(error)
            else:
                if answer.status not in _PASSING:
                    self._tally.took(name, time.perf_counter() - begun)
                    return answer
                self._tally.pushed_back += 1
                delay = max(delay, retry_after(answer))
                why = f"{answer.status}, again and again"
            if loop.time() + delay > end:
                raise UnansweredError(why)
            await asyncio.sleep(delay)
            pause = min(2 * pause, _LONGEST)

    async def get(self, name: str, target: str, entry: Acknowledged | None = None) -> bytes:
        """Return what is found at a target, which is about an acknowledged entry or about the whole log.

        Raises ``Violation`` if nothing is found, and ``UnansweredError``.
        """
        answer = await self.call(name, Request("GET", target))
        if answer.status == HTTPStatus.OK:
            return answer.body
        code = Code.LOST if answer.status == HTTPStatus.NOT_FOUND else Code.UNEXPECTED
        evidence = {"answer": answer.body} | ({} if entry is None else {"receipt": entry.receipt})
        record = None if entry is None else entry.record
        raise Violation(code, f"GET {target} is answered {answer.status}", record, evidence)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def retry_after(answer: Answer) -> float:
    """Return the seconds that an answer asks to wait. A 429 of this log says so; others need not, or say a date."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Violation(Code.UNEXPECTED, "a 429 without Retry-After", evidence={"answer": answer.body})
    return 0.0
