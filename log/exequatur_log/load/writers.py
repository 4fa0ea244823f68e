"""Writers: they register fresh statements, one by one and in batches, and send again what was acknowledged before.

A statement that was sent is sent until the log has answered it, whatever broke meanwhile. About a quarter of what a
writer sends stands already: it must come back with the first receipt and location. Half of that is as young as it can
be, because that is what a log that crashed may have forgotten.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from exequatur_verifier import cbor, statement
from exequatur_verifier.errors import MalformedError

from .caller import Caller, UnansweredError, retry_after
from .client import Answer, Request
from .ledger import Acknowledged, Ledger
from .report import Tally
from .violation import Code, Violation

Make = Callable[[], bytes]

_COSE: Final = "application/cose"
_CBOR: Final = "application/cbor"
_YOUNG: Final = 64
# What a writer does, and how often, out of the sum of these.
_ACTS: Final = {"one": 40, "later": 10, "soon": 10, "again": 15, "many": 25}


class Sent(NamedTuple):
    """A statement that waits for its acknowledgement."""

    statement: bytes
    record: bytes


class Pace:
    """So many statements a second, of all writers together; ``None`` for as many as go."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._due = 0.0

    async def take(self, statements: int) -> None:
        """Wait until so many may be sent."""
        if self._per_second is None:
            return
        now = asyncio.get_running_loop().time()
        wait = max(0.0, self._due - now)
        self._due = now + wait + statements / self._per_second
        await asyncio.sleep(wait)


