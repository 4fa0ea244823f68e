"""Proofs of inclusion as C2SP tlog-proof files: index, path, and a checkpoint with its cosignatures (specs/03 §5).

    c2sp.org/tlog-proof@v1
    index <decimal>
    <base64 of a hash>          from the leaf's sibling towards the root, as many as there are
    <an empty line>
    <the checkpoint, verbatim>

Tools that know nothing of COSE verify it. The line ``extra``, which nothing authenticates, is neither written nor
taken.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from exequatur_verifier import checkpoint, merkle
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.note import NoteKey

_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MOST: Final = 256 << 10


class TlogProof(NamedTuple):
    """A parsed proof. Nothing in it is verified; ``note`` is the checkpoint as received."""

    leaf_index: int
    path: tuple[bytes, ...]
    note: bytes


def encode(index: int, path: Sequence[bytes], note: bytes) -> bytes:
    """Return the proof that an entry stands at ``index`` of the tree whose checkpoint ``note`` is."""
    lines = [_FIRST, f"index {index}", *(base64.b64encode(node).decode() for node in path), "", ""]
    return "\n".join(lines).encode() + note


def decode(data: bytes) -> TlogProof:
    """Return the proof that ``data`` holds, in the one spelling that ``encode`` writes; raise ``MalformedError``."""
    head, found, note = data.partition(b"\n\n")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError:
        lines = []
    index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if len(data) > _MOST or not found or index is None or lines[0] != _FIRST:
        raise MalformedError("not a tlog-proof of version 1 with an index")
    try:
        path = tuple(base64.b64decode(line, validate=True) for line in lines[2:])
    except (binascii.Error, ValueError):
        raise MalformedError("a hash of the proof is not base64") from None
    proof = TlogProof(int(index[1]), path, note)
    if not merkle.is_path(path) or encode(*proof) != data:
        raise MalformedError("the hashes of the proof are not 32 bytes each in their one spelling")
    return proof


def verify(proof: TlogProof, entry: bytes, log_keys: Sequence[NoteKey]) -> Checkpoint:
    """Return the checkpoint that ``entry`` is proven to stand under; raise ``MalformedError`` or ``NotProvenError``.

    ``log_keys`` are all of one origin. Cosignatures are not checked here: a quorum is the caller's to ask for, with
    ``checkpoint.open``.
    """
    signed = checkpoint.open(proof.note, tuple(log_keys)).checkpoint
    if merkle.root_from_inclusion(proof.leaf_index, signed.size, merkle.leaf_hash(entry), proof.path) != signed.root:
        raise NotProvenError(f"the entry does not stand at index {proof.leaf_index} under the checkpoint")
    return signed
