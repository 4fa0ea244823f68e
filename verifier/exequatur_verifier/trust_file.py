"""The trust policy as a TOML file that a reader can check (specs/06).

All keys stand in it, as base64 of a COSE_Key or as a C2SP verifier key; an unknown field is an error.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from . import note, shape
from .errors import MalformedError
from .keys import PublicKey
from .note import NoteKey, SignatureType
from .trust import (
    MODES,
    ApprovalTrust,
    EnforcementTrust,
    Group,
    Issuer,
    PolicyTrust,
    Receipts,
    Runtime,
    StatusTrust,
    Trust,
    TrustedLog,
)


def parse(data: bytes) -> Trust:
    """Return the trust policy that a TOML file holds; raise ``MalformedError`` that names the field."""
    import tomllib  # only who reads a file pays for the parser

    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # also digits and nesting beyond what the interpreter takes
        raise MalformedError(f"the trust policy is not TOML: {error}") from None
    parsed: _Document = _DOCUMENT(document)
    logs = {log.origin: log for log in parsed.logs}
    _refuse_duplicates("log origin", [log.origin for log in parsed.logs])
    _refuse_duplicates("receipt key of a log", [key.thumbprint for log in parsed.logs for key in log.receipt_keys])
    _refuse_duplicates(
        "checkpoint key of a log", [key.public_key.encoded for log in parsed.logs for key in log.checkpoint_vkeys]
    )
    if not 1 <= parsed.receipts.k <= len(logs):
        raise MalformedError(f"receipts.k is {parsed.receipts.k}, but there are {len(logs)} logs")
    for log in parsed.logs:
        if any(key.type is not SignatureType.ED25519 or key.name != log.origin for key in log.checkpoint_vkeys):
            raise MalformedError(f"the checkpoint keys of {log.origin} are Ed25519 keys named like the origin")
    if not 1 <= parsed.policy.threshold <= max(1, len(parsed.policy.owners)):
        raise MalformedError(
            f"policy.threshold is {parsed.policy.threshold}, but there are {len(parsed.policy.owners)} owners"
        )
    _refuse_duplicates("policy owner", [key.thumbprint for key in parsed.policy.owners])
    for field, modes in (("modes", parsed.modes), ("approvals.modes", parsed.approvals.modes)):
        if not modes.keys() <= MODES:
            raise MalformedError(f"{field} names a mode other than {' and '.join(sorted(MODES))}")
    quorum = _quorum(parsed.witness)
    return Trust(
        sha256(data).digest(),
        parsed.leeway,
        parsed.runtime,
        parsed.issuers,
        logs,
        parsed.receipts,
        tuple(parsed.witness.keys.values()),
        quorum,
        parsed.policy,
        parsed.modes,
        parsed.enforcement,
        parsed.approvers,
        parsed.approvals,
        parsed.status,
    )


class _Witness(NamedTuple):
    quorum: str = "none"
    keys: Mapping[str, NoteKey] = {}
    groups: Mapping[str, tuple[Any, ...]] = {}


class _Document(NamedTuple):
    leeway: int
    runtime: Runtime
    issuers: tuple[Issuer, ...]
    logs: tuple[TrustedLog, ...]
    receipts: Receipts = Receipts()
    witness: _Witness = _Witness()
    policy: PolicyTrust = PolicyTrust()
    modes: Mapping[str, tuple[str, ...]] = {}
    enforcement: EnforcementTrust = EnforcementTrust()
    approvers: tuple[Issuer, ...] = ()
    approvals: ApprovalTrust = ApprovalTrust()
    status: StatusTrust = StatusTrust()


def _key(value: Any) -> PublicKey:
    return PublicKey.from_cose(note.decode_base64(_long_text(value)))


def _vkey(value: Any) -> NoteKey:
    return note.parse_key(_long_text(value))


def _long_text(value: Any) -> str:
    # An ML-DSA key is longer than a line of text elsewhere.
    if type(value) is not str or not value.isprintable():
        raise MalformedError("not the text of a key")
    return value


def _record_id(value: Any) -> bytes:
    try:
        return shape.digest(bytes.fromhex(shape.text(value)))
    except ValueError:
        raise MalformedError("not a record id in hexadecimal") from None


_KEYS: Final = shape.many(_key, least=1)
_SIGNERS: Final = shape.many(
    shape.record(
        Issuer,
        iss=shape.text,
        keys=_KEYS,
        actions=shape.many(shape.text, least=1),
        since=shape.Optional(shape.uint),
        until=shape.Optional(shape.uint),
    )
)
_DOCUMENT: Final = shape.record(
    _Document,
    leeway=shape.uint,
    runtime=shape.record(Runtime, id=shape.text, key=_key),
    issuers=_SIGNERS,
    logs=shape.many(
        shape.record(
            TrustedLog,
            iss=shape.text,
            origin=shape.text,
            genesis=_record_id,
            receipt_keys=_KEYS,
            checkpoint_vkeys=shape.many(_vkey, least=1),
            max_age=shape.uint,
        ),
        least=1,
    ),
    receipts=shape.Optional(shape.record(Receipts, k=shape.uint)),
    witness=shape.Optional(
        shape.record(
            _Witness,
            quorum=shape.text,
            keys=shape.mapping(_vkey),
            groups=shape.Optional(shape.mapping(shape.many(shape.anything, least=2))),
        )
    ),
    policy=shape.Optional(
        shape.record(
            PolicyTrust,
            owners=shape.Optional(_KEYS),
            threshold=shape.Optional(shape.uint),
            accept=shape.Optional(shape.many(_record_id)),
            min_epoch=shape.Optional(shape.uint),
            max_age=shape.Optional(shape.uint),
        )
    ),
    modes=shape.Optional(shape.mapping(shape.many(shape.text))),
    enforcement=shape.Optional(
        shape.record(
            EnforcementTrust,
            required=shape.Optional(shape.many(shape.text)),
            protected_home=shape.Optional(shape.boolean),
        )
    ),
    approvers=shape.Optional(_SIGNERS),
    approvals=shape.Optional(
        shape.record(
            ApprovalTrust,
            required=shape.Optional(shape.mapping(shape.uint)),
            modes=shape.Optional(shape.mapping(shape.uint)),
        )
    ),
    status=shape.Optional(
        shape.record(StatusTrust, required=shape.Optional(shape.many(shape.text)), max_age=shape.Optional(shape.uint))
    ),
)


def _quorum(witness: _Witness) -> Group | None:
    """Resolve the groups, each of which names only what stands before it; refuse what C2SP tlog-policy refuses."""
    _refuse_duplicates("witness key", [key.public_key.encoded for key in witness.keys.values()])
    if any(key.type is SignatureType.ED25519 for key in witness.keys.values()):
        raise MalformedError("a witness key is one for cosignatures, of type 0x04 or 0x06")
    known: dict[str, NoteKey | Group] = dict(witness.keys)
    used: list[str] = []
    for name, (threshold, *members) in witness.groups.items():
        if name in known or name == "none" or any(type(member) is not str or member not in known for member in members):
            raise MalformedError(f"witness group {name!r} has a name or a member that cannot be")
        least = {"all": len(members), "any": 1}.get(threshold, threshold) if type(threshold) in (str, int) else 0
        if type(least) is not int or not 1 <= least <= len(members):
            raise MalformedError(f"witness group {name!r} asks for {threshold!r} of {len(members)} members")
        known[name] = Group(least, tuple(known[member] for member in members))
        used += members
    _refuse_duplicates("member of witness groups", used)
    if witness.quorum == "none":
        return None
    if witness.quorum not in known:
        raise MalformedError(f"the quorum {witness.quorum!r} is no witness or group")
    chosen = known[witness.quorum]
    return chosen if isinstance(chosen, Group) else Group(1, (chosen,))


def _refuse_duplicates(what: str, values: list[Any]) -> None:
    if len(set(values)) != len(values):
        raise MalformedError(f"a {what} stands twice in the trust policy")
