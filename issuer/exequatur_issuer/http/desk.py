"""The desk: one thread in which an authority works, and a bounded queue before it.

An authority blocks, and one object of it serves one thread. So the event loop only hands work over and waits. What
waits when the thread comes back is taken together: requests for artifacts become one batch, with one registration for
all of them. Who finds the queue full is told so at once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from exequatur_verifier.errors import ExequaturError

T = TypeVar("T")

# How many requests become one batch, at most.
MOST_BATCH: Final = 256


class BusyError(ExequaturError):
    """The queue is full; nothing was taken."""


class Worker(Protocol):
    """What stands behind a desk. Every call comes from the desk's own thread."""

    def answer(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Answer requests, in order."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


W = TypeVar("W", bound=Worker)


class _Item(NamedTuple, Generic[W]):
    """What is to be done, and whom to tell. A request for an artifact can be answered in a batch."""

    asked: Any
    work: Callable[[W], Any] | None
    future: "Future[Any]"


class Desk(Generic[W]):
    """A thread with a worker. It is opened at the first work, and again after it could not be."""

    def __init__(self, open: Callable[[], W], most: int) -> None:
        """``open`` makes the worker, in the thread; ``most`` may wait."""
        self._open = open
        self._most = most
        self._items: deque[_Item[W]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="exequatur-authority")
        self._thread.start()

    async def ask(self, asked: Any) -> Any:
        """Return the worker's answer to one request; raise what it raises, or ``BusyError``."""
        return await self._put(asked, None)

    async def run(self, work: Callable[[W], T]) -> T:
        """Return what ``work`` makes of the worker; raise what it raises, or ``BusyError``."""
        result: T = await self._put(None, work)
        return result

    def close(self) -> None:
        """Finish what waits, and end the thread. Blocks; not for the event loop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    async def _put(self, asked: Any, work: Callable[[W], Any] | None) -> Any:
        future: Future[Any] = Future()
        with self._changed:
            if self._closing or len(self._items) >= self._most:
                raise BusyError("too many requests wait for the authority already; send it again later")
            self._items.append(_Item(asked, work, future))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    def _run(self) -> None:
        worker: W | None = None
        while (items := self._take()) is not None:
            wanted = [item for item in items if item.future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                worker = worker or self._open()
            except Exception as error:  # noqa: BLE001  # told to who asked; the next one tries again
                _fail(wanted, error)
                continue
            _do(worker, wanted)
        if worker is not None:
            worker.close()

    def _take(self) -> list[_Item[W]] | None:
        """Return the next work: one piece, or all requests up to the next piece that is none. ``None`` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closing)
            if not self._items:
                return None
            items = [self._items.popleft()]
            if items[0].work is not None:
                return items
            while self._items and self._items[0].work is None and len(items) < MOST_BATCH:
                items.append(self._items.popleft())
            return items


def _do(worker: W, items: list[_Item[W]]) -> None:
    try:
        batch = [item.asked for item in items if item.work is None]
        results = worker.answer(batch) if batch else [item.work(worker) for item in items if item.work is not None]
    except Exception as error:  # noqa: BLE001  # told to who asked
        if len(items) == 1:
            _fail(items, error)
            return
        # What one of them has run into is not for the others to hear; asking again is safe.
        for item in items:
            _do(worker, [item])
        return
    for item, result in zip(items, results, strict=True):
        item.future.set_result(result)


def _fail(items: list[_Item[W]], error: Exception) -> None:
    for item in items:
        item.future.set_exception(error)
