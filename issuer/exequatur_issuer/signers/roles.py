"""What a key may sign, by the role that it is held for (specs/09 §9).

A daemon that signs whatever it is handed lends its keys out: who can reach it could sign a policy with the authority's
key, or another history with the log's. So it reads what it is about to sign, as strictly as a verifier would:

    84 6a "Signature1" …     the Sig_structure of a statement, whose kind is in its content type, or of a tree head
    origin, size, root         a checkpoint: three lines, which the log's second key signs

No bytes are both, and whatever is neither is refused.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import cbor, checkpoint, cose, receipt, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.merkle import HASH_SIZE
from exequatur_verifier.records import Approval, Kind
from exequatur_verifier.statement import MAX_STATEMENT

# A Sig_structure is shorter than the statement that it becomes, but for its context.
MAX_MESSAGE: Final = MAX_STATEMENT + 64
HEAD: Final = "head"
CHECKPOINT: Final = "checkpoint"
ENDORSEMENT: Final = "approval of a policy"

# A policy owner consents to policies only, and an approver never to one.
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "authority": frozenset(
        kind.value for kind in (Kind.DECISION, Kind.AUTHORIZATION, Kind.STATUS, Kind.ENFORCEMENT, Kind.ENROLMENT)
    ),
    "owner": frozenset((Kind.POLICY.value, ENDORSEMENT)),
    "requester": frozenset((Kind.REQUEST.value,)),
    "approver": frozenset((Kind.APPROVAL.value,)),
    "runtime": frozenset(kind.value for kind in (Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT)),
    "operator": frozenset((Kind.ENROLMENT.value,)),
    "receipts": frozenset((HEAD,)),
    "checkpoints": frozenset((CHECKPOINT,)),
}


class Subject(NamedTuple):
    """What a message is, in one of the words of ``ROLES``, and its SHA-256, a statement's record id."""

    kind: str
    digest: bytes


def read_subject(message: bytes, key: PublicKey) -> Subject:
    """Return what ``message`` is, if ``key`` would sign it under its own name; raise ``MalformedError``."""
    if len(message) > MAX_MESSAGE:
        raise MalformedError(f"what is signed is at most {MAX_MESSAGE} bytes long")
    return Subject(_kind(message, key), sha256(message).digest())


def _kind(message: bytes, key: PublicKey) -> str:
    if message[:1] != b"\x84":
        try:
            checkpoint.parse(message.decode())
        except UnicodeDecodeError:
            raise MalformedError("neither a statement, a tree head nor a checkpoint") from None
        return CHECKPOINT
    parts = cbor.decode(message)
    if type(parts) is not list or [type(part) for part in parts] != [str, bytes, bytes, bytes]:
        raise MalformedError("not a Sig_structure")
    _, protected, _, payload = parts
    if message != cose.signed_bytes(protected, payload):
        raise MalformedError("not the Sig_structure of a COSE_Sign1 without external data")
    headers = cbor.decode_map(protected)
    if (headers.get(cose.ALGORITHM), headers.get(cose.KEY_ID)) != (int(key.algorithm), key.thumbprint):
        raise MalformedError("the header names another key or algorithm than the one that is asked to sign")
    if cose.CONTENT_TYPE in headers:
        return _statement_kind(protected, payload)
    _check_head(headers, protected, payload)
    return HEAD


def _statement_kind(protected: bytes, payload: bytes) -> str:
    parsed = statement.parse(cose.assemble(protected, payload, b""))
    if isinstance(parsed.record, Approval) and parsed.record.scope == "policy":
        return ENDORSEMENT
    return parsed.kind.value


def _check_head(headers: Mapping[object, object], protected: bytes, payload: bytes) -> None:
    """Check that this is what a receipt's signature is over: the root, under a header with the size."""
    size = headers.get(receipt.TREE_SIZE)
    if type(size) is not int or not size or len(payload) != HASH_SIZE:
        raise MalformedError("neither a statement nor a tree head")
    receipt.parse(receipt.encode(receipt.HeadSignature(protected, b""), receipt.Inclusion(size, 0, ())))
