"""What the processes do that share the memory of a witness and are killed: cosign one branch of a log, or the other."""

import random
import time
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path

from exequatur_log.witness import wire
from exequatur_log.witness.cosigner import Cosigner
from exequatur_log.witness.memory import Memory
from tests.faults.mortal import READY
from tests.support.world import Log
from tests.witness import scene

NAME = "w.example/mortal"
TRUNK = 4


def branches(origin: str) -> list[Log]:
    """Return two logs of one origin that are the same for a few entries."""
    trunk = [b"trunk %d" % number for number in range(TRUNK)]
    return [Log(origin, [*trunk, *(b"%d %d" % (branch, number) for number in range(60))]) for branch in range(2)]


def cosign(path: Path, origin: str, seed: int, say: Connection) -> None:
    """Offer the branches at random, by a few entries more each time; say what was cosigned, until killed."""
    draw, logs = random.Random(seed), branches(origin)
    with Memory.open(path) as memory:
        cosigner = Cosigner(memory, scene.keys_of(NAME), lambda: int(time.time()))
        say.send(READY)
        old = 0
        while True:
            branch = draw.randrange(2)
            size = min(old + draw.randrange(4), len(logs[branch].entries)) or TRUNK
            answer = cosigner.add_checkpoint(scene.body(old, size, logs[branch]))
            if answer.status == HTTPStatus.OK:
                say.send((branch, size, answer.body))
                old = size
            elif answer.status == HTTPStatus.CONFLICT:
                old = wire.parse_size(answer.body)
            else:
                assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY, answer