class Writer:
    """One writer. ``make`` signs a statement that was never sent before; ``batch`` is how many go together at most."""

    def __init__(
        self, caller: Caller, ledger: Ledger, tally: Tally, draw: random.Random, make: Make, batch: int, pace: Pace
    ) -> None:
        self._caller = caller
        self._ledger = ledger
        self._tally = tally
        self._draw = draw
        self._make = make
        self._batch = batch
        self._pace = pace
        # What has to be sent again, and what was answered 202, each with the time from which on it may be asked for.
        self._again: deque[Sent] = deque()
        self._promised: deque[tuple[float, Sent]] = deque()

    async def run(self, stop: asyncio.Event) -> None:
        """Write until told to stop, then get an answer to all that was sent and not answered."""
        while not stop.is_set():
            await self._attempt(self._act())
        while (self._promised or self._again) and not self._tally.enough:
            if not await self._attempt(self._catch_up()):
                break
        self._tally.unanswered += len(self._promised) + len(self._again)
        self._caller.close()

    async def _attempt(self, act: Coroutine[Any, Any, None]) -> bool:
        """Do something; note a violation, and say whether there was an answer at all."""
        try:
            await act
        except Violation as violation:
            self._tally.found(violation)
        except UnansweredError:
            return False
        return True

    async def _act(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._again or (self._promised and self._promised[0][0] <= now):
            await self._catch_up()
            return
        (act,) = self._draw.choices(list(_ACTS), list(_ACTS.values()))
        if act == "many":
            await self._register_many()
        elif act == "again" and self._ledger.entries:
            await self._pace.take(1)
            await self._register(self._standing(1)[0], "register again")
        else:
            await self._pace.take(1)
            (fresh,) = await self._fresh(1)
            if act == "later":
                await self._register(fresh, "register later", {"prefer": "respond-async"})
            elif act == "soon":
                seconds = f"{self._draw.uniform(0.5, 5):.3f}"
                await self._register(fresh, "register in time", {"exequatur-deadline": seconds})
            else:
                await self._register(fresh, "register")

    async def _catch_up(self) -> None:
        """Send one statement again that has no answer, or fetch one receipt that was promised."""
        if self._again:
            await self._register(self._again.popleft(), "register again")
            return
        due, sent = self._promised.popleft()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        location = f"/entries/{sent.record.hex()}"
        try:
            answer = await self._caller.call("fetch a promised receipt", Request("GET", location))
        except UnansweredError:
            self._again.append(sent)
            raise
        if answer.status == HTTPStatus.OK:
            self._acknowledge(sent, location, answer.body)
        elif answer.status == HTTPStatus.NO_CONTENT:
            self._promise(sent, answer)
        elif answer.status == HTTPStatus.NOT_FOUND:
            # A 202 promises nothing. Sent again, the statement is registered, or refused with the reason.
            self._again.append(sent)
        else:
            raise _unexpected(answer, sent)

    async def _register(self, sent: Sent, name: str, headers: dict[str, str] | None = None) -> None:
        request = Request("POST", "/entries", sent.statement, {"content-type": _COSE, **(headers or {})})
        try:
            answer = await self._caller.call(name, request)
        except UnansweredError:
            self._again.append(sent)
            raise
        if answer.status == HTTPStatus.ACCEPTED:
            self._promise(sent, answer)
        elif answer.status == HTTPStatus.CREATED:
            if "exequatur-ack" not in answer.headers:
                evidence = {"statement": sent.statement, "receipt": answer.body}
                raise Violation(Code.UNEXPECTED, "no level of acknowledgement is named", sent.record, evidence)
            self._acknowledge(sent, answer.headers.get("location", ""), answer.body)
        elif 400 <= answer.status < 500:
            raise _refused(sent, f"{answer.status} {answer.headers.get('exequatur-code', '')}", answer.body)
        else:
            raise _unexpected(answer, sent)

    async def _register_many(self) -> None:
        """Register a batch: fresh statements, some that stand already, and now and then one twice."""
        count = self._draw.randint(1, self._batch)
        await self._pace.take(count)
        batch = await self._fresh(count)
        batch += self._standing(count // 4)
        if self._draw.random() < 0.25:
            batch.append(self._draw.choice(batch))
        self._draw.shuffle(batch)
        body = cbor.encode([sent.statement for sent in batch])
        try:
            answer = await self._caller.call(
                "register a batch", Request("POST", "/entries/batch", body, {"content-type": _CBOR})
            )
        except UnansweredError:
            self._again.extend(batch)
            raise
        if answer.status != HTTPStatus.OK:
            raise _unexpected(answer, batch[0])
        try:
            described = cbor.decode(answer.body)
        except MalformedError:
            described = None
        if type(described) is not list or len(described) != len(batch):
            raise _unexpected(answer, batch[0])
        for sent, one in zip(batch, described, strict=True):
            try:
                self._take(sent, one)
            except Violation as violation:
                self._tally.found(violation)

    def _take(self, sent: Sent, described: object) -> None:
        """Take one answer of a batch."""
        match described:
            case {"status": 201, "location": str(location), "receipt": bytes(receipt)}:
                self._acknowledge(sent, location, receipt)
            case {"status": 429 | 503, "retry_after": str()}:
                self._tally.pushed_back += 1
                self._again.append(sent)
            case {"status": int(status), "title": str(), "detail": str(detail), "code": str(code)}:
                raise _refused(sent, f"{status} {code}", detail.encode())
            case _:
                raise Violation(Code.UNEXPECTED, f"an answer of a batch: {described!r}", sent.record)

    def _acknowledge(self, sent: Sent, location: str, receipt: bytes) -> None:
        if self._ledger.acknowledge(*sent, location, receipt):
            self._tally.acknowledged += 1
        else:
            self._tally.duplicates += 1

    def _promise(self, sent: Sent, answer: Answer) -> None:
        self._promised.append((asyncio.get_running_loop().time() + retry_after(answer), sent))

    async def _fresh(self, count: int) -> list[Sent]:
        """Return so many statements that were never sent, signed beside the event loop."""

        def make() -> list[Sent]:
            made = [self._make() for _ in range(count)]
            return [Sent(data, statement.parse(data).id) for data in made]

        return await asyncio.to_thread(make)

    def _standing(self, count: int) -> list[Sent]:
        """Return so many statements that were acknowledged, if any were."""
        entries: Sequence[Acknowledged] = self._ledger.entries
        young = entries[-_YOUNG:]
        found = [self._draw.choice(self._draw.choice((entries, young))) for _ in range(count if entries else 0)]
        return [Sent(entry.statement, entry.record) for entry in found]


def _refused(sent: Sent, what: str, body: bytes) -> Violation:
    evidence = {"statement": sent.statement, "answer": body}
    return Violation(Code.REFUSED, f"a valid statement is refused, {what}", sent.record, evidence)


def _unexpected(answer: Answer, sent: Sent) -> Violation:
    evidence = {"statement": sent.statement, "answer": answer.body}
    return Violation(Code.UNEXPECTED, f"registering is answered {answer.status}", sent.record, evidence)
