"""What is done to a log while its disk fails. A victim says each answer, before it does anything else."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from exequatur_log.entry import Registered
from exequatur_log.errors import Code, FatalLogError, Refused, StorageError
from exequatur_log.log import Log
from exequatur_log.storage import sqlite
from exequatur_log.storage.place import Place
from tests.faults.nursery import Arms, Say
from tests.faults.trial import DONE, REFUSED, RETRIED, STOPPED, UNAVAILABLE
from tests.log import scene

Act = Callable[[], Awaitable[Any]]

NAME: Final = "log.db"


class Arming(Protocol):
    """What makes calls fail from now on, and makes all well again."""

    def arm(self) -> None: ...

    def disarm(self) -> None: ...

    def end(self) -> None: ...


def create(arms: Arms, say: Say, folder: Path, genesis: bytes, batch: Sequence[bytes]) -> None:
    """Make a log; if that fails, make it again, unless it is there."""

    async def make() -> Log:
        return await Log.create(folder / NAME, genesis, scene.KEYS, clock=_clock)

    async def work() -> None:
        log = await _met(arms, say, make)
        arms.end()
        if log is None:
            log = await (_open(folder) if (folder / NAME).exists() else make())
        await _go_on(log, say, batch)

    asyncio.run(work())


def open_again(arms: Arms, say: Say, folder: Path, batch: Sequence[bytes]) -> None:
    """Open a log; if that fails, open it again."""

    async def work() -> None:
        log = await _met(arms, say, lambda: _open(folder))
        arms.end()
        await _go_on(log or await _open(folder), say, batch)

    asyncio.run(work())


def append(
    arms: Arming, say: Say, root: Place, before: Sequence[bytes], batch: Sequence[bytes], *, checkpoint: bool = False
) -> None:
    """Register ``batch``, which ``before`` has gone before; with a checkpoint of the WAL if one is asked for."""

    async def work() -> None:
        log = await _open(root)
        if before:
            await _register(log, say, before)
        if checkpoint:
            sqlite._CHECKPOINT_BYTES = 0  # type: ignore[misc]
        attempts = count_attempts(log)
        say(("sent", batch))
        answers = await _met(arms, say, lambda: log.register_many(batch), lambda found: word(found, attempts))
        if answers is None:
            return
        say(("answered", _plain(answers)))
        arms.end()
        await _go_on(log, say, batch)

    asyncio.run(work())


def trust(arms: Arms, say: Say, folder: Path, batch: Sequence[bytes]) -> None:
    """Open a log, register, say the answers, and lose the power."""

    async def work() -> None:
        arms.arm()
        await _register(await _open(folder), say, batch)
        arms.shim.cut()

    asyncio.run(work())


def scribble(arms: Arms, say: Say, file: Path, then: Sequence[str]) -> None:
    """Write to a file and its directory, making durable what is asked for, and lose the power."""
    arms.arm()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(descriptor, b"a" * 8192)
    for what in then:
        synced = os.open(file.parent, os.O_RDONLY) if what == "directory" else descriptor
        os.fsync(synced)
    os.pwrite(descriptor, b"b" * 8192, 4096)
    arms.shim.cut()


def append_and_move(arms: Arms, say: Say, root: Path, before: Sequence[bytes], batch: Sequence[bytes]) -> None:
    """Register ``batch``, after which the WAL is moved into the database."""
    append(arms, say, root, before, batch, checkpoint=True)


def close(arms: Arms, say: Say, folder: Path, before: Sequence[bytes]) -> None:
    """Register ``before``, then close the log."""

    async def work() -> None:
        log = await _open(folder)
        await _register(log, say, before)
        await _met(arms, say, log.close)
        arms.end()

    asyncio.run(work())


def _clock() -> int:
    return scene.NOW


async def _open(root: Place) -> Log:
    """Open the log in a folder, or in a database."""
    place = root / NAME if isinstance(root, Path) else root
    return await Log.open(place, scene.KEYS, clock=_clock)


async def _met(arms: Arming, say: Say, act: Act, judged: Callable[[Any], str] = lambda _: DONE) -> Any:
    """Do what meets the fault and say what became of it; return its result, or ``None`` if it failed."""
    arms.arm()
    try:
        result = await act()
    except (StorageError, FatalLogError) as error:
        arms.disarm()
        say((STOPPED if isinstance(error, FatalLogError) else REFUSED, str(error)))
        return None
    arms.disarm()
    say((judged(result), None))
    return result


def word(answers: Sequence[Any], attempts: list[int]) -> str:
    """Say what became of a batch that was answered."""
    if any(isinstance(answer, Refused) for answer in answers):
        assert {answer.code for answer in answers} == {Code.UNAVAILABLE}, answers
        return UNAVAILABLE
    return DONE if len(attempts) == 1 else RETRIED


def _plain(answers: Sequence[Any]) -> list[Registered | str]:
    return [answer if isinstance(answer, Registered) else answer.code.value for answer in answers]


def count_attempts(log: Log) -> list[int]:
    """Return a list that grows with each attempt of the log to commit a batch."""
    assert log._sequencer is not None
    appender = log._sequencer._appender
    attempts: list[int] = []
    attempt = appender._attempt

    def counted(batch: Any) -> Any:
        attempts.append(len(batch))
        return attempt(batch)

    appender._attempt = counted  # type: ignore[method-assign]
    return attempts


async def _register(log: Log, say: Say, batch: Sequence[bytes]) -> None:
    say(("sent", batch))
    say(("answered", _plain(await log.register_many(batch))))


async def _go_on(log: Log, say: Say, batch: Sequence[bytes]) -> None:
    """The disk is well again: so is the log, in the same process."""
    say(("head", await log.head()))
    await _register(log, say, batch)
    await log.close()
