"""Tree heads: one signature for all receipts of a head, and the same head as a C2SP checkpoint (specs/03 §5).

The receipt signature (ES256) binds the log's iss, its origin, the time, the tree size and the root; the
checkpoint (an Ed25519 note) binds origin, size and root. Only the current head is ever signed, once, inside
the transaction that makes it current.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exequatur_verifier import cbor, checkpoint, cose, note, receipt
from exequatur_verifier.errors import ExequaturError, NotProvenError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.note import NoteKey, SignatureType
from exequatur_verifier.signing import Signer


class SignedHead(NamedTuple):
    """A signed tree head: ``protected`` and ``signature`` are what its receipts share, ``note`` is the checkpoint."""

    size: int
    root: bytes
    iat: int
    protected: bytes
    signature: bytes
    note: bytes


class WitnessedHead(NamedTuple):
    """The checkpoint of a head with the lines of a quorum of witnesses, and since when they are one (unix seconds)."""

    size: int
    time: int
    note: bytes


class LogKeys(NamedTuple):
    """What a log signs with, and the names it signs under. The key name of its checkpoints is the origin."""

    receipt: Signer
    checkpoint: Signer
    iss: str
    origin: str

    @property
    def note_key(self) -> NoteKey:
        """The verifier key of the log's checkpoints."""
        return note.note_key(self.origin, SignatureType.ED25519, self.checkpoint.public_key)

    def check(self) -> None:
        """Raise ``ValueError`` for keys of an algorithm that a log does not sign with."""
        if self.receipt.public_key.algorithm is not Algorithm.ES256:
            raise ValueError("a log signs receipts with ES256")
        if self.checkpoint.public_key.algorithm is not Algorithm.ED25519:
            raise ValueError("a log signs checkpoints with Ed25519")


class Identity(NamedTuple):
    """A log, and the keys that its heads are signed with at some size. ``genesis`` is the record id that trust pins."""

    genesis: bytes
    iss: str
    origin: str
    operator: PublicKey
    receipt_keys: Mapping[bytes, PublicKey]
    checkpoint_keys: tuple[NoteKey, ...]


def sign(size: int, root: bytes, iat: int, keys: LogKeys) -> SignedHead:
    """Return the head of that size and root, signed twice (``iat`` in unix seconds). May block on the signers."""
    head = receipt.sign_head(size, root, iss=keys.iss, origin=keys.origin, iat=iat, signer=keys.receipt)
    point = checkpoint.Checkpoint(keys.origin, size, root)
    line = checkpoint.sign(point, keys.note_key, keys.checkpoint)
    return SignedHead(size, root, iat, head.protected, head.signature, note.format(checkpoint.format(point), [line]))


def check(head: SignedHead, identity: Identity) -> None:
    """Check both signatures of a head and that they say what its fields say; raise ``ExequaturError``."""
    headers = cbor.decode_map(head.protected)
    key = identity.receipt_keys.get(headers.get(cose.KEY_ID, b""))
    if key is None:
        raise NotProvenError("the head is signed with a key that is not in force at its size")
    expected = {
        cose.ALGORITHM: int(key.algorithm),
        cose.KEY_ID: key.thumbprint,
        cose.CWT_CLAIMS: {1: identity.iss, 2: identity.origin, 6: head.iat},
        cose.VERIFIABLE_DATA_STRUCTURE: receipt.RFC9162_SHA256,
        receipt.TREE_SIZE: head.size,
    }
    if head.protected != cbor.encode(expected):
        raise NotProvenError("the signed header does not say what the head says")
    receipt.verify_head(head.protected, head.signature, head.root, key)
    opened = checkpoint.open(head.note, identity.checkpoint_keys)
    if opened.checkpoint != checkpoint.Checkpoint(identity.origin, head.size, head.root):
        raise NotProvenError("the checkpoint is not of the head's size and root")


def holds(head: SignedHead, identity: Identity) -> bool:
    """Say whether both signatures of a head hold."""
    try:
        check(head, identity)
    except ExequaturError:
        return False
    return True


class ReceiptWriter:
    """Writes the receipts of one head, which differ in their proofs alone, as ``receipt.encode`` but faster."""

    def __init__(self, head: SignedHead) -> None:
        self._size = head.size
        # {396: {-1: [proof]}}, then the detached payload and the signature that all receipts of the head
        # share.
        self._before = b"\xd2\x84" + cbor.bstr(head.protected) + b"\xa1\x19\x01\x8c\xa1\x20\x81"
        self._after = b"\xf6" + cbor.bstr(head.signature)

    def encode(self, index: int, path: Sequence[bytes]) -> bytes:
        """Return the receipt of the leaf at ``index``."""
        # Integers and byte strings in an array have one encoding only.
        proof = cbor.encode_again([self._size, index, list(path)])
        return self._before + cbor.bstr(proof) + self._after
