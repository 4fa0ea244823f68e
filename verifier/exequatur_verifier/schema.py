"""How records stand on the wire: the shape of each kind's payload, mirrored in specs/records.cddl.

Every payload is one map with text keys, among them the profile version ``v``; a version that this build does not know
is ``UnsupportedError``, everything else out of shape ``MalformedError``.
"""

from typing import Any, Final

from . import cbor
from .errors import MalformedError, UnsupportedError
from .records import (
    VERSION,
    Action,
    Approval,
    Authorization,
    Decision,
    Disclosed,
    Enforcement,
    Engine,
    Enrolment,
    Epoch,
    Head,
    Kind,
    Link,
    Outcome,
    Policy,
    Record,
    Registration,
    Request,
    Resources,
    Status,
    StatusEntry,
    Verification,
)
from .shape import (
    Field,
    Optional,
    Shape,
    anything,
    digest,
    integer,
    many,
    mapping,
    note,
    octets,
    one_of,
    pair,
    plain,
    record,
    salt,
    text,
    uint,
    urn,
    word,
)


def _key(value: cbor.Value) -> dict[int, Any]:
    """A COSE_Key as a map; whether it is a usable key is found out by who uses it."""
    if type(value) is not dict or not all(type(label) is int for label in value):
        raise MalformedError("not a COSE_Key")
    return value


_LINKS: Final = many(pair(text, digest, Link), most=40)
_ACTION: Final = record(Action, type=text, commitment=digest)
_DISCLOSED: Final = Optional(record(Disclosed, salt=salt, content=octets))
_EPOCH: Final = record(Epoch, set=urn, number=uint)
_SEQUENCE: Final[dict[str, Field]] = {"links": _LINKS, "seq": uint, "prev": Optional(digest)}

SHAPES: Final[dict[Kind, Shape[Any]]] = {
    Kind.REQUEST: record(
        Request,
        links=_LINKS,
        action=_ACTION,
        audience=text,
        claims=mapping(anything),
        ttl=Optional(uint),
        uses=Optional(uint),
        disclosed=_DISCLOSED,
    ),
    Kind.DECISION: record(
        Decision,
        links=_LINKS,
        outcome=word("allow", "deny", "needs-approval"),
        reasons=many(text),
        errors=many(note),
        engine=record(Engine, name=text, version=text),
        query=Optional(digest),
        now=uint,
        code=Optional(text),
    ),
    Kind.AUTHORIZATION: record(
        Authorization,
        links=_LINKS,
        form=word("action", "grant"),
        mode=word("enforce", "observe", "break-glass"),
        action=_ACTION,
        terms=digest,
        uses=uint,
        epoch=_EPOCH,
        approvals=Optional(uint),
        depth=Optional(uint),
        status=Optional(record(StatusEntry, list=urn, idx=uint)),
        disclosed=_DISCLOSED,
    ),
    Kind.VERIFICATION: record(
        Verification,
        **_SEQUENCE,
        steps=many(pair(uint, text, lambda number, result: (number, result)), most=32),
        facts=digest,
        heads=many(record(Head, origin=text, size=uint, root=digest), most=16),
        trust=digest,
        enforcement=many(text),
        gate=word("protected", "unprotected"),
        use=uint,
    ),
    Kind.OUTCOME: record(
        Outcome,
        **_SEQUENCE,
        status=word("exited", "signaled", "killed", "failed", "orphaned", "not-executed"),
        started_ms=Optional(uint),
        ended_ms=Optional(uint),
        code=Optional(integer),
        signal=Optional(uint),
        stdout=Optional(digest),
        stderr=Optional(digest),
        resources=Optional(record(Resources, wall_us=uint, user_us=uint, system_us=uint, max_rss_kib=uint)),
        violations=Optional(many(text)),
        detail=Optional(note),
    ),
    Kind.ENFORCEMENT: record(
        Enforcement,
        **_SEQUENCE,
        action=word("deny", "kill", "revoke", "quarantine", "break-glass", "gap"),
        code=text,
        step=Optional(uint),
        detail=Optional(note),
        latency_us=Optional(uint),
        times=Optional(uint),
        about=Optional(digest),
    ),
    Kind.POLICY: record(
        Policy,
        links=_LINKS,
        set=urn,
        epoch=uint,
        engine=text,
        sources=digest,
        schema=digest,
        entities=digest,
        mapping=digest,
        activation=uint,
        approvals=Optional(uint),
    ),
    Kind.APPROVAL: record(
        Approval, links=_LINKS, commitment=digest, scope=word("once", "uses", "until", "task", "policy"), uses=uint
    ),
    Kind.STATUS: record(
        Status,
        links=_LINKS,
        list=urn,
        version=uint,
        next_update=uint,
        bits=uint,
        packed=octets,
        subjects=Optional(many(text)),
        policies=Optional(many(digest)),
        keys=Optional(many(digest)),
        epochs=Optional(many(_EPOCH)),
    ),
    Kind.ENROLMENT: record(
        Enrolment,
        links=_LINKS,
        form=word("genesis", "key", "log-keys", "registration"),
        iss=Optional(text),
        key=Optional(_key),
        kinds=Optional(many(one_of(Kind))),
        actions=Optional(many(text)),
        since=Optional(uint),
        until=Optional(uint),
        origin=Optional(text),
        receipt_keys=Optional(many(_key, most=16)),
        checkpoint_keys=Optional(many(text, most=16)),
        registration=Optional(record(Registration, max_bytes=uint, skew_s=uint)),
    ),
}
KIND_OF: Final[dict[type, Kind]] = {
    Request: Kind.REQUEST,
    Decision: Kind.DECISION,
    Authorization: Kind.AUTHORIZATION,
    Verification: Kind.VERIFICATION,
    Outcome: Kind.OUTCOME,
    Enforcement: Kind.ENFORCEMENT,
    Policy: Kind.POLICY,
    Approval: Kind.APPROVAL,
    Status: Kind.STATUS,
    Enrolment: Kind.ENROLMENT,
}


def decode(kind: Kind, payload: bytes) -> Record:
    """Return the record of that kind that a payload encodes; raise ``UnsupportedError`` or ``MalformedError``."""
    fields = cbor.decode_map(payload)
    version = fields.pop("v", None)
    if type(version) is not int:
        raise MalformedError("a payload names its profile version")
    if version != VERSION:
        raise UnsupportedError(f"profile version {version} is not known to this build")
    parsed: Record = SHAPES[kind](fields)
    return parsed


def encode(value: Record) -> bytes:
    """Return the payload of a record. Whether its fields are in shape shows when it is decoded."""
    return cbor.encode({"v": VERSION, **plain(value)})
