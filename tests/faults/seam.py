"""The same at the seam to PostgreSQL: the n-th call of the driver fails, its answer is lost, or it is the last one."""

import os
import re
import signal
from collections.abc import Sequence
from functools import wraps
from typing import Any, Final, NoReturn

import asyncpg

from exequatur_log.storage.place import Postgres
from tests.faults import victim
from tests.faults.judge import Promises, judge
from tests.faults.logs import requests
from tests.faults.nursery import KILLED, Arms, Nursery, Say
from tests.faults.trial import DONE, WHOLE, Case, Found, Place, said
from tests.log import scene

# What can befall a call of the driver.
FAULTS: Final = (
    "lost",  # it does not reach the server, and the connection is gone
    "lost-after",  # the server does it, and the connection is gone before the answer
    "refused",  # the server says that its disk is full
    "down",  # from this call on the server is not there
    "kill-before",
    "kill-after",
)
_CALLS: Final = ("execute", "executemany", "fetch", "copy_records_to_table")


class Driver:
    """The driver in this process: counts its calls, says them, and plays one fault."""

    def __init__(self, say: Say, number: int, fault: str) -> None:
        self._say = say
        self._number = number
        self._fault = fault
        self._count = 0
        self._armed = False
        for name in _CALLS:
            setattr(asyncpg.Connection, name, self._played(name, getattr(asyncpg.Connection, name)))
        connect = asyncpg.connect

        async def connecting(*arguments: Any, **terms: Any) -> Any:
            if self._armed and self._fault == "down" and self._count >= self._number:
                raise ConnectionRefusedError("the server is not there")
            return await connect(*arguments, **terms)

        asyncpg.connect = connecting

    def arm(self) -> None:
        self._armed = True

    def disarm(self) -> None:
        self._armed = False

    def end(self) -> None:
        """Nothing more happens."""

    def _played(self, name: str, real: Any) -> Any:
        @wraps(real)
        async def call(connection: Any, *arguments: Any, **terms: Any) -> Any:
            if not self._armed:
                return await real(connection, *arguments, **terms)
            self._count += 1
            self._say(("call", place_of(name, arguments[0])))
            lasting = self._fault == "down" and self._number > 0
            if self._count != self._number and not (lasting and self._count > self._number):
                return await real(connection, *arguments, **terms)
            if self._fault == "kill-before":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._fault == "refused":
                raise asyncpg.DiskFullError("could not extend the file: No space left on device")
            if self._fault in {"lost-after", "kill-after"}:
                await real(connection, *arguments, **terms)
            if self._fault == "kill-after":
                os.kill(os.getpid(), signal.SIGKILL)
            _lose(connection)

        return call


def _lose(connection: Any) -> NoReturn:
    connection.terminate()
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


def place_of(name: str, text: str) -> Place:
    """Return the row for a call: what is said to the server, and about which table."""
    if name == "copy_records_to_table":
        return Place("COPY", text)
    table = re.search(r"\b(?:FROM|INTO|UPDATE|JOIN) (?!wanted\b|\()\"?([a-z_]+)", text)
    verb = text.partition(" ")[0] + (" … FOR UPDATE" if text.endswith("FOR UPDATE") else "")
    return Place(verb, "the transaction" if table is None else table[1])


def append(arms: Arms, say: Say, place: Postgres, before: Sequence[bytes], batch: Sequence[bytes]) -> None:
    """Be the victim: register a batch through a driver that fails."""
    victim.append(Driver(say, arms.number, arms.fault), say, place, before, batch)


class SeamTrial:
    """Batches of one log, one for each fault. The log is the same for all, so that every promise is kept to the end."""

    def __init__(self, place: Postgres, nursery: Nursery) -> None:
        self._place = place
        self._nursery = nursery
        self._promises = Promises()
        with scene.create(place) as log:
            head = log.head()
            self._promises.head(head.size, head.root)
        outcome, self._calls = self._register(Case(0, "none"))
        assert outcome == DONE

    def run(self) -> Found:
        """Return the outcomes of all cases; the log is judged after each fault."""
        found: Found = {}
        for fault in FAULTS:
            for number, place in enumerate(self._calls, start=1):
                outcome, calls = self._register(Case(number, fault))
                assert calls[:number] == self._calls[:number], (number, fault)
                found[place, fault] = {outcome}
            judge(self._place, self._promises)
        return found

    def _register(self, case: Case) -> tuple[str, list[Place]]:
        fate = self._nursery.run_on(append, *case, self._place, requests(1), requests(2))
        word = said(fate.told)
        killed = case.fault.startswith("kill")
        assert (fate.status, word is None) == (KILLED if killed else 0, killed), (case, fate)
        self._promises.hear(fate.told)
        return word or WHOLE, [call for what, call in fate.told if what == "call"]
