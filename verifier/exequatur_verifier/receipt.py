"""COSE receipts of inclusion (RFC 9942, vds 1), with the tree size under the signature.

    protected    {1: -7, 4: key id, 15: {1: log's iss, 2: origin, 6: iat}, 395: 1, -74001: tree size}
    unprotected  {396: {-1: [ bstr .cbor [tree size, leaf index, [path…]] ]}}
    payload      nil: the root, which the verifier computes

RFC 9942 signs the root alone, and one path holds for several pairs of size and index. So the profile signs the size too
(private label -74001) and requires it to equal the proof's; then the index follows from the length of the path and its
root. The signature is the head's: every receipt of one tree head carries the same (specs/04 §1).
"""

from typing import Any, Final, NamedTuple

from . import cbor, cose, merkle, shape
from .errors import MalformedError, NotProvenError
from .keys import Algorithm, PublicKey
from .signing import Signer

TREE_SIZE: Final = -74001
RFC9162_SHA256: Final = 1
_INCLUSION: Final = -1
_CLAIMS: Final = {1, 2, 6}
_HEADERS: Final = {cose.ALGORITHM, cose.KEY_ID, cose.CWT_CLAIMS, cose.VERIFIABLE_DATA_STRUCTURE, TREE_SIZE}


class Inclusion(NamedTuple):
    """Where a leaf stands in a tree, and the path from it to the root."""

    size: int
    leaf_index: int
    path: tuple[bytes, ...]


class Receipt(NamedTuple):
    """A decoded receipt. Nothing in it is verified; ``protected`` is as received."""

    protected: bytes
    key_id: bytes
    iss: str
    origin: str
    iat: int
    inclusion: Inclusion
    signature: bytes


class HeadSignature(NamedTuple):
    """The signature of a tree head, which all its receipts share: the protected header and the signature bytes."""

    protected: bytes
    signature: bytes


def parse(data: bytes) -> Receipt:
    """Return the receipt that ``data`` encodes; raise ``MalformedError`` for anything outside the profile."""
    message = cose.decode(data)
    headers = message.headers
    claims: cbor.Value = headers.get(cose.CWT_CLAIMS)
    proofs: cbor.Value = message.unprotected.get(cose.VERIFIABLE_DATA_PROOFS)
    if headers.keys() != _HEADERS or type(claims) is not dict or claims.keys() != _CLAIMS:
        raise MalformedError("the protected header is not that of a receipt")
    if len(message.unprotected) != 1 or type(proofs) is not dict or proofs.keys() != {_INCLUSION}:
        raise MalformedError("the unprotected header holds inclusion proofs and nothing else")
    inclusions: cbor.Value = proofs[_INCLUSION]
    if type(inclusions) is not list or [type(proof) for proof in inclusions] != [bytes]:
        raise MalformedError("a receipt holds one inclusion proof")
    # Booleans compare equal to 0 and 1, so the types are asked for by name.
    size, kind, structure = headers[TREE_SIZE], headers[cose.ALGORITHM], headers[cose.VERIFIABLE_DATA_STRUCTURE]
    if not type(size) is type(kind) is type(structure) is int or (kind, structure) != (Algorithm.ES256, RFC9162_SHA256):
        raise MalformedError("not a receipt of vds 1 with an ES256 signature")
    if message.payload is not None:
        raise MalformedError("a receipt's payload is detached")
    inclusion = parse_inclusion(inclusions[0])
    if size != inclusion.size:
        raise MalformedError("the signed tree size is not the proof's")
    key_id = shape.digest(headers[cose.KEY_ID])
    iss, origin, iat = shape.text(claims[1]), shape.text(claims[2]), shape.uint(claims[6])
    return Receipt(message.protected, key_id, iss, origin, iat, inclusion, message.signature)


def parse_inclusion(encoded: bytes) -> Inclusion:
    """Return the inclusion proof that ``encoded`` holds: [size, index, [hash…]] (RFC 9942 §5.2.1)."""
    value = cbor.decode(encoded)
    if type(value) is not list or [type(part) for part in value] != [int, int, list] or not merkle.is_path(value[2]):
        raise MalformedError("not an inclusion proof")
    return Inclusion(value[0], value[1], tuple(value[2]))


def root(receipt: Receipt, leaf: bytes) -> bytes:
    """Return the root that the receipt's path leads to from ``leaf``; raise ``MalformedError``."""
    return merkle.root_from_inclusion(
        receipt.inclusion.leaf_index, receipt.inclusion.size, leaf, receipt.inclusion.path
    )


def verify_head(protected: bytes, signature: bytes, head_root: bytes, key: PublicKey) -> None:
    """Check the signature of a tree head over its root; raise ``NotProvenError``."""
    if key.algorithm is not Algorithm.ES256:
        raise NotProvenError("a log signs receipts with ES256")
    key.verify(signature, cose.signed_bytes(protected, head_root))


def sign_head(size: int, head_root: bytes, *, iss: str, origin: str, iat: int, signer: Signer) -> HeadSignature:
    """Return the signature of a tree head (``iat`` in unix seconds)."""
    headers: dict[int, Any] = {
        cose.ALGORITHM: int(signer.public_key.algorithm),
        cose.KEY_ID: signer.public_key.thumbprint,
        cose.CWT_CLAIMS: {1: iss, 2: origin, 6: iat},
        cose.VERIFIABLE_DATA_STRUCTURE: RFC9162_SHA256,
        TREE_SIZE: size,
    }
    protected = cbor.encode(headers)
    return HeadSignature(protected, signer.sign(cose.signed_bytes(protected, head_root)))


def encode(head: HeadSignature, inclusion: Inclusion) -> bytes:
    """Return the receipt for one leaf of a signed head."""
    proof = cbor.encode([inclusion.size, inclusion.leaf_index, inclusion.path])
    unprotected = cbor.encode({cose.VERIFIABLE_DATA_PROOFS: {_INCLUSION: [proof]}})
    return cose.assemble(head.protected, None, head.signature, unprotected)
