"""Publication: what makes a head public, beside the sequencer and never in its way (specs/10 §9).

Round after round, for the newest head:

    witnesses cosign its checkpoint                        where the operator named witnesses
    tiles, bundles and the checkpoint are copied           where there is a store
    the checkpoint is the one that is shown, and whoever waits for a level is told

A round takes whatever the head is by then, so a busy log publishes some heads and not all. What fails is tried again,
later each time; what contradicts the published history stops the log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from enum import StrEnum
from typing import Final, NamedTuple

from exequatur_log.batch import Clock
from exequatur_log.errors import FatalLogError, LogError, NotWitnessedError
from exequatur_log.head import SignedHead, WitnessedHead
from exequatur_log.log import Log
from exequatur_log.observe import Observe

_journal = logging.getLogger("exequatur.publication")
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class Ack(StrEnum):
    """How far a registration got; each level has what the ones before it have."""

    DURABLE = "durable"  # committed, integrated, under a signed head
    PUBLISHED = "published"  # a checkpoint over it stands in the store, and everything under that
    WITNESSED = "witnessed"  # a quorum of witnesses has cosigned a published checkpoint over it


LEVELS: Final = tuple(Ack)


class Cosigned(NamedTuple):
    """A checkpoint with the lines of its witnesses; ``time`` is since when they are a quorum, ``None`` if they are not.

    ``told`` is what became of each witness, in a word or two.
    """

    note: bytes
    time: int | None
    told: Mapping[str, str]


Cosign = Callable[[SignedHead], Awaitable[Cosigned]]


class Shown(NamedTuple):
    """What is public: a checkpoint and its size."""

    size: int = 0
    note: bytes = b""


# Copies the checkpoint and what is under it; returns what stands in the store then, which may be a later one.
Copy = Callable[[bytes], Awaitable[Shown]]


class Steps(NamedTuple):
    """What publication consists of. ``required``: nothing is shown before a quorum has cosigned it."""

    cosign: Cosign | None = None
    copy: Copy | None = None
    required: bool = False
    # Seconds between rounds that nobody waits for, and until a head that stays the newest is cosigned again.
    every: float = 1.0
    renew: float = 300.0


class Witnessed(NamedTuple):
    """The largest size that a quorum has cosigned, and since when it is one (unix seconds)."""

    size: int = 0
    time: int = 0


class Prepared(NamedTuple):
    """What a publication begins with."""

    steps: Steps
    shown: Shown
    witnessed: Witnessed


Prepare = Callable[[Log], AbstractAsyncContextManager[Prepared]]


@asynccontextmanager
async def nothing(_: Log) -> AsyncIterator[Prepared]:
    """Prepare a log whose every head is public at once, from its database."""
    yield Prepared(Steps(), Shown(), Witnessed())


class _Waiter(NamedTuple):
    level: Ack
    size: int
    told: asyncio.Future[None]


class Publication:
    """The rounds of one process. ``shown`` and ``witnessed`` are what was public and cosigned before it."""

    def __init__(
        self,
        log: Log,
        steps: Steps,
        shown: Shown,
        witnessed: Witnessed,
        *,
        clock: Clock,
        observe: Observe,
    ) -> None:
        self._log: Final = log
        self._steps: Final = steps
        self._clock: Final = clock
        self._observe: Final = observe
        self._waiting: list[_Waiter] = []
        self._wake, self._end = asyncio.Event(), asyncio.Event()
        # How long the witnesses are left in peace after they failed, and until when by the loop's clock.
        self._pause, self._due = 0.0, 0.0
        self.shown = shown
        self.witnessed = witnessed
        # What became of each witness in the last round, and what went wrong in it.
        self.told: Mapping[str, str] = {}
        self.trouble: str | None = None

    @property
    def levels(self) -> tuple[Ack, ...]:
        """The levels that this service reaches."""
        reached = [Ack.DURABLE]
        if self._steps.copy is not None:
            reached.append(Ack.PUBLISHED)
        if self._steps.cosign is not None:
            reached.append(Ack.WITNESSED)
        return tuple(reached)

    def reached(self, size: int) -> Ack:
        """Return how far a log of ``size`` entries got."""
        if size <= self.witnessed.size:
            return Ack.WITNESSED
        return Ack.PUBLISHED if self._steps.copy is not None and size <= self.shown.size else Ack.DURABLE

    async def checkpoint(self) -> Shown:
        """Return the checkpoint that is shown; raise ``NotWitnessedError`` while none has met the quorum."""
        if self._steps.cosign is None and self._steps.copy is None:
            head = await self._log.head()
            return Shown(head.size, head.note)
        if not self.shown.note:
            raise NotWitnessedError("no checkpoint has been published yet; ask again soon")
        return self.shown

    async def reach(self, level: Ack, size: int, seconds: float) -> Ack:
        """Wait until a log of ``size`` entries is at ``level``, ``seconds`` at most; return how far it got."""
        if not self._is_at(level, size) and not self._end.is_set():
            waiter = _Waiter(level, size, asyncio.get_running_loop().create_future())
            self._waiting.append(waiter)
            self._wake.set()
            try:
                await asyncio.wait([waiter.told], timeout=seconds)
            finally:
                self._waiting.remove(waiter)
        return self.reached(size)

    async def run(self) -> None:
        """Publish, round after round, until ``finish``; then once more. What stops the log ends it too."""
        pause = 0.0
        while not self._end.is_set():
            # Nobody who waits shortens the pause after a failure; they shorten the rest.
            await _within(self._end, pause)
            await _within(self._wake, max(0.0, self._steps.every - pause))
            self._wake.clear()
            pause = 0.0 if await self._try() else min(_LONGEST_PAUSE, 2 * pause or _FIRST_PAUSE)
        await self._try()
        for waiter in self._waiting:
            if not waiter.told.done():
                waiter.told.set_result(None)

    def finish(self) -> None:
        """Let ``run`` end after one more round."""
        self._end.set()
        self._wake.set()

    async def _try(self) -> bool:
        """Go one round; say whether it did what has to be done before the next."""
        begun = asyncio.get_running_loop().time()
        trouble: str | None = None
        went = True
        try:
            await self._round()
        except FatalLogError as error:
            trouble = self._stop(error)
        except LogError as error:
            trouble = str(error)
            went = isinstance(error, NotWitnessedError) and not self._steps.required
        except Exception as error:  # noqa: BLE001  (an edge: the unforeseen stops the log, as it does in the sequencer)
            trouble = self._stop(FatalLogError(f"publication stopped at an unforeseen error: {error!r}"))
        self._tell(trouble)
        self._observe("publish", asyncio.get_running_loop().time() - begun, 0)
        for waiter in self._waiting:
            if not waiter.told.done() and self._is_at(waiter.level, waiter.size):
                waiter.told.set_result(None)
        return went

    def _tell(self, trouble: str | None) -> None:
        """Note in the journal what is in the way, once, and that it no longer is."""
        if trouble != self.trouble:
            (_journal.info if trouble is None else _journal.warning)("publication", extra={"trouble": trouble})
        self.trouble = trouble

    def _stop(self, error: FatalLogError) -> str:
        _journal.error("stopped", extra={"why": str(error)})
        self._log.stop(error)
        self.finish()
        return str(error)

    async def _round(self) -> None:
        if self._steps.cosign is None and self._steps.copy is None:
            return
        head = await self._log.head()
        if head.size > self.shown.size and not (self._steps.cosign is not None and self._steps.required):
            await self._show(Shown(head.size, head.note))
        if self._steps.cosign is not None and self._is_due(head):
            await self._cosign(head, self._steps.cosign)

    def _is_due(self, head: SignedHead) -> bool:
        """Say whether witnesses are to be asked: about a head that they have not seen, or have not seen for long."""
        if not self._steps.required and asyncio.get_running_loop().time() < self._due:
            return False
        return head.size > self.witnessed.size or self._clock() - self.witnessed.time >= self._steps.renew

    async def _cosign(self, head: SignedHead, cosign: Cosign) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        found = await cosign(head)
        self._observe("witness", loop.time() - begun, 0)
        self.told = found.told
        if found.time is None:
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause or _FIRST_PAUSE)
            self._due = loop.time() + self._pause
            raise NotWitnessedError(
                f"no quorum has cosigned the checkpoint of {head.size} entries: "
                + ", ".join(f"{name} {told}" for name, told in sorted(found.told.items()))
            )
        self._pause = 0.0
        await self._log.keep_witnessed(WitnessedHead(head.size, found.time, found.note))
        await self._show(Shown(head.size, found.note))
        self.witnessed = Witnessed(head.size, found.time)

    async def _show(self, shown: Shown) -> None:
        if self._steps.copy is not None:
            begun = asyncio.get_running_loop().time()
            shown = await self._steps.copy(shown.note)
            self._observe("copy", asyncio.get_running_loop().time() - begun, max(0, shown.size - self.shown.size))
        self.shown = shown

    def _is_at(self, level: Ack, size: int) -> bool:
        return LEVELS.index(self.reached(size)) >= LEVELS.index(level)


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, ``seconds`` at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
