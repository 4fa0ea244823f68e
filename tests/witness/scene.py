"""A log in memory, a witness that knows it, and what the one sends the other."""

import base64
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from exequatur_log.witness import wire
from exequatur_log.witness.cosigner import Answer, Cosigner, Cosigning, cosigning
from exequatur_log.witness.memory import Memory
from exequatur_log.witness.policy import Party, WitnessPolicy
from exequatur_verifier import checkpoint, note
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import NoteKey
from exequatur_verifier.trust import Group
from tests.support import reference, world
from tests.support.world import Log

NOW = world.NOW
ALGORITHMS = (Algorithm.ED25519, Algorithm.ML_DSA_44)
LOG = world.new_log("log.example/witnessed", filler=40)
# The same log until its tenth entry, and another one from there on.
FORK = Log(LOG.origin, [*LOG.entries[:10], *(b"forked %d" % number for number in range(30))])
STRANGER = world.new_log("log.example/unknown", filler=40)


def keys_of(name: str) -> tuple[Cosigning, ...]:
    """Return both keys of the witness of that name."""
    return tuple(cosigning(name, world.signer(name, algorithm)) for algorithm in ALGORITHMS)


def body(old: int, size: int, log: Log = LOG, of: Log | None = None) -> bytes:
    """Return the request that offers the checkpoint of ``size`` from ``old``, with the proof of the tree of ``of``."""
    return wire.format_request(old, proof(old, size, of or log), log.checkpoint(size=size))


def proof(old: int, size: int, log: Log = LOG) -> list[bytes]:
    return reference.consistency_path(old, log.entries[:size]) if 0 < old < size else []


def bare(log: Log, size: int, root: bytes) -> bytes:
    """Return a checkpoint that the log signed over whatever root."""
    head = checkpoint.Checkpoint(log.origin, size, root)
    return note.format(checkpoint.format(head), [checkpoint.sign(head, log.vkey, log.checkpoint_signer)])


class Clock:
    """A clock that is set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Witness(NamedTuple):
    """A witness without a socket: its name, its memory and its clock."""

    name: str
    memory: Memory
    cosigner: Cosigner
    clock: Clock

    def add(self, old: int, size: int, log: Log = LOG, of: Log | None = None) -> Answer:
        return self.cosigner.add_checkpoint(body(old, size, log, of))


def witness(path: Path, name: str = "w.example/one", *logs: Log) -> Witness:
    """Make a witness that knows the log, or these."""
    keys = keys_of(name)
    memory = Memory.create(path, name, [key for key, _ in keys])
    memory.add_logs([log.vkey for log in logs or (LOG,)])
    clock = Clock()
    return Witness(name, memory, Cosigner(memory, keys, clock), clock)


def cosigned(answer: bytes, size: int, log: Log = LOG, name: str = "w.example/one") -> dict[NoteKey, int]:
    """Return the time of each of a witness's keys in an answer, which all hold over the checkpoint of that size."""
    keys = [key for key, _ in keys_of(name)]
    opened = checkpoint.open(log.checkpoint(size=size) + answer, [log.vkey], keys)
    assert opened.ignored == ()
    return opened.cosigned


def policy(*urls: str | None, least: int | None = None, log: Log = LOG) -> WitnessPolicy:
    """Return a policy of one witness at each URL, named w0 to wN, of which ``least`` must cosign."""
    witnesses = {f"w{number}": Party(key_of(number), url) for number, url in enumerate(urls)}
    quorum = None if least is None else Group(least, tuple(party.key for party in witnesses.values()))
    return WitnessPolicy((Party(log.vkey),), witnesses, quorum)


def key_of(number: int) -> NoteKey:
    """Return the Ed25519 key of the witness of that number."""
    return keys_of(name_of(number))[0].key


def name_of(number: int) -> str:
    return f"w.example/{number}"


def line(number: int, size: int, time: int, log: Log = LOG) -> bytes:
    """Return the cosignature of a witness, as it would answer."""
    key, signer = keys_of(name_of(number))[0]
    head = checkpoint.Checkpoint(log.origin, size, log.root(size))
    return wire.format_lines([checkpoint.cosign(head, time, key, signer)])


async def prove(old: int, size: int) -> list[bytes]:
    """Prove as the log would."""
    return proof(old, size)


Prover = Callable[[int, int], list[bytes]]


def monitored(log: Log = LOG) -> str:
    """Return the path under which a witness shows what it cosigned last."""
    return f"/{sha256(log.origin.encode()).hexdigest()}/checkpoint"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
