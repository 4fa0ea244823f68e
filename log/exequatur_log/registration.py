"""Registration: whether a signed statement is admitted, given what the log holds (specs/03 §3, RFC 9943 §6.3).

The rules are pure: the statement's signature has been checked with the key that its key id names
(``intake``), the time is the one that the next head will carry, and the registry answers for all earlier
entries. So an auditor decides the same again, for every entry, from the log alone (``fsck``).
"""

from typing import Final, NamedTuple, NoReturn, Protocol

from exequatur_verifier import lineage
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.lineage import Place
from exequatur_verifier.records import (
    Authorization,
    Decision,
    Enrolment,
    Kind,
    Link,
    Policy,
    Registration,
    Request,
)
from exequatur_verifier.statement import Statement

from .entry import thumbprint
from .errors import Code, Refused
from .genesis import read_log_keys

# What an authority may enrol keys for by itself; every other enrolment is the operator's.
DELEGABLE: Final = frozenset((Kind.REQUEST, Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT))
# What the key of an authorization's ``cnf`` claim may sign without an enrolment.
RUNTIME: Final = frozenset((Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT))
_MIN_STATEMENT: Final = 4096


class Standing(NamedTuple):
    """What later records depend on of an earlier one. ``holder`` is the thumbprint of an artifact's ``cnf`` key."""

    leaf_index: int
    kind: Kind
    subject: str
    signer: bytes
    links: tuple[Link, ...]
    outcome: str | None
    holder: bytes | None


class Enrolled(NamedTuple):
    """The standing enrolment of a key, that key's algorithm, and the thumbprint of the enrolment's signer."""

    enrolment: Enrolment
    algorithm: int
    signer: bytes


class Newest(NamedTuple):
    """The newest policy record of a set: its record id and its epoch."""

    id: bytes
    epoch: int


class Registry(Protocol):
    """What the log holds before the statement that is being decided, earlier ones of its batch included."""

    @property
    def operator(self) -> bytes:
        """The thumbprint of the operator's key."""
        ...

    @property
    def origin(self) -> str:
        """The origin of the log."""
        ...

    @property
    def registration(self) -> Registration:
        """The registration policy last committed."""
        ...

    def standing(self, record_id: bytes) -> Standing | None:
        """Return what is known of an earlier record, or ``None`` if the log does not hold it."""
        ...

    def enrolled(self, key_id: bytes) -> Enrolled | None:
        """Return the enrolment last committed for a key."""
        ...

    def newest_policy(self, name: str) -> Newest | None:
        """Return the newest policy record of a set."""
        ...


def admit(statement: Statement, index: int, time: int, registry: Registry) -> None:
    """Return if ``statement`` may stand at ``index`` under a head of ``time`` (unix seconds), or raise ``Refused``."""
    _check_bounds(statement, time, registry.registration)
    _check_links(statement, registry)
    _check_signer(statement, index, registry)
    match statement.record:
        case Authorization() as record:
            _check_authorization(record, registry)
        case Policy() as record:
            _check_policy(record, registry)
        case Enrolment() as record:
            _check_enrolment(record, statement, registry)
        case Request(links=links) if links:
            _refuse(Code.UNSUPPORTED, "delegated requests are not supported by this build; send one without a parent")
        case _:
            pass


def _refuse(code: Code, detail: str) -> NoReturn:
    raise Refused(code, detail)


def _check_bounds(statement: Statement, time: int, policy: Registration) -> None:
    if len(statement.entry) > policy.max_bytes:
        _refuse(
            Code.TOO_LARGE, f"{len(statement.entry)} bytes; this log's registration policy admits {policy.max_bytes}"
        )
    iat = statement.claims.iat
    if iat > time + policy.skew_s:
        _refuse(Code.SKEW, f"issued {iat - time} s after the log's time; set the issuer's clock and sign again")
    # A runtime's records may arrive long after they were made; that they are late shows in the entry's head.
    if statement.kind not in RUNTIME and iat < time - policy.skew_s:
        _refuse(Code.SKEW, f"issued {time - iat} s before the log's time; sign it again with the current time")


def _check_links(statement: Statement, registry: Registry) -> None:
    def find(record_id: bytes) -> Place | None:
        standing = registry.standing(record_id)
        return None if standing is None else Place(standing.kind, standing.subject)

    for link in statement.record.links:
        if registry.standing(link.id) is None:
            _refuse(Code.LINK_MISSING, f"the {link.relation} {link.id.hex()} is not in this log; register it first")
    try:
        lineage.check_links(statement, find)
    except NotProvenError as error:
        _refuse(Code.LINK_INVALID, f"{error}; link the records that specs/01 §5 allows")


def _check_signer(statement: Statement, index: int, registry: Registry) -> None:
    if statement.kind is Kind.ENROLMENT and statement.key_id == registry.operator:
        return
    # An authorization is enough for the runtime it is bound to, even after the key's enrolment has ended.
    if statement.kind in RUNTIME and _descends(statement, registry):
        return
    enrolled = registry.enrolled(statement.key_id)
    if enrolled is None or enrolled.algorithm != statement.algorithm:
        _refuse(
            Code.UNKNOWN_KEY, f"key {statement.key_id.hex()} is not enrolled in this log; ask its operator to enrol it"
        )
    entitled = enrolled.enrolment
    if index < entitled.since or (entitled.until is not None and index >= entitled.until):
        until = "on" if entitled.until is None else f"up to {entitled.until}"
        _refuse(
            Code.KEY_OUT_OF_RANGE, f"the key is enrolled for the indices from {entitled.since} {until}, not {index}"
        )
    if statement.kind not in entitled.kinds:
        _refuse(Code.KIND_NOT_ENROLLED, f"the key is not enrolled for records of kind {statement.kind.value}")
    if statement.claims.iss != entitled.iss:
        _refuse(Code.ISSUER_MISMATCH, f"the key is enrolled for {entitled.iss}, not for {statement.claims.iss}")
    if isinstance(statement.record, Request | Authorization):
        action = statement.record.action.type
        if action not in entitled.actions:
            _refuse(Code.ACTION_NOT_ENROLLED, f"the key is not enrolled for actions of type {action}")


