"""The desk: one thread, batches, a bounded queue, and a worker that may have to be opened again."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from exequatur_issuer.http.desk import BusyError, Desk


class Slow:
    """Answers each number with its double, once it is let."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[Any]] = []
        self.threads: set[int] = set()
        self.closed = False

    def answer(self, batch: Sequence[Any]) -> Sequence[Any]:
        self.threads.add(threading.get_ident())
        self.batches.append(list(batch))
        self.begun.set()
        self.gate.wait(10)
        if "bad" in batch:
            raise ValueError("bad")
        return [2 * item for item in batch]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def desk(slow: Slow) -> Iterator[Desk[Slow]]:
    made = Desk(lambda: slow, 4)
    yield made
    slow.gate.set()
    made.close()
    assert slow.closed or not slow.batches


async def began(slow: Slow) -> None:
    assert await asyncio.to_thread(slow.begun.wait, 10)


def run(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


def test_what_waits_becomes_one_batch(desk: Desk[Slow], slow: Slow) -> None:
    """H-08"""

    async def work() -> list[Any]:
        first = asyncio.create_task(desk.ask(1))
        await began(slow)
        rest = [asyncio.create_task(desk.ask(item)) for item in (2, 3, 4)]
        await asyncio.sleep(0)
        slow.gate.set()
        return [await first, *[await one for one in rest]]

    assert run(work) == [2, 4, 6, 8]
    assert slow.batches == [[1], [2, 3, 4]]
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads


def test_a_full_queue_is_said_at_once_and_the_loop_goes_on(desk: Desk[Slow], slow: Slow) -> None:
    """H-09"""

    async def work() -> None:
        first = asyncio.create_task(desk.ask(1))
        await began(slow)
        rest = [asyncio.create_task(desk.ask(item)) for item in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await asyncio.wait_for(desk.ask(9), 1)
        slow.gate.set()
        await asyncio.gather(first, *rest)
        assert await desk.ask(5) == 10

    run(work)


def test_one_that_fails_fails_alone(desk: Desk[Slow], slow: Slow) -> None:
    """H-08"""

    async def work() -> list[Any]:
        first = asyncio.create_task(desk.ask(1))
        await began(slow)
        rest = [asyncio.create_task(desk.ask(item)) for item in (2, "bad", 3)]
        await asyncio.sleep(0)
        slow.gate.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    first, second, bad, third = run(work)
    assert (first, second, third) == (2, 4, 6)
    assert isinstance(bad, ValueError)


def test_other_work_is_done_in_its_turn(desk: Desk[Slow], slow: Slow) -> None:
    slow.gate.set()

    async def work() -> None:
        assert await desk.run(lambda worker: worker.closed) is False
        with pytest.raises(ZeroDivisionError):
            await desk.run(lambda _: 1 / 0)
        assert await desk.ask(1) == 2

    run(work)


def test_who_goes_away_is_not_worked_for(desk: Desk[Slow], slow: Slow) -> None:
    async def work() -> None:
        first = asyncio.create_task(desk.ask(1))
        await began(slow)
        gone = asyncio.create_task(desk.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        slow.gate.set()
        assert await first == 2
        assert await desk.ask(3) == 6

    run(work)
    assert slow.batches == [[1], [3]]


def test_a_worker_that_could_not_be_opened_is_tried_again(slow: Slow) -> None:
    """H-08"""
    tries: list[int] = []

    def open_() -> Slow:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return slow

    desk = Desk(open_, 4)
    slow.gate.set()

    async def work() -> None:
        with pytest.raises(OSError, match="not yet"):
            await desk.ask(1)
        assert await desk.ask(1) == 2

    run(work)
    desk.close()
    assert slow.closed
    with pytest.raises(BusyError):
        run(lambda: desk.ask(1))
