"""The sequencer: group commit. It takes whatever is there, and never waits for more to come (specs/03 §3).

Two stages run side by side: while one batch is being committed, the next is parsed and its signatures
checked, which hides what the disk takes. A caller hands in a ticket, one or many statements, and is answered
when they are durable and provable. A caller that gives up does not disturb the batch: a statement that was
taken is registered, and sending it again returns its receipt.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final, NamedTuple

from .batch import Answer, Appender
from .errors import Code, FatalLogError, Refused, StorageError
from .intake import Checked, Intake
from .observe import Observe

MAX_BATCH: Final = 4096
MAX_WAITING: Final = 16_384
# A large call is cut into tickets, so that it shares batches with others.
_TICKET: Final = 1024
# So few statements cost a commit less than the commit itself does.
_FEW: Final = 128


class _Ticket(NamedTuple):
    statements: Sequence[bytes]
    answers: asyncio.Future[list[Answer]]
    since: float
    due: float | None


class _Handed(NamedTuple):
    """Tickets whose statements have been checked, since when that was under way."""

    tickets: list[_Ticket]
    checked: list[Checked | Refused]
    begun: float


class Sequencer:
    """One queue, one appender. Needs a running event loop from construction to ``close``."""

    def __init__(self, intake: Intake, appender: Appender, observe: Observe) -> None:
        self._intake = intake
        self._appender = appender
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Ticket] = deque()
        self._count = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._fatal: FatalLogError | None = None
        # How long a batch has taken of late, in seconds; the start is a guess that the first batches correct.
        self._pace = 0.005
        # What has been checked and waits for the commit under way: one batch at most, however many pieces it came in.
        self._handed: deque[_Handed] = deque()
        self._ready, self._room = asyncio.Event(), asyncio.Event()
        self._checked_all = False
        # How many statements are being checked now.
        self._checking = 0
        self._stages = [asyncio.create_task(self._check()), asyncio.create_task(self._commit())]

    async def register(self, statement: bytes, deadline: float | None) -> Answer:
        """Return the answer to one statement, within ``deadline`` seconds if one is given."""
        busy = self.busy(1, deadline)
        if busy is not None:
            return busy
        due = None if deadline is None else self._loop.time() + deadline
        return (await self._enqueue([statement], due))[0]

    async def register_many(self, statements: Sequence[bytes], *, waits: bool, deadline: float | None) -> list[Answer]:
        """Return the answer to each statement, in order.

        Waits for room in the queue; or else, and with a deadline, raises ``Refused`` if ``busy``.
        """
        refused = None if waits and deadline is None else self.busy(len(statements), deadline)
        if refused is not None:
            raise refused
        tickets: list[asyncio.Future[list[Answer]]] = []
        for start in range(0, len(statements), _TICKET):
            part = statements[start : start + _TICKET]
            while self._count + len(part) > MAX_WAITING:
                await asyncio.wait([self._waiting[0].answers])
            tickets.append(self._enqueue(part, None))
        return list(chain.from_iterable(await asyncio.gather(*tickets)))

    def busy(self, statements: int, deadline: float | None) -> Refused | None:
        """Say why so many statements are not taken now: there is no room, or they would be late; else ``None``."""
        expected = self._pace * (2 + (self._count + statements - 1) // MAX_BATCH)
        if self._count + statements > MAX_WAITING:
            return Refused(Code.BUSY, "the queue of the log is full; send it again later", retry_after=expected)
        if deadline is not None and expected > deadline:
            detail = f"the log needs about {expected:.3f} s now; send it again later"
            return Refused(Code.BUSY, detail, retry_after=expected)
        return None

    @property
    def waiting(self) -> int:
        """How many statements wait to be taken into a batch."""
        return self._count

    @property
    def fatal(self) -> FatalLogError | None:
        """What stopped the log, if anything did."""
        return self._fatal

    def stop(self, error: FatalLogError) -> None:
        """Register nothing any more, for a reason that was found elsewhere."""
        self._stop((), error)

    async def close(self) -> None:
        """Refuse what comes from now on, finish what is waiting, and end."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._stages)
        self._intake.close()

    def _enqueue(self, statements: Sequence[bytes], due: float | None) -> asyncio.Future[list[Answer]]:
        if self._fatal is not None:
            raise self._fatal
        if self._closing:
            raise ValueError("the log is closed")
        ticket = _Ticket(statements, self._loop.create_future(), self._loop.time(), due)
        self._waiting.append(ticket)
        self._count += len(statements)
        self._wake.set()
        return ticket.answers

    def _take(self) -> list[_Ticket]:
        """Return the tickets of the next batch, without those whose callers have given up or ran out of time."""
        taken: list[_Ticket] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].statements) <= MAX_BATCH):
            ticket = self._waiting.popleft()
            self._count -= len(ticket.statements)
            if ticket.answers.done():
                continue
            if ticket.due is not None and self._loop.time() > ticket.due:
                late = Refused(Code.BUSY, "the deadline passed while it waited; send it again", retry_after=self._pace)
                ticket.answers.set_result([late] * len(ticket.statements))
                continue
            taken.append(ticket)
            size += len(ticket.statements)
        if not self._waiting:
            self._wake.clear()
        return taken

    async def _check(self) -> None:
        """The first stage: take what is waiting, parse it, check its signatures."""
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            if not (tickets := self._take()):
                continue
            begun = self._loop.time()
            statements = [item for ticket in tickets for item in ticket.statements]
            self._observe("wait", begun - tickets[0].since, len(statements))
            self._checking = len(statements)
            handed: _Handed | None = None
            try:
                with _uncollected():
                    checked = await self._intake.check(statements)
            except StorageError as error:
                self._refuse(tickets, error)
            except Exception as error:  # noqa: BLE001  (the edge of the log: the unforeseen stops it, and all are told)
                self._stop(tickets, error)
            else:
                self._observe("check", self._loop.time() - begun, len(checked))
                handed = _Handed(tickets, checked, begun)
            self._checking = 0
            if handed is not None:
                await self._hand(handed)
            self._ready.set()
        self._checked_all = True
        self._ready.set()

    async def _hand(self, handed: _Handed) -> None:
        """Add to what the next commit takes, once there is room for it."""
        while self._handed and self._handed_count() + len(handed.checked) > MAX_BATCH:
            self._room.clear()
            self._ready.set()
            await self._room.wait()
        self._handed.append(handed)

    def _handed_count(self) -> int:
        return sum(len(one.checked) for one in self._handed)

    async def _commit(self) -> None:
        """The second stage: register all that has been checked by now in one batch, and answer."""
        while not self._checked_all or self._handed:
            await self._ready.wait()
            self._ready.clear()
            if not self._handed:
                continue
            if self._checking and self._handed_count() + self._checking <= _FEW:
                # They will be here before a commit without them is, and with them it costs hardly more.
                await self._ready.wait()
                self._ready.clear()
            pieces = list(self._handed)
            self._handed.clear()
            self._room.set()
            tickets = [ticket for piece in pieces for ticket in piece.tickets]
            checked = [item for piece in pieces for item in piece.checked]
            taken, begun = self._loop.time(), pieces[0].begun
            try:
                if self._fatal is not None:
                    raise self._fatal
                with _uncollected():
                    answers = await self._appender.register(checked)
            except StorageError as error:
                self._refuse(tickets, error)
                continue
            except Exception as error:  # noqa: BLE001  (as above)
                self._stop(tickets, error)
                continue
            self._observe("commit", self._loop.time() - taken, len(checked))
            self._pace += (self._loop.time() - begun - self._pace) / 8
            start = 0
            for ticket in tickets:
                end = start + len(ticket.statements)
                if not ticket.answers.done():
                    ticket.answers.set_result(answers[start:end])
                start = end

    def _refuse(self, tickets: Sequence[_Ticket], error: StorageError) -> None:
        for ticket in tickets:
            if not ticket.answers.done():
                refusal = Refused(Code.UNAVAILABLE, f"{error}; sending it again is safe", retry_after=1.0)
                ticket.answers.set_result([refusal] * len(ticket.statements))

    def _stop(self, tickets: Sequence[_Ticket], error: Exception) -> None:
        if not isinstance(error, FatalLogError):
            fatal = FatalLogError(f"the log stopped at an unforeseen error: {error!r}; run fsck")
            fatal.__cause__ = error
        else:
            fatal = error
        self._fatal = fatal
        for ticket in (*tickets, *self._waiting):
            if not ticket.answers.done():
                ticket.answers.set_exception(fatal)
        self._count -= sum(len(ticket.statements) for ticket in self._waiting)
        self._waiting.clear()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the cyclic collector from walking the thousands of parsed statements of a batch, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
