"""The log for callers without an event loop: the command line, scripts, tests.

The loop runs in a thread of its own. Close the log, or use it as a context manager: the driver's threads
outlive an engine that was not disposed of, and the process would never end.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from exequatur_verifier.records import Kind

from .batch import Answer, Clock
from .entry import Entry, Registered
from .fsck import Finding, Progress, fsck
from .head import Identity, LogKeys, SignedHead
from .log import LEEWAY, Log, now
from .storage.place import Place

T = TypeVar("T")


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="exequatur-log", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Running(_Loop):
    """An event loop that runs already, elsewhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop


class BlockingLog:
    """What ``Log`` offers, each method returning when its answer is there. Safe to use from several threads."""

    def __init__(self, loop: _Loop, log: Log) -> None:
        self._loop = loop
        self._log = log

    @classmethod
    def create(cls, place: Place, genesis: bytes, keys: LogKeys, *, clock: Clock = now, leeway: int = LEEWAY) -> Self:
        """As ``Log.create``."""
        return cls._start(Log.create(place, genesis, keys, clock=clock, leeway=leeway))

    @classmethod
    def open(cls, place: Place, keys: LogKeys | None = None, *, clock: Clock = now, leeway: int = LEEWAY) -> Self:
        """As ``Log.open``."""
        return cls._start(Log.open(place, keys, clock=clock, leeway=leeway))

    @classmethod
    def _start(cls, opening: Coroutine[Any, Any, Log]) -> Self:
        loop = _Loop()
        try:
            return cls(loop, loop.run(opening))
        except BaseException:
            loop.close()
            raise

    @property
    def identity(self) -> Identity:
        """Who the log is, with the keys that were in force when it was opened."""
        return self._log.identity

    def identities(self) -> list[Identity]:
        """As ``Log.identities``."""
        return self._loop.run(self._log.identities())

    def run(self, work: Callable[[Log], Coroutine[Any, Any, T]]) -> T:
        """Return what ``work`` makes of the log, in the log's own event loop."""
        return self._loop.run(work(self._log))

    def close(self) -> None:
        """As ``Log.close``; ends the thread."""
        try:
            self._loop.run(self._log.close())
        finally:
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def register(self, statement: bytes, *, deadline: float | None = None) -> Registered:
        """As ``Log.register``."""
        return self._loop.run(self._log.register(statement, deadline=deadline))

    def register_many(self, batch: Sequence[bytes]) -> list[Answer]:
        """As ``Log.register_many``."""
        return self._loop.run(self._log.register_many(batch))

    def head(self) -> SignedHead:
        """As ``Log.head``."""
        return self._loop.run(self._log.head())

    def heads(self, *, after: int = 0, limit: int = 256) -> list[SignedHead]:
        """As ``Log.heads``."""
        return self._loop.run(self._log.heads(after=after, limit=limit))

    def get(self, place: int | bytes) -> Entry:
        """As ``Log.get``."""
        return self._loop.run(self._log.get(place))

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[Entry]:
        """As ``Log.entries``."""
        while page := self._loop.run(self._log.page(start, end)):
            yield from page
            start = page[-1].leaf_index + 1

    def find(
        self,
        *,
        sub: str | None = None,
        iss: str | None = None,
        kind: Kind | None = None,
        key_id: bytes | None = None,
        since: int | None = None,
        before: int | None = None,
        start: int = 0,
        end: int | None = None,
        limit: int = 256,
        newest_first: bool = False,
    ) -> list[Entry]:
        """As ``Log.find``."""
        return self._loop.run(
            self._log.find(
                sub=sub,
                iss=iss,
                kind=kind,
                key_id=key_id,
                since=since,
                before=before,
                start=start,
                end=end,
                limit=limit,
                newest_first=newest_first,
            )
        )

    def receipt(self, index: int) -> bytes:
        """As ``Log.receipt``."""
        return self._loop.run(self._log.receipt(index))

    def fresh_receipt(self, index: int) -> bytes:
        """As ``Log.fresh_receipt``."""
        return self._loop.run(self._log.fresh_receipt(index))

    def tlog_proof(self, index: int) -> bytes:
        """As ``Log.tlog_proof``."""
        return self._loop.run(self._log.tlog_proof(index))

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """As ``Log.inclusion``."""
        return self._loop.run(self._log.inclusion(index, size))

    def inclusions(self, indices: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """As ``Log.inclusions``."""
        return self._loop.run(self._log.inclusions(indices, size))

    def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """As ``Log.consistency``."""
        return self._loop.run(self._log.consistency(size1, size2))

    def consistencies(self, older: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """As ``Log.consistencies``."""
        return self._loop.run(self._log.consistencies(older, size))

    def root(self, size: int) -> bytes:
        """As ``Log.root``."""
        return self._loop.run(self._log.root(size))

    def tile(self, level: int, number: int) -> bytes:
        """As ``Log.tile``."""
        return self._loop.run(self._log.tile(level, number))

    def last_seq(self, key_id: bytes) -> int | None:
        """As ``Log.last_seq``."""
        return self._loop.run(self._log.last_seq(key_id))

    def newest_policy(self, name: str) -> Entry | None:
        """As ``Log.newest_policy``."""
        return self._loop.run(self._log.newest_policy(name))

    def enrolment(self, key_id: bytes) -> Entry | None:
        """As ``Log.enrolment``."""
        return self._loop.run(self._log.enrolment(key_id))


class SharedLog(BlockingLog):
    """A log that somebody else has opened in a running event loop, for the other threads of that process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        super().__init__(_Running(loop), log)

    def close(self) -> None:
        """Do nothing: who opened the log closes it."""


def check_file(place: Place, progress: Progress | None = None) -> list[Finding]:
    """As ``fsck``, for callers without an event loop."""
    return asyncio.run(fsck(place, progress))
