"""Trials: an operation of the log on a disk that fails at one call, and the judgement of what is left."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from exequatur_log.blocking import BlockingLog
from tests.faults import victim
from tests.faults.judge import Promises, judge
from tests.faults.nursery import Fate, Nursery
from tests.faults.shim import Call
from tests.log import scene

NAME: Final = "log.db"

_ROOM: Final = frozenset(("create", "write", "link", "mkdir"))
_WRITES: Final = frozenset(("write",))
_SYNCS: Final = frozenset(("fsync", "fdatasync"))
# Each fault, and the calls that it can befall; all, where none are named.
FAULTS: Final[dict[str, frozenset[str] | None]] = {
    "eio": None,
    "eio-after": None,
    "eio-lost": _SYNCS,
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
# What is found where a victim did not live to say what became of the operation: the log, or, where it was being made,
# nothing under its name.
WHOLE: Final = "whole"
ABSENT: Final = "absent"


class Place(NamedTuple):
    """A row of the table: a call, and which file or directory it is about."""

    call: str
    role: str


class Operation(NamedTuple):
    """Something that is done to a disk: what it begins with, and the victim that does it."""

    name: str
    prepare: Callable[[Path], Promises]
    work: Callable[..., None]
    arguments: tuple[Any, ...]


def place_of(call: Call, root: Path) -> Place:
    """Return the row for a call."""
    path = Path(call.path)
    if path == root:
        return Place(call.name, "directory")
    endings = {"-wal": "WAL", "-shm": "WAL index", "-journal": "journal", ".lock": "lock"}
    role = next((role for ending, role in endings.items() if path.name.endswith(ending)), "database")
    return Place(call.name, f"unfinished {role}" if path.name.startswith(".") else role)


def _nothing(_: Path) -> Promises:
    return Promises()


def _log_of(count: int, path: Path) -> Promises:
    """Make a log with so many entries."""
    promises = Promises()
    with BlockingLog.create(path, scene.genesis(), scene.KEYS, clock=lambda: scene.NOW) as log:
        batch = scene.enrolments()
        batch += _requests(count - len(batch) - 1)
        promises.hear([("sent", batch), ("answered", log.register_many(batch)), ("head", log.head())])
    return promises


def _requests(count: int) -> list[bytes]:
    return [scene.request() for _ in range(count)]


def operations() -> list[Operation]:
    """Return what a log does to a disk, each in the smallest form that makes all its calls."""
    few, many = partial(_log_of, 4), partial(_log_of, 250)
    return [
        Operation("create", _nothing, victim.create, (scene.genesis(), scene.enrolments())),
        Operation("open", few, victim.open_again, (_requests(1),)),
        Operation("first batch", few, victim.append, ([], _requests(2), False)),
        Operation("batch", few, victim.append, (_requests(1), _requests(2), False)),
        Operation("batch over a tile", many, victim.append, (_requests(1), _requests(10), False)),
        Operation("checkpoint", few, victim.append, (_requests(1), _requests(2), True)),
        Operation("close", few, victim.close, (_requests(1),)),
    ]


class Case(NamedTuple):
    """The number of a call, and the fault that befalls it."""

    number: int
    fault: str


class Trial:
    """An operation, on a fresh copy of what it begins with for each fault. ``calls`` is what it does to a well disk."""

    def __init__(self, operation: Operation, nursery: Nursery, folder: Path) -> None:
        self._operation = operation
        self._nursery = nursery
        self._folder = folder
        self._copies = 0
        self._template = folder / "template"
        self._template.mkdir(parents=True)
        self._promises = operation.prepare(self._template / NAME)
        fate, root = self._run(Case(0, "none"))
        assert fate.status == 0, fate
        self.calls: Final = fate.calls
        self._places: Final = [place_of(call, root) for call in fate.calls]

    def cases(self, draw: Random | None = None) -> Iterator[Case]:
        """Yield every case; with ``draw`` of each row the first call, the last, and one that is drawn."""
        rows: dict[Place, list[int]] = {}
        for number, place in enumerate(self._places, start=1):
            rows.setdefault(place, []).append(number)
        for place, numbers in rows.items():
            chosen = numbers if draw is None else sorted({numbers[0], draw.choice(numbers), numbers[-1]})
            for fault, befalls in FAULTS.items():
                if befalls is None or place.call in befalls:
                    yield from (Case(number, fault) for number in chosen)

    def meet(self, case: Case) -> tuple[Place, str]:
        """Let one call go wrong, judge what is left, and return which call it was, and the outcome."""
        fate, root = self._run(case)
        place, path = self._places[case.number - 1], root / NAME
        assert fate.struck is not None, f"{case} was never met"
        assert place_of(fate.struck, root) == place
        assert fate.status in {0, -9}, fate
        promises = self._promises.copy()
        promises.hear(fate.told)
        outcome = next((word for word, _ in fate.told if word in victim.OUTCOMES), None)
        if outcome is None:
            assert fate.status == -9, fate
            outcome = WHOLE if path.exists() else ABSENT
        if not path.exists():
            assert outcome == ABSENT, fate
            self._make(path)
        judge(path, promises)
        shutil.rmtree(root)
        return place, outcome

    def _make(self, path: Path) -> None:
        """Make the log that was not made: nothing stands in the way."""
        assert self._operation.work is victim.create
        genesis, batch = self._operation.arguments
        with BlockingLog.create(path, genesis, scene.KEYS, clock=lambda: scene.NOW) as log:
            log.register_many(batch)

    def _run(self, case: Case) -> tuple[Fate, Path]:
        self._copies += 1
        root = self._folder / f"{self._copies}"
        shutil.copytree(self._template, root)
        return self._nursery.run(self._operation.work, root, *case, root / NAME, *self._operation.arguments), root


def met(trial: Trial, cases: Sequence[Case]) -> dict[tuple[Place, str], set[str]]:
    """Return the outcomes of some cases, by row and fault."""
    found: dict[tuple[Place, str], set[str]] = {}
    for case in cases:
        try:
            place, outcome = trial.meet(case)
        except BaseException as error:
            error.add_note(f"{case} of {trial.calls[case.number - 1]}")
            raise
        found.setdefault((place, case.fault), set()).add(outcome)
    return found
