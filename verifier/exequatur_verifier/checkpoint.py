"""C2SP checkpoints and cosignatures: a log's tree head as a signed note (c2sp.org/tlog-checkpoint, tlog-cosignature).

The text of the note is three lines, and nothing else in this profile (specs/03 §5):

    <origin>
    <tree size in decimal>
    <root hash in base64>

The log signs the text; a witness signs the text with a time before it, saying that this was then the largest consistent
tree it had seen of that origin.
"""

import base64
from collections.abc import Iterable
from typing import Final, NamedTuple

from . import merkle, note
from .errors import MalformedError, NotProvenError
from .note import NoteKey, NoteSignature, SignatureType
from .signing import Signer

_SUBTREE_LABEL: Final = b"subtree/v1\n\x00"


class Checkpoint(NamedTuple):
    """A tree head: the log's origin, the number of leaves, the root hash."""

    origin: str
    size: int
    root: bytes


class Opened(NamedTuple):
    """A checkpoint whose log signature holds, with the time of each cosignature that holds, by its key."""

    checkpoint: Checkpoint
    cosigned: dict[NoteKey, int]
    ignored: tuple[str, ...]


def format(checkpoint: Checkpoint) -> str:
    """Return the text of the note, which is what a log signs."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def parse(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text holds; raise ``MalformedError``, also for extension lines."""
    match text.split("\n"):
        case [origin, size, root, ""] if origin and size.isascii() and size.isdecimal() and len(size) < 20:
            checkpoint = Checkpoint(origin, int(size), note.decode_base64(root))
        case _:
            raise MalformedError("a checkpoint is an origin, a size and a root")
    if format(checkpoint) != text or checkpoint.size > merkle.MAX_SIZE or len(checkpoint.root) != merkle.HASH_SIZE:
        raise MalformedError("not a checkpoint as the specification writes it")
    return checkpoint


def open(
    data: bytes, log_keys: Iterable[NoteKey], witness_keys: Iterable[NoteKey] = (), *, seen: bool = False
) -> Opened:
    """Return the checkpoint of a note that one of ``log_keys`` signed, and the cosignatures of ``witness_keys``.

    A signature line that names a given key must hold, or the whole note is refused. Lines of other keys are listed in
    ``ignored``. A key that stands twice counts once, with its later time. Raises ``MalformedError`` or
    ``NotProvenError``. With ``seen`` the caller vouches that these very bytes were opened with these keys before, and
    no signature is checked. Times are not compared with a clock, and nothing says whether the witnesses suffice: that
    is the trust policy's.
    """
    parsed = note.parse(data)
    checkpoint = parse(parsed.text)
    by_name = {(key.name, key.key_id): key for key in (*log_keys, *witness_keys)}
    signed = False
    cosigned: dict[NoteKey, int] = {}
    ignored: list[str] = []
    for line in parsed.signatures:
        key = by_name.get((line.name, line.key_id))
        if key is None:
            ignored.append(f"{line.name} {line.key_id.hex()}")
        elif key.type is SignatureType.ED25519:
            if key.name != checkpoint.origin:
                raise NotProvenError(f"a log's key is named like its origin, not {key.name!r}")
            if not seen:
                key.public_key.verify(line.signature, parsed.text.encode())
            signed = True
        else:
            time = _cosignature_time(key, line.signature)
            if not seen:
                key.public_key.verify(line.signature[8:], cosigned_bytes(key, checkpoint, time))
            cosigned[key] = max(time, cosigned.get(key, 0))
    if not signed:
        raise NotProvenError(f"no trusted log key signed the checkpoint of {checkpoint.origin}")
    return Opened(checkpoint, cosigned, tuple(ignored))


def sign(checkpoint: Checkpoint, key: NoteKey, signer: Signer) -> NoteSignature:
    """Return the log's signature line for a checkpoint."""
    return NoteSignature(key.name, key.key_id, signer.sign(format(checkpoint).encode()))


def cosign(checkpoint: Checkpoint, time: int, key: NoteKey, signer: Signer) -> NoteSignature:
    """Return a witness's line: ``checkpoint`` was the largest consistent tree it knew at ``time`` (unix seconds)."""
    signature = signer.sign(cosigned_bytes(key, checkpoint, time))
    return NoteSignature(key.name, key.key_id, time.to_bytes(8, "big") + signature)


def cosigned_bytes(key: NoteKey, checkpoint: Checkpoint, time: int) -> bytes:
    """Return what a cosignature of that key's type signs (tlog-cosignature)."""
    if key.type is SignatureType.COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n{format(checkpoint)}".encode()
    name, origin = key.name.encode(), checkpoint.origin.encode()
    if max(len(name), len(origin)) > 255:
        raise MalformedError("a cosigner's name and an origin are at most 255 bytes long")
    return b"".join(
        (
            _SUBTREE_LABEL,
            bytes((len(name),)) + name,
            time.to_bytes(8, "big"),
            bytes((len(origin),)) + origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _cosignature_time(key: NoteKey, data: bytes) -> int:
    time = int.from_bytes(data[:8], "big")
    # A time of zero makes no claim about the largest tree seen, so it is no cosignature of a checkpoint.
    if len(data) <= 8 or not 0 < time <= merkle.MAX_SIZE:
        raise MalformedError(f"not a cosignature: the line of {key.name}")
    return time
