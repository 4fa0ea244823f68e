"""Evidence: what a log signed that contradicts what it had shown to a witness before (specs/11 §4).

    fork         two signed checkpoints of one size with different roots: proof by itself, for everybody, for ever
    impossible   a signed checkpoint of no entries whose root is not that of no entries: likewise
    unproven     a larger signed checkpoint with a consistency proof that does not hold: somebody's mistake or malice,
                 and the log's only if no other proof is found

As JSON it is one object with both notes verbatim, so that whoever has the log's key checks it without asking anybody.
"""

import base64
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

from exequatur_verifier import checkpoint, merkle, note, shape
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.note import NoteKey


class Kind(StrEnum):
    """What the evidence shows."""

    FORK = "fork"
    IMPOSSIBLE = "impossible"
    UNPROVEN = "unproven"


class Evidence(NamedTuple):
    """One contradiction: its kind, when it was seen (unix seconds), and the notes.

    ``held`` is the note that the witness had cosigned, absent for what is impossible by itself; ``presented`` is the
    one that came later, as it was sent, with the ``proof`` that came along.
    """

    kind: Kind
    time: int
    held: bytes | None
    presented: bytes
    proof: tuple[bytes, ...]


def check_evidence(evidence: Evidence, log_keys: Iterable[NoteKey]) -> bool:
    """Check evidence against the log's keys, and say whether it alone proves that the log misbehaved.

    Raises ``MalformedError`` or ``NotProvenError`` if it does not show what its kind says, or one of these keys did not
    sign it. Cosignatures are not checked: it is the log's own word against itself.
    """
    keys = tuple(log_keys)
    later = checkpoint.open(evidence.presented, keys).checkpoint
    if evidence.kind is Kind.IMPOSSIBLE:
        if later.size != 0 or later.root == merkle.EMPTY_ROOT:
            raise NotProvenError("the checkpoint is possible")
        return True
    if evidence.held is None:
        raise MalformedError(f"evidence of kind {evidence.kind} has two checkpoints")
    earlier = checkpoint.open(evidence.held, keys).checkpoint
    if earlier.origin != later.origin:
        raise NotProvenError(f"the checkpoints are of two logs, {earlier.origin} and {later.origin}")
    if evidence.kind is Kind.FORK:
        if earlier.size != later.size or earlier.root == later.root:
            raise NotProvenError("the checkpoints do not contradict each other")
        return True
    if earlier.size >= later.size:
        raise NotProvenError("the checkpoints are not of an earlier and a larger tree")
    try:
        merkle.check_consistency(earlier.size, later.size, earlier.root, later.root, evidence.proof)
    except ExequaturError:
        return False
    raise NotProvenError("the proof holds: the log has only grown")


def encode(evidence: Evidence) -> dict[str, Any]:
    """Return evidence as the JSON object that ``decode`` takes."""
    return {
        "kind": str(evidence.kind),
        "time": evidence.time,
        "held": None if evidence.held is None else evidence.held.decode(),
        "presented": evidence.presented.decode(),
        "proof": [base64.b64encode(node).decode() for node in evidence.proof],
    }


def decode(data: bytes) -> Evidence:
    """Return the evidence that a JSON object holds; raise ``MalformedError``."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("evidence is a JSON object") from None
    return _EVIDENCE(value)


def _kind(value: Any) -> Kind:
    try:
        return Kind(value)
    except ValueError:
        raise MalformedError("not a kind of evidence") from None


def _note(value: Any) -> bytes:
    if type(value) is not str:
        raise MalformedError("not a signed note")
    return value.encode(errors="surrogatepass")


def _held(value: Any) -> bytes | None:
    return None if value is None else _note(value)


def _node(value: Any) -> bytes:
    return shape.digest(note.decode_base64(shape.text(value)))


_EVIDENCE: Final = shape.record(
    Evidence, kind=_kind, time=shape.uint, held=_held, presented=_note, proof=shape.many(_node)
)
