"""What a log and a witness send each other (c2sp.org/tlog-witness).

    old <size>                          the size that the log believes the witness to have cosigned last
    <base64 of a hash>                  the consistency proof from there, at most 63 lines
    <an empty line>
    <the checkpoint, a signed note>

The answer is lines of cosignatures; or, where the size is another, that size and a newline. Both sides take only what
the other writes: numbers and base64 have one spelling.
"""

import base64
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import checkpoint, merkle, note
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.note import NoteSignature

SIZE_TYPE: Final = "text/x.tlog.size"
# A note of 64 lines, each an ML-DSA cosignature, and a proof of 63.
MAX_REQUEST: Final = 256 << 10
MAX_ANSWER: Final = 64 << 10
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,18}")


class AddCheckpoint(NamedTuple):
    """A parsed request. Nothing in it is verified; ``note`` is the checkpoint as it was sent."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    checkpoint: Checkpoint


def format_request(old: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    """Return the body of an ``add-checkpoint`` request."""
    lines = (f"old {old}", *(base64.b64encode(node).decode() for node in proof), "", "")
    return "\n".join(lines).encode() + signed


def parse_request(body: bytes) -> AddCheckpoint:
    """Return what the body of an ``add-checkpoint`` request says; raise ``MalformedError``."""
    head, found, signed = body.partition(b"\n\n")
    first, *hashes = head.split(b"\n")
    if not found or first[:4] != b"old ":
        raise MalformedError("a request is a line `old SIZE`, a proof, an empty line and a checkpoint")
    old = _number(first[4:])
    try:
        proof = tuple(note.decode_base64(line.decode("ascii")) for line in hashes)
    except UnicodeDecodeError:
        raise MalformedError("not base64") from None
    if not merkle.is_path(proof):
        raise MalformedError(f"a consistency proof is at most {merkle.MAX_PATH} hashes of 32 bytes")
    return AddCheckpoint(old, proof, signed, checkpoint.parse(note.parse(signed).text))


def format_size(size: int) -> bytes:
    """Return the body that names the size cosigned last."""
    return b"%d\n" % size


def parse_size(body: bytes) -> int:
    """Return the size that such a body names; raise ``MalformedError``."""
    if body[-1:] != b"\n":
        raise MalformedError("not a size and a newline")
    return _number(body[:-1])


def format_lines(lines: Sequence[NoteSignature]) -> bytes:
    """Return the lines of signatures as a note has them."""
    return note.format("", lines).removeprefix(b"\n")


def parse_lines(body: bytes) -> tuple[NoteSignature, ...]:
    """Return the signatures that lines of a note hold; raise ``MalformedError``."""
    if body.startswith(b"\n") or b"\n\n" in body:
        raise MalformedError("an empty line among the cosignatures")
    return note.parse(b"\n\n" + body).signatures


def name_of_origin(origin: str) -> str:
    """Return the name of a log in the paths of a witness: the SHA-256 of its origin in lower-case hexadecimal."""
    return sha256(origin.encode()).hexdigest()


def _number(text: bytes) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > merkle.MAX_SIZE:
        raise MalformedError("a size is a whole number below 2^63 in its one spelling")
    return int(text)
