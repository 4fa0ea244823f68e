"""The first entry of a log, and the enrolments after it (specs/01 §4, specs/03 §2).

Entry 0 is the *genesis*: signed by the operator, it names the operator's key, the log's iss and origin, the
keys of its receipts and checkpoints, and the first registration policy. Trust pins its record id. Every later
key enters by an enrolment, which replaces the one before it for the same key. The keys that the log signs its
heads with are replaced together, by a record of form ``log-keys``.
"""

from collections.abc import Iterable, Mapping

from exequatur_verifier import cbor, note, statement
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.note import NoteKey, SignatureType
from exequatur_verifier.records import Enrolment, Kind, Registration
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement

from .head import Identity, LogKeys

DEFAULT_REGISTRATION = Registration(max_bytes=statement.MAX_STATEMENT, skew_s=300)


def sign_genesis(
    operator: Signer,
    keys: LogKeys,
    *,
    now: int,
    unique: bytes,
    registration: Registration = DEFAULT_REGISTRATION,
) -> bytes:
    """Return the genesis of the log with these keys. ``unique`` is 16 random bytes, ``now`` in unix seconds."""
    keys.check()
    record = Enrolment(
        links=(),
        form="genesis",
        iss=keys.iss,
        key=_parameters(operator.public_key),
        origin=keys.origin,
        receipt_keys=(_parameters(keys.receipt.public_key),),
        checkpoint_keys=(note.format_key(keys.note_key),),
        registration=registration,
    )
    return statement.sign(record, Claims(keys.iss, f"urn:uuid:{_uuid(unique)}", now, unique), operator)


def sign_enrolment(
    signer: Signer,
    key: PublicKey,
    *,
    iss: str,
    enroller: str,
    kinds: Iterable[Kind],
    now: int,
    unique: bytes,
    actions: Iterable[str] = (),
    since: int = 0,
    until: int | None = None,
) -> bytes:
    """Return the enrolment of ``key`` for these kinds by ``iss``, at the indices from ``since`` up to ``until``.

    ``enroller`` is the iss of the one who signs: the log's own for the operator, an authority's for its
    requesters and runtimes. ``actions`` are the types of action whose requests and authorizations the key may
    sign; none when empty.
    """
    record = Enrolment(
        links=(),
        form="key",
        iss=iss,
        key=_parameters(key),
        kinds=tuple(sorted(set(kinds), key=lambda kind: kind.value)),
        actions=tuple(sorted(set(actions))),
        since=since,
        until=until,
    )
    return statement.sign(record, Claims(enroller, f"urn:uuid:{_uuid(unique)}", now, unique), signer)


def sign_registration(operator: Signer, registration: Registration, *, iss: str, now: int, unique: bytes) -> bytes:
    """Return the record that replaces the registration policy of the log whose iss this is."""
    record = Enrolment(links=(), form="registration", registration=registration)
    return statement.sign(record, Claims(iss, f"urn:uuid:{_uuid(unique)}", now, unique), operator)


def sign_log_keys(
    operator: Signer,
    receipt_keys: Iterable[PublicKey],
    checkpoint_keys: Iterable[NoteKey],
    *,
    iss: str,
    now: int,
    unique: bytes,
) -> bytes:
    """Return the record that replaces the keys that sign the heads of the log whose iss this is."""
    record = Enrolment(
        links=(),
        form="log-keys",
        receipt_keys=tuple(_parameters(key) for key in receipt_keys),
        checkpoint_keys=tuple(note.format_key(key) for key in checkpoint_keys),
    )
    return statement.sign(record, Claims(iss, f"urn:uuid:{_uuid(unique)}", now, unique), operator)


def read_genesis(first: Statement) -> Identity:
    """Return the log that a genesis names, its signature checked; raise ``MalformedError`` or ``NotProvenError``."""
    record = first.record
    if not isinstance(record, Enrolment) or record.form != "genesis":
        raise MalformedError("entry 0 of a log is its genesis")
    if record.key is None or record.iss is None or record.origin is None or record.registration is None:
        raise MalformedError("a genesis names the operator's key, iss, origin and a registration policy")
    if record.links or record.kinds or record.actions or record.since or record.until is not None:
        raise MalformedError("a genesis has no links and no range")
    if first.claims.iss != record.iss:
        raise MalformedError("a genesis is issued by the log")
    operator = PublicKey(dict(record.key))
    if first.key_id != operator.thumbprint:
        raise NotProvenError("a genesis is signed with the operator's key that it names")
    statement.verify(first, operator)
    return Identity(first.id, record.iss, record.origin, operator, *read_log_keys(record, record.origin))


def read_log_keys(record: Enrolment, origin: str) -> tuple[Mapping[bytes, PublicKey], tuple[NoteKey, ...]]:
    """Return the keys that a genesis or a ``log-keys`` record names for receipts, by thumbprint, and checkpoints.

    Raises ``MalformedError``. Who signed the record is not checked.
    """
    receipt_keys = [PublicKey(dict(key)) for key in record.receipt_keys]
    checkpoint_keys = tuple(note.parse_key(text) for text in record.checkpoint_keys)
    if not receipt_keys or not checkpoint_keys:
        raise MalformedError("a log has a key for its receipts and one for its checkpoints")
    if any(key.algorithm is not Algorithm.ES256 for key in receipt_keys):
        raise MalformedError("a log's receipt keys are ES256 keys")
    if any(key.name != origin or key.type is not SignatureType.ED25519 for key in checkpoint_keys):
        raise MalformedError("a log's checkpoint keys are Ed25519 keys named like its origin")
    return {key.thumbprint: key for key in receipt_keys}, checkpoint_keys


def rotated(identity: Identity, later: Statement) -> Identity:
    """Return the log as it is after ``later``: with other keys if that is the operator's ``log-keys`` record.

    Raises ``MalformedError``, or ``NotProvenError`` for such a record that the operator did not sign.
    """
    record = later.record
    if not isinstance(record, Enrolment) or record.form != "log-keys":
        return identity
    if later.key_id != identity.operator.thumbprint:
        raise NotProvenError("the keys of a log are the operator's to change")
    statement.verify(later, identity.operator)
    receipt_keys, checkpoint_keys = read_log_keys(record, identity.origin)
    return identity._replace(receipt_keys=receipt_keys, checkpoint_keys=checkpoint_keys)


def check_keys(identity: Identity, keys: LogKeys) -> None:
    """Check that the log has these keys in force, this iss and origin; raise ``NotProvenError``."""
    if (keys.iss, keys.origin) != (identity.iss, identity.origin):
        raise NotProvenError(f"the log is {identity.iss} {identity.origin}, not {keys.iss} {keys.origin}")
    if identity.receipt_keys.get(keys.receipt.public_key.thumbprint) != keys.receipt.public_key:
        raise NotProvenError("the receipt key is not in force in the log")
    if keys.note_key not in identity.checkpoint_keys:
        raise NotProvenError("the checkpoint key is not in force in the log")


def _parameters(key: PublicKey) -> dict[int, object]:
    return cbor.decode_map(key.encoded)


def _uuid(unique: bytes) -> str:
    text = unique.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
