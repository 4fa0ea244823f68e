"""Signed statements: a record in its envelope (RFC 9943 §6, specs/02 §2).

    protected    {1: alg, 3: "application/vnd.exequatur.<kind>+cbor", 4: key id, 15: CWT claims}
    unprotected  {} when registered; {394: [receipts]} in a transparent statement
    payload      the record, see ``schema``

The record id is the SHA-256 of what was signed, so it stays the same under receipts, other encodings of the signature
and re-signing. The leaf is the hash of the whole statement, exactly as received, with an empty unprotected header.
"""

from hashlib import sha256
from typing import Final, NamedTuple

from . import cbor, cose, merkle, schema, shape
from .errors import MalformedError, UnsupportedError
from .keys import Algorithm, PublicKey
from .records import Kind, Record
from .signing import Signer

MAX_STATEMENT: Final = 65_535  # a tlog-tiles entry
_PREFIX: Final = "application/vnd.exequatur."
_KIND_OF: Final = {f"{_PREFIX}{kind.value}+cbor": kind for kind in Kind}
_ALGORITHMS: Final = frozenset(int(member) for member in Algorithm)
_HEADERS: Final = {cose.ALGORITHM, cose.CONTENT_TYPE, cose.KEY_ID, cose.CWT_CLAIMS}

# CWT claims by label (RFC 8392, RFC 8747): the shape of each.
_ISS, _SUB, _AUD, _EXP, _NBF, _IAT, _CTI, _CNF = range(1, 9)
_ALWAYS: Final = frozenset((_ISS, _SUB, _IAT, _CTI))
# The further claims that a kind must carry; it may carry no others.
_FURTHER: Final[dict[Kind, frozenset[int]]] = {
    Kind.AUTHORIZATION: frozenset((_AUD, _EXP, _NBF, _CNF)),
    Kind.APPROVAL: frozenset((_EXP,)),
}


class Claims(NamedTuple):
    """CWT claims: issuer, subject (the execution's URN), unix times, a unique id, audience, confirmation key."""

    iss: str
    sub: str
    iat: int
    cti: bytes
    aud: str | None = None
    exp: int | None = None
    nbf: int | None = None
    cnf: bytes | None = None


class Statement(NamedTuple):
    """A decoded statement. Nothing in it is verified; ``message`` holds the parts as received."""

    message: cose.Sign1
    kind: Kind
    algorithm: int
    key_id: bytes
    claims: Claims
    record: Record
    id: bytes
    entry: bytes

    @property
    def leaf(self) -> bytes:
        """The leaf hash of the registered statement."""
        return merkle.leaf_hash(self.entry)


def parse(data: bytes) -> Statement:
    """Return the registered statement that ``data`` encodes; raise ``MalformedError``.

    Its unprotected header is empty.
    """
    if len(data) > MAX_STATEMENT:
        raise MalformedError(f"a statement is at most {MAX_STATEMENT} bytes long")
    message = cose.decode(data)
    if message.unprotected:
        raise MalformedError("the unprotected header of a registered statement is empty")
    return _statement(message, data)


def parse_transparent(data: bytes) -> tuple[Statement, tuple[bytes, ...]]:
    """Return the statement and the encoded receipts of a transparent statement; raise ``MalformedError``."""
    message = cose.decode(data)
    receipts: cbor.Value = message.unprotected.get(cose.RECEIPTS)
    if len(message.unprotected) != 1 or type(receipts) is not list or not all(type(item) is bytes for item in receipts):
        raise MalformedError("the unprotected header of a transparent statement holds receipts and nothing else")
    entry = cose.assemble(message.protected, message.payload, message.signature)
    if len(entry) > MAX_STATEMENT:
        raise MalformedError(f"a statement is at most {MAX_STATEMENT} bytes long")
    return _statement(message, entry), tuple(receipts)


def attach(entry: bytes, receipts: tuple[bytes, ...]) -> bytes:
    """Return the transparent statement of a registered one and its receipts (RFC 9942 §4.4)."""
    message = cose.decode(entry)
    unprotected = cbor.encode({cose.RECEIPTS: receipts})
    return cose.assemble(message.protected, message.payload, message.signature, unprotected)


def sign(record: Record, claims: Claims, signer: Signer) -> bytes:
    """Return the signed statement of a record; raise ``ValueError`` if it would not parse: the caller's mistake."""
    kind = schema.KIND_OF[type(record)]
    values = {1: claims.iss, 2: claims.sub, 3: claims.aud, 4: claims.exp, 5: claims.nbf, 6: claims.iat, 7: claims.cti}
    headers = {
        cose.CONTENT_TYPE: f"{_PREFIX}{kind.value}+cbor",
        cose.KEY_ID: signer.public_key.thumbprint,
        cose.CWT_CLAIMS: {label: value for label, value in values.items() if value is not None}
        | ({} if claims.cnf is None else {_CNF: {1: cbor.decode(claims.cnf)}}),
    }
    data = cose.sign1(headers, schema.encode(record), signer)
    try:
        parse(data)
    except MalformedError as error:
        raise ValueError(f"not a statement of this profile: {error}") from None
    return data


def verify(statement: Statement, key: PublicKey) -> None:
    """Check the statement's signature with ``key``; raise ``NotProvenError``.

    Whether the key may sign it is not asked.
    """
    if statement.algorithm != key.algorithm:
        raise UnsupportedError(
            f"signed with algorithm {statement.algorithm}, but the key is one for {key.algorithm.name}"
        )
    payload = statement.message.payload or b""
    key.verify(statement.message.signature, cose.signed_bytes(statement.message.protected, payload))


def _statement(message: cose.Sign1, entry: bytes) -> Statement:
    headers = message.headers
    algorithm, key_id = headers.get(cose.ALGORITHM), headers.get(cose.KEY_ID)
    if headers.keys() != _HEADERS or message.payload is None:
        raise MalformedError(
            "a statement's protected header has the labels 1, 3, 4 and 15, and its payload is attached"
        )
    content_type = headers[cose.CONTENT_TYPE]
    kind = _KIND_OF.get(content_type) if type(content_type) is str else None
    if kind is None:
        raise UnsupportedError("the content type is none of the ten kinds")
    if type(algorithm) is not int or algorithm not in _ALGORITHMS:
        raise UnsupportedError("the signature algorithm is none of the profile's")
    claims = _claims(kind, headers[cose.CWT_CLAIMS])
    record = schema.decode(kind, message.payload)
    signed = sha256(cose.signed_bytes(message.protected, message.payload)).digest()
    return Statement(message, kind, algorithm, shape.digest(key_id), claims, record, signed, entry)


def _claims(kind: Kind, claims: cbor.Value) -> Claims:
    if type(claims) is not dict or claims.keys() != _ALWAYS | _FURTHER.get(kind, frozenset()):
        raise MalformedError(f"the claims are not those of a statement of kind {kind.value}")
    key = None
    if _CNF in claims:
        confirmation: cbor.Value = claims[_CNF]
        key_map: cbor.Value = confirmation.get(1) if type(confirmation) is dict and len(confirmation) == 1 else None
        if type(key_map) is not dict:
            raise MalformedError("the confirmation claim holds one COSE_Key")
        key = cbor.encode_again(key_map)
    return Claims(
        shape.text(claims[_ISS]),
        shape.urn(claims[_SUB]),
        shape.uint(claims[_IAT]),
        shape.salt(claims[_CTI]),
        shape.text(claims[_AUD]) if _AUD in claims else None,
        shape.uint(claims[_EXP]) if _EXP in claims else None,
        shape.uint(claims[_NBF]) if _NBF in claims else None,
        key,
    )
