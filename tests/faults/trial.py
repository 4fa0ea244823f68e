"""Trials: an operation on a disk that fails at one call, and the judgement of what is left."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from tests.faults.nursery import KILLED, Fate, Nursery
from tests.faults.shim import Call

_ROOM: Final = frozenset(("create", "write", "link", "mkdir"))
_WRITES: Final = frozenset(("write",))
_SYNCS: Final = frozenset(("fsync", "fdatasync"))
# Each fault, and the calls that it can befall; all, where none are named.
FAULTS: Final[dict[str, frozenset[str] | None]] = {
    "eio": None,
    "eio-after": None,
    "eio-lost": _SYNCS,
    "lost-cut": _SYNCS,
    "dead": None,
    "enospc": _ROOM,
    "full": _ROOM,
    "torn": _WRITES,
    "torn-kill": _WRITES,
    "kill-before": None,
    "kill-after": None,
    "cut": None,
    "cut-half": None,
}

# What a victim that lived says of the operation.
DONE: Final = "done"
RETRIED: Final = "retried"
UNAVAILABLE: Final = "unavailable"
REFUSED: Final = "refused"
STOPPED: Final = "stopped"
SAID: Final = frozenset((DONE, RETRIED, UNAVAILABLE, REFUSED, STOPPED))
# What is found where it did not: everything, as it was or as it was to be; or nothing of what was being made.
WHOLE: Final = "whole"
ABSENT: Final = "absent"


class Place(NamedTuple):
    """A row of the table: a call, and what it is about."""

    call: str
    role: str


class Case(NamedTuple):
    """The number of a call, and the fault that befalls it."""

    number: int
    fault: str


# By row and fault, the outcomes that were found.
Found = dict[tuple[Place, str], set[str]]


class Operation(NamedTuple):
    """Something that is done to a disk.

    ``prepare`` makes in a folder what it begins with, and returns what is known of that. ``work`` is done by a victim,
    which is given a copy of the folder. Calls ``below`` are counted; ``role`` says what one of them is about.
    ``judge`` looks at what is left in a folder, given what was known before and what the victim said, and returns what
    it found.
    """

    name: str
    prepare: Callable[[Path], Any]
    work: Callable[..., None]
    arguments: tuple[Any, ...]
    judge: Callable[[Path, Any, list[tuple[str, Any]]], str]
    role: Callable[[Path], str]
    below: str = "."


class Trial:
    """An operation, on a fresh copy of what it begins with for each fault. ``calls`` is what it does to a well disk."""

    def __init__(self, operation: Operation, nursery: Nursery, folder: Path) -> None:
        self._operation = operation
        self._nursery = nursery
        self._folder = folder
        self._copies = 0
        self._template = folder / "template"
        self._template.mkdir(parents=True)
        self._known = operation.prepare(self._template)
        fate, root = self._run(Case(0, "none"))
        assert fate.status == 0, fate
        assert said(fate.told) == DONE, fate
        operation.judge(root, self._known, fate.told)
        self.calls: Final = [self._place(call, root) for call in fate.calls]

    def cases(self, draw: Random | None = None) -> Iterator[Case]:
        """Yield every case; with ``draw`` of each row the last call, and one that is drawn."""
        rows: dict[Place, list[int]] = {}
        for number, place in enumerate(self.calls, start=1):
            rows.setdefault(place, []).append(number)
        for place, numbers in rows.items():
            chosen = numbers if draw is None else sorted({draw.choice(numbers), numbers[-1]})
            for fault, befalls in FAULTS.items():
                if befalls is None or place.call in befalls:
                    yield from (Case(number, fault) for number in chosen)

    def meet(self, case: Case) -> str:
        """Let one call go wrong, judge what is left, and return the outcome."""
        fate, root = self._run(case)
        assert fate.struck is not None, f"the call was never made: {fate}"
        assert self._place(fate.struck, root) == self.calls[case.number - 1], "it was another call"
        assert fate.status in {0, KILLED}, fate
        word = said(fate.told)
        assert word is not None or fate.status == KILLED, fate
        found = self._operation.judge(root, self._known, fate.told)
        shutil.rmtree(root)
        return word or found

    def run(self, cases: Iterable[Case]) -> Found:
        """Return the outcomes of these cases."""
        found: Found = {}
        for case in cases:
            try:
                outcome = self.meet(case)
            except BaseException as error:
                error.add_note(
                    f"{self._operation.name}: {case.fault} at call {case.number}, {self.calls[case.number - 1]}"
                )
                raise
            found.setdefault((self.calls[case.number - 1], case.fault), set()).add(outcome)
        return found

    def _place(self, call: Call, root: Path) -> Place:
        return Place(call.name, self._operation.role(Path(call.path).relative_to(root / self._operation.below)))

    def _run(self, case: Case) -> tuple[Fate, Path]:
        self._copies += 1
        root = self._folder / f"{self._copies}"
        shutil.copytree(self._template, root)
        watched = root / self._operation.below
        return self._nursery.run(self._operation.work, watched, *case, root, *self._operation.arguments), root


def said(told: list[tuple[str, Any]]) -> str | None:
    """Return what a victim said of the operation, if it did."""
    return next((word for word, _ in told if word in SAID), None)
