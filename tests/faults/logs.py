"""What a log does to a disk, each in the smallest form that makes all its calls, and the judgement after it."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from exequatur_log.blocking import BlockingLog
from tests.faults import victim
from tests.faults.judge import Promises, judge
from tests.faults.trial import ABSENT, DONE, WHOLE, Operation, said
from tests.faults.victim import NAME
from tests.log import scene


def operations() -> list[Operation]:
    few, many = partial(_log_of, 4), partial(_log_of, 250)
    genesis, enrolments = scene.genesis(), scene.enrolments()
    make = Operation("create", _nothing, victim.create, (genesis, enrolments), partial(_judge_made, genesis), _role)
    append = Operation("batch", few, victim.append, (requests(1), requests(2)), _judge, _role)
    return [
        make,
        append._replace(name="open", work=victim.open_again, arguments=(requests(1),)),
        append._replace(name="first batch", arguments=([], requests(2))),
        append,
        append._replace(name="batch over a tile", prepare=many, arguments=(requests(1), requests(10))),
        append._replace(name="checkpoint", work=victim.append_and_move),
        append._replace(name="close", work=victim.close, arguments=(requests(1),)),
    ]


def requests(count: int) -> list[bytes]:
    return [scene.request() for _ in range(count)]


def make_log(path: Path, count: int) -> Promises:
    """Make a log with so many entries; return what it has answered."""
    promises = Promises()
    with BlockingLog.create(path, scene.genesis(), scene.KEYS, clock=lambda: scene.NOW) as log:
        batch = scene.enrolments()
        batch += requests(count - len(batch) - 1)
        promises.hear([("sent", batch), ("answered", log.register_many(batch)), ("head", log.head())])
    return promises


def _nothing(_: Path) -> Promises:
    return Promises()


def _log_of(count: int, folder: Path) -> Promises:
    return make_log(folder / NAME, count)


def _judge(folder: Path, known: Promises, told: list[tuple[str, Any]]) -> str:
    promises = known.copy()
    promises.hear(told)
    judge(folder / NAME, promises)
    return WHOLE


def _judge_made(genesis: bytes, folder: Path, known: Promises, told: list[tuple[str, Any]]) -> str:
    if (folder / NAME).exists():
        return _judge(folder, known, told)
    assert said(told) != DONE, "what was made is gone"
    # Nothing stands in the way of making it, not even what a process of the same number left.
    for left in folder.glob(f".{NAME}.*"):
        _, _, name, _, rest = left.name.split(".", 4)
        left.rename(left.with_name(f".log.{name}.{os.getpid()}.{rest}"))
    with BlockingLog.create(folder / NAME, genesis, scene.KEYS, clock=lambda: scene.NOW) as log:
        assert log.head().size == 1
    _judge(folder, known, told)
    return ABSENT


def _role(path: Path) -> str:
    if path == Path():
        return "directory"
    endings = {"-wal": "WAL", "-shm": "WAL index", "-journal": "journal", ".lock": "lock"}
    role = next((role for ending, role in endings.items() if path.name.endswith(ending)), "database")
    return f"unfinished {role}" if path.name.startswith(".") else role
