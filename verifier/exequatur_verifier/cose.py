"""COSE_Sign1 (RFC 9052 §4.2): decoding, the bytes that are signed, and writing.

    COSE_Sign1_Tagged = #6.18([ protected: bstr, unprotected: map, payload: bstr / nil, signature: bstr ])

The whole message must be deterministically encoded (specs/02 §2), so what is decoded can be put together again byte for
byte. The protected header is kept as received: signatures, record ids and leaves are computed over those bytes, never
over a re-encoding.
"""

from typing import Any, Final, NamedTuple

from . import cbor
from .errors import MalformedError
from .signing import Signer

ALGORITHM: Final = 1
CRITICAL: Final = 2
CONTENT_TYPE: Final = 3
KEY_ID: Final = 4
CWT_CLAIMS: Final = 15
RECEIPTS: Final = 394  # RFC 9942
VERIFIABLE_DATA_STRUCTURE: Final = 395
VERIFIABLE_DATA_PROOFS: Final = 396

_TAG: Final = b"\xd2"
_CONTEXT: Final = b"\x84\x6aSignature1"
_EMPTY: Final = b"\xa0"
_SHAPES: Final = ([bytes, dict, bytes, bytes], [bytes, dict, type(None), bytes])


class Sign1(NamedTuple):
    """A decoded message. ``protected`` is as received; ``headers`` is what it encodes. Nothing is verified."""

    protected: bytes
    headers: dict[Any, Any]
    unprotected: dict[Any, Any]
    payload: bytes | None
    signature: bytes


def decode(data: bytes, *, tagged: bool = True) -> Sign1:
    """Return the message that ``data`` encodes, and nothing more; raise ``MalformedError``.

    Checked: the tag (or its absence), the shape, determinism of all parts, no label in both headers, and that ``crit``
    (RFC 9052 §3.1) is a non-empty list of labels that are present. Whether they are understood is the caller's to
    check.
    """
    if tagged:
        if data[:1] != _TAG:
            raise MalformedError("not a tagged COSE_Sign1")
        data = data[1:]
    parts = cbor.decode(data)
    if type(parts) is not list or [type(part) for part in parts] not in _SHAPES:
        raise MalformedError("not a COSE_Sign1")
    protected, unprotected, payload, signature = parts
    headers = cbor.decode_map(protected) if protected else {}
    if not headers.keys().isdisjoint(unprotected):
        raise MalformedError("a label stands in both headers")
    if CRITICAL in unprotected:
        raise MalformedError("crit is not protected")
    if CRITICAL in headers and not _lists_labels(headers[CRITICAL], headers):
        raise MalformedError("crit does not list labels of the protected header")
    return Sign1(protected, headers, unprotected, payload, signature)


def _lists_labels(critical: cbor.Value, headers: dict[Any, Any]) -> bool:
    return (
        isinstance(critical, list)
        and critical != []
        and all(type(label) in (int, str) and label in headers for label in critical)
    )


def signed_bytes(protected: bytes, payload: bytes, external_aad: bytes = b"") -> bytes:
    """Return the encoded ``Sig_structure`` (RFC 9052 §4.4): what is signed, and whose SHA-256 is the record id."""
    if protected == _EMPTY:
        protected = b""
    return _CONTEXT + cbor.bstr(protected) + cbor.bstr(external_aad) + cbor.bstr(payload)


def assemble(protected: bytes, payload: bytes | None, signature: bytes, unprotected: bytes = _EMPTY) -> bytes:
    """Return the tagged message with the given parts; ``unprotected`` is an encoded map, empty by default."""
    body = b"\xf6" if payload is None else cbor.bstr(payload)
    return b"".join((_TAG, b"\x84", cbor.bstr(protected), unprotected, body, cbor.bstr(signature)))


def sign1(headers: dict[int, Any], payload: bytes, signer: Signer) -> bytes:
    """Return a signed message with an empty unprotected header; to ``headers`` the key's algorithm is added."""
    protected = cbor.encode({ALGORITHM: int(signer.public_key.algorithm), **headers})
    return assemble(protected, payload, signer.sign(signed_bytes(protected, payload)))
