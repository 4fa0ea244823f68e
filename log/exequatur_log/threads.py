"""Threads, one for each core, for work that releases the interpreter's lock: signature checks."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")

# Up to so many items cost less than handing them to threads; more, if the work holds the interpreter's lock anyway.
_FEW: Final = 2
_FEW_ALONE: Final = 32


class Threads:
    """The threads of one log; close them."""

    def __init__(self) -> None:
        self._count = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="exequatur-log")

    async def run(self, work: Callable[[Sequence[A]], list[B]], items: Sequence[A], *, spread: bool = True) -> list[B]:
        """Return the results of ``work`` for all items, in order; ``spread`` over all threads, or in one of them.

        Work that is not to be spread holds the interpreter's lock.
        """
        if len(items) <= (_FEW if spread else _FEW_ALONE):
            return work(items)
        size = -(-len(items) // self._count) if spread else len(items)
        loop = asyncio.get_running_loop()
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        done = await asyncio.gather(*(loop.run_in_executor(self._pool, work, part) for part in parts))
        return list(chain.from_iterable(done))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