def _descends(statement: Statement, registry: Registry) -> bool:
    """Say whether a runtime record follows its signer's own record, or an authorization bound to its signer's key."""
    for link in statement.record.links:
        standing = registry.standing(link.id)
        if standing is not None and statement.key_id == (
            standing.signer if standing.kind in RUNTIME else standing.holder
        ):
            return True
    return False


def _check_authorization(record: Authorization, registry: Registry) -> None:
    named = {link.relation: link.id for link in record.links}
    if "parent" in named or "approval" in named or record.form != "action" or record.mode != "enforce":
        _refuse(
            Code.UNSUPPORTED, "delegation, approvals and modes are not supported by this build; authorize without them"
        )
    decision = registry.standing(named["decision"])
    assert decision is not None
    if decision.outcome != "allow":
        _refuse(
            Code.DECISION_NOT_ALLOW, f"the decision says {decision.outcome}; only an allowed request can be authorized"
        )
    if any(Link(relation, named[relation]) not in decision.links for relation in ("request", "policy")):
        _refuse(Code.LINK_INVALID, "the decision is about another request or policy; link the ones it decided")


def _check_policy(record: Policy, registry: Registry) -> None:
    newest = registry.newest_policy(record.set)
    previous = [link.id for link in record.links]
    if newest is None:
        if record.epoch != 1 or previous:
            _refuse(Code.EPOCH_INVALID, f"the first record of {record.set} has epoch 1 and no previous")
    elif record.epoch != newest.epoch + 1 or previous != [newest.id]:
        _refuse(
            Code.EPOCH_INVALID,
            f"the next record of {record.set} has epoch {newest.epoch + 1} and links {newest.id.hex()} as previous",
        )


def _check_enrolment(record: Enrolment, statement: Statement, registry: Registry) -> None:
    of_operator = statement.key_id == registry.operator
    if record.origin is not None or record.form == "genesis":
        _refuse(Code.ENROLMENT_INVALID, "only entry 0 is a genesis and names the origin")
    if record.form == "log-keys":
        _check_log_keys(record, registry.origin, of_operator=of_operator)
        return
    if record.receipt_keys or record.checkpoint_keys:
        _refuse(Code.ENROLMENT_INVALID, "the log's own keys are replaced by a record of form log-keys")
    if record.form == "registration":
        _check_registration(record, of_operator=of_operator)
        return
    if record.key is None or record.iss is None or record.registration is not None:
        _refuse(Code.ENROLMENT_INVALID, "the enrolment of a key names the key and its iss, and no registration policy")
    if of_operator:
        return
    # What an authority enrols is its own: it gives nothing that it does not control, and takes nothing from
    # others.
    if not set(record.kinds) <= DELEGABLE:
        allowed = ", ".join(sorted(kind.value for kind in DELEGABLE))
        _refuse(Code.ENROLMENT_INVALID, f"an authority enrols keys for {allowed}; ask the operator for other kinds")
    key_id = thumbprint(record.key)
    former = registry.enrolled(key_id)
    if key_id == registry.operator or (former is not None and former.signer != statement.key_id):
        _refuse(Code.ENROLMENT_INVALID, "the key was enrolled by another; only they or the operator can replace that")


def _check_log_keys(record: Enrolment, origin: str, *, of_operator: bool) -> None:
    if not of_operator:
        _refuse(Code.ENROLMENT_INVALID, "the log's own keys are the operator's to change")
    if (
        any((record.iss, record.key, record.kinds, record.actions, record.since, record.registration))
        or record.until is not None
    ):
        _refuse(Code.ENROLMENT_INVALID, "a record of the log's keys names those keys and nothing else")
    try:
        read_log_keys(record, origin)
    except MalformedError as error:
        _refuse(Code.ENROLMENT_INVALID, f"{error}; name keys that this build can sign heads with")


def _check_registration(record: Enrolment, *, of_operator: bool) -> None:
    if not of_operator:
        _refuse(Code.ENROLMENT_INVALID, "a registration policy is the operator's to change")
    if record.registration is None or any(
        (record.iss, record.key, record.kinds, record.actions, record.since, record.until)
    ):
        _refuse(Code.ENROLMENT_INVALID, "a registration policy names its limits and nothing else")
    # A policy that refuses every enrolment could never be replaced.
    if record.registration.max_bytes < _MIN_STATEMENT:
        _refuse(Code.ENROLMENT_INVALID, f"a registration policy admits statements of at least {_MIN_STATEMENT} bytes")


def standing_of(statement: Statement, index: int, holder: bytes | None) -> Standing:
    """Return what later records depend on of ``statement``; ``holder`` is the thumbprint of its ``cnf`` key."""
    record = statement.record
    outcome = record.outcome if isinstance(record, Decision) else None
    claims = statement.claims
    return Standing(index, statement.kind, claims.sub, statement.key_id, record.links, outcome, holder)
