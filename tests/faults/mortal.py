"""Processes to be killed: forked from a warm parent that has imported everything, ended by SIGKILL at a random moment.

Each says when it is ready, and then what it was answered, before it does anything else. Every draw comes from one
generator, whose seed is printed, and which ``EXEQUATUR_FAULTS_SEED`` repeats.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NamedTuple

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["tests.faults.work"])

READY: Final = "ready"


class Moment(NamedTuple):
    """When to kill: so many seconds after a process was made, or after it was ready."""

    seconds: float
    once_ready: bool


def generator(name: str) -> random.Random:
    seed = os.environ.get("EXEQUATUR_FAULTS_SEED") or str(random.SystemRandom().getrandbits(64))
    print(f"{name}: EXEQUATUR_FAULTS_SEED={seed}")
    return random.Random(f"{name} {seed}")


def moment(draw: random.Random, longest: float) -> Moment:
    """Return a moment: mostly at work, one in six while it is still opening what it needs."""
    return Moment(draw.uniform(0, longest), draw.random() < 5 / 6)


class Mortal:
    """A process at work. ``told`` is what it has said, as far as it was listened to."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self.pipe, writer = WARM.Pipe(duplex=False)
        self.told: list[Any] = []
        self.made = time.monotonic()
        self.ready: float | None = None
        self.process = WARM.Process(target=work, args=(*arguments, writer), daemon=True)
        self.process.start()
        writer.close()

    def listen(self) -> bool:
        """Take in one message; say whether there may be more."""
        # What was cut short by the kill was not said.
        with suppress(EOFError, OSError):
            said = self.pipe.recv()
            if said == READY:
                self.ready = time.monotonic()
            else:
                self.told.append(said)
            return True
        return False

    def left(self, moment: Moment) -> float | None:
        """Return how many seconds it has left; ``None`` if that cannot be known yet."""
        since = self.ready if moment.once_ready else self.made
        return None if since is None else since + moment.seconds - time.monotonic()

    def kill(self) -> None:
        """Kill it wherever it is now, and take in what it had said before."""
        self.process.kill()
        self.process.join()
        while self.listen():
            pass
        self.pipe.close()
        assert self.process.exitcode == -9, f"it ended by itself with {self.process.exitcode}, having said {self.told}"
        self.process.close()


def kill_at(mortals: Sequence[Mortal], moments: Sequence[Moment]) -> None:
    """Kill each at its moment, listening to all of them meanwhile."""
    alive = list(zip(mortals, moments, strict=True))
    talking = {mortal.pipe: mortal for mortal in mortals}
    while alive:
        left = {place: seconds for place, pair in enumerate(alive) if (seconds := pair[0].left(pair[1])) is not None}
        due = min(left, key=left.__getitem__, default=None)
        if due is not None and left[due] <= 0:
            mortal, _ = alive.pop(due)
            talking.pop(mortal.pipe, None)
            mortal.kill()
            continue
        for pipe in wait(list(talking), 60 if due is None else left[due]):
            assert isinstance(pipe, Connection)
            if not talking[pipe].listen():
                del talking[pipe]
        assert due is not None or talking, "a process has ended before it was ready"


def finish(work: Callable[..., None], arguments: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Run processes that end by themselves, all at once; return what each said. They must all have ended well."""
    mortals = [Mortal(work, *each) for each in arguments]
    for mortal in mortals:
        while mortal.listen():
            pass
        mortal.process.join()
        mortal.pipe.close()
        assert mortal.process.exitcode == 0, mortal.told
    return [mortal.told for mortal in mortals]
