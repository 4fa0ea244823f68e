"""What a witness does to its disk when it cosigns, and the judgement after it: it never contradicts itself."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from exequatur_log.witness.cosigner import Cosigner
from exequatur_log.witness.memory import Memory
from tests.faults.nursery import Arms, Say
from tests.faults.trial import DONE, UNAVAILABLE, WHOLE, Operation
from tests.witness import scene

NAME: Final = "w.example/failing"
_MEMORY: Final = "witness.db"
# The fork parts from the log at its tenth entry: what is cosigned before, both have; what is cosigned under the fault,
# the log alone.
_BEFORE, _AFTER, _LATER = 6, 12, 20


def operations() -> list[Operation]:
    return [Operation("cosign", _prepare, cosign, (), _judge, _role)]


def cosign(arms: Arms, say: Say, folder: Path) -> None:
    """Cosign a larger tree; if that fails, cosign it once the disk is well."""
    with Memory.open(folder / _MEMORY) as memory:
        cosigner = _cosigner(memory)
        arms.arm()
        answer = cosigner.add_checkpoint(scene.body(_BEFORE, _AFTER))
        arms.disarm()
        if answer.status == HTTPStatus.OK:
            say((DONE, None))
            arms.end()
        else:
            assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, answer
            say((UNAVAILABLE, None))
            arms.end()
            # What was not confirmed may have been remembered; then the log is told from where to go on.
            assert _cosign(cosigner, _BEFORE, _AFTER) or _cosign(cosigner, _AFTER, _AFTER)
        say(("cosigned", _AFTER))


def _cosigner(memory: Memory) -> Cosigner:
    return Cosigner(memory, scene.keys_of(NAME), scene.Clock())


def _cosign(cosigner: Cosigner, old: int, size: int) -> bool:
    answer = cosigner.add_checkpoint(scene.body(old, size))
    assert answer.status in {HTTPStatus.OK, HTTPStatus.CONFLICT}, answer
    return answer.status == HTTPStatus.OK


def _prepare(folder: Path) -> None:
    made = scene.witness(folder / _MEMORY, NAME)
    with made.memory:
        assert made.add(0, _BEFORE).status == HTTPStatus.OK


def _judge(folder: Path, _: None, told: list[tuple[str, Any]]) -> str:
    cosigned = any(word in {DONE, "cosigned"} for word, _ in told)
    with Memory.open(folder / _MEMORY) as memory:
        cosigner = _cosigner(memory)
        with memory.transaction() as transaction:
            held = transaction.held_of(scene.LOG.origin)
        assert held is not None
        assert held.checkpoint.size in ({_AFTER} if cosigned else {_BEFORE, _AFTER})
        assert held.checkpoint.root == scene.LOG.root(held.checkpoint.size)
        if cosigned:
            forked = cosigner.add_checkpoint(scene.body(_BEFORE, _LATER, scene.FORK))
            assert forked.status != HTTPStatus.OK, "it cosigned a fork of what it had cosigned"
        assert _cosign(cosigner, held.checkpoint.size, _LATER)
    return WHOLE


def _role(path: Path) -> str:
    if path == Path():
        return "directory"
    endings = {"-wal": "WAL", "-shm": "WAL index", ".lock": "lock"}
    return next((role for ending, role in endings.items() if path.name.endswith(ending)), "memory")
