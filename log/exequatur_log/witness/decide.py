"""What a witness answers to a checkpoint, decided by nothing but the request and what it remembers (specs/11 §3).

200  it is signed by the log, and extends what was cosigned last
400  no request of this form, or the old size is beyond the checkpoint's
403  not signed by a key of that log
404  a log that this witness does not know
409  another size was cosigned last, and the answer names it
422  the proof does not hold, or there is another root at that size
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from exequatur_verifier import checkpoint, merkle, note
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.note import NoteKey

from .evidence import Kind
from .wire import AddCheckpoint


class Held(NamedTuple):
    """The checkpoint that was cosigned last for an origin, when (unix seconds), and the note as it was given out."""

    checkpoint: Checkpoint
    time: int
    note: bytes


class Ruling(NamedTuple):
    """A status, why, and what the request is evidence of, whatever its status."""

    status: HTTPStatus
    why: str
    evidence: Kind | None = None


GRANTED: Final = Ruling(HTTPStatus.OK, "")


def authenticate(request: AddCheckpoint, log_keys: Sequence[NoteKey]) -> Ruling | None:
    """Return why the log's name or signature is refused, or ``None``. ``log_keys`` are those of the named origin."""
    if not log_keys:
        return Ruling(HTTPStatus.NOT_FOUND, f"this witness does not know the log {request.checkpoint.origin}")
    try:
        checkpoint.open(request.note, log_keys)
    except ExequaturError as error:
        return Ruling(HTTPStatus.FORBIDDEN, str(error))
    return None


def decide(request: AddCheckpoint, held: Held | None) -> Ruling:
    """Return the ruling on a checkpoint whose signature holds (``authenticate``)."""
    old, offered = request.old, request.checkpoint
    if old > offered.size:
        return Ruling(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's")
    latest = Checkpoint(offered.origin, 0, merkle.EMPTY_ROOT) if held is None else held.checkpoint
    contradiction = _contradiction(offered, latest)
    if old != latest.size:
        return Ruling(HTTPStatus.CONFLICT, f"size {latest.size} was cosigned last", contradiction)
    refused = HTTPStatus.UNPROCESSABLE_ENTITY
    if contradiction is not None:
        return Ruling(refused, f"another root at size {offered.size}", contradiction)
    if old in (0, offered.size):
        # There is nothing to prove from the empty tree, nor from a tree to itself.
        return Ruling(refused, "this proof is to be empty") if request.proof else GRANTED
    try:
        merkle.check_consistency(old, offered.size, latest.root, offered.root, request.proof)
    except (MalformedError, NotProvenError) as error:
        return Ruling(refused, str(error), Kind.UNPROVEN)
    return GRANTED


def own_time(request: AddCheckpoint, keys: Sequence[NoteKey]) -> int:
    """Return the latest time at which these keys, the witness's own, cosigned the presented checkpoint, or 0.

    A witness whose memory does not reach as far has lost what it signed.
    """
    ours = {(key.name, key.key_id): key for key in keys}
    latest = 0
    for line in note.parse(request.note).signatures:
        key = ours.get((line.name, line.key_id))
        time = int.from_bytes(line.signature[:8], "big")
        if key is None or time <= latest or not 0 < time <= merkle.MAX_SIZE:
            continue
        try:
            key.public_key.verify(line.signature[8:], checkpoint.cosigned_bytes(key, request.checkpoint, time))
        except NotProvenError:
            continue
        latest = time
    return latest


def _contradiction(offered: Checkpoint, latest: Checkpoint) -> Kind | None:
    if offered.size == 0 and offered.root != merkle.EMPTY_ROOT:
        return Kind.IMPOSSIBLE
    return Kind.FORK if offered.size == latest.size and offered.root != latest.root else None
