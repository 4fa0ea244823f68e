"""Registration: whether a signed statement is admitted, given what the log holds (specs/03 §3, RFC 9943 §6.3).

The rules are pure: the statement's signature has been checked with the key that its key id names
(``intake``), the time is the one that the next head will carry, and the registry answers for all earlier
entries. So an auditor decides the same again, for every entry, from the log alone (``fsck``).
"""

from typing import Final

from exequatur_verifier import lineage
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.lineage import Place
from exequatur_verifier.records import (
    Approval,
    Authorization,
    Decision,
    Enrolment,
    Kind,
    Link,
    Policy,
    Registration,
    Request,
    Status,
)
from exequatur_verifier.statement import Statement

from . import consent, delegation
from .enrolling import check_enrolment
from .errors import Code
from .standing import Registry, refuse

# What the key of an authorization's ``cnf`` claim may sign without an enrolment.
RUNTIME: Final = frozenset((Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT))
_STATUS_BITS: Final = (1, 2, 4, 8)


def admit(statement: Statement, index: int, time: int, registry: Registry) -> None:
    """Return if ``statement`` may stand at ``index`` under a head of ``time`` (unix seconds), or raise ``Refused``."""
    _check_bounds(statement, time, registry.registration)
    _check_links(statement, registry)
    _check_signer(statement, index, registry)
    match statement.record:
        case Request():
            delegation.check_asked(statement, registry)
        case Decision() as record:
            consent.check_decided(record, registry)
        case Authorization() as record:
            _check_authorization(record, statement, registry)
        case Approval() as record:
            consent.check_approval(record, statement, registry)
        case Policy() as record:
            _check_policy(record, registry)
        case Status() as record:
            _check_status(record, statement, registry)
        case Enrolment() as record:
            check_enrolment(record, statement, registry)
        case _:
            pass


def _check_bounds(statement: Statement, time: int, policy: Registration) -> None:
    if len(statement.entry) > policy.max_bytes:
        refuse(
            Code.TOO_LARGE, f"{len(statement.entry)} bytes; this log's registration policy admits {policy.max_bytes}"
        )
    iat = statement.claims.iat
    if iat > time + policy.skew_s:
        refuse(Code.SKEW, f"issued {iat - time} s after the log's time; set the issuer's clock and sign again")
    # A runtime's records may arrive long after they were made; that they are late shows in the entry's head.
    if statement.kind not in RUNTIME and iat < time - policy.skew_s:
        refuse(Code.SKEW, f"issued {time - iat} s before the log's time; sign it again with the current time")


def _check_links(statement: Statement, registry: Registry) -> None:
    def find(record_id: bytes) -> Place | None:
        standing = registry.standing(record_id)
        return None if standing is None else Place(standing.kind, standing.subject)

    for link in statement.record.links:
        if registry.standing(link.id) is None:
            refuse(Code.LINK_MISSING, f"the {link.relation} {link.id.hex()} is not in this log; register it first")
    try:
        lineage.check_links(statement, find)
    except NotProvenError as error:
        refuse(Code.LINK_INVALID, f"{error}; link the records that specs/01 §5 allows")


def _check_signer(statement: Statement, index: int, registry: Registry) -> None:
    if statement.kind is Kind.ENROLMENT and statement.key_id == registry.operator:
        return
    # An authorization is enough for the runtime it is bound to, even after the key's enrolment has ended.
    if statement.kind in RUNTIME and _descends(statement, registry):
        return
    if statement.record.links and delegation.holds_parent(statement, registry):
        delegation.check_holder(statement, index, registry)
        return
    enrolled = registry.enrolled(statement.key_id)
    if enrolled is None or enrolled.algorithm != statement.algorithm:
        refuse(
            Code.UNKNOWN_KEY, f"key {statement.key_id.hex()} is not enrolled in this log; ask its operator to enrol it"
        )
    entitled = enrolled.enrolment
    if index < entitled.since or (entitled.until is not None and index >= entitled.until):
        until = "on" if entitled.until is None else f"up to {entitled.until}"
        refuse(Code.KEY_OUT_OF_RANGE, f"the key is enrolled for the indices from {entitled.since} {until}, not {index}")
    if statement.kind not in entitled.kinds:
        refuse(Code.KIND_NOT_ENROLLED, f"the key is not enrolled for records of kind {statement.kind.value}")
    if statement.claims.iss != entitled.iss:
        refuse(Code.ISSUER_MISMATCH, f"the key is enrolled for {entitled.iss}, not for {statement.claims.iss}")
    if isinstance(statement.record, Request | Authorization):
        action = statement.record.action.type
        if action not in entitled.actions:
            refuse(Code.ACTION_NOT_ENROLLED, f"the key is not enrolled for actions of type {action}")


def _descends(statement: Statement, registry: Registry) -> bool:
    """Say whether a runtime record follows its signer's own record, or an authorization bound to its signer's key."""
    for link in statement.record.links:
        standing = registry.standing(link.id)
        if standing is None:
            continue
        holder = None if standing.artifact is None else standing.artifact.holder
        if statement.key_id == (standing.signer if standing.kind in RUNTIME else holder):
            return True
    return False


def _check_authorization(record: Authorization, statement: Statement, registry: Registry) -> None:
    named = {link.relation: link.id for link in record.links}
    decision, request = registry.standing(named["decision"]), registry.standing(named["request"])
    assert decision is not None
    assert request is not None
    # The other modes are there for what policy does not allow; trust has to opt into them (specs/06).
    if record.mode == "enforce" and decision.outcome != "allow":
        refuse(
            Code.DECISION_NOT_ALLOW, f"the decision says {decision.outcome}; only an allowed request can be authorized"
        )
    if any(Link(relation, named[relation]) not in decision.links for relation in ("request", "policy")):
        refuse(Code.LINK_INVALID, "the decision is about another request or policy; link the ones it decided")
    if record.action != request.action:
        refuse(Code.LINK_INVALID, "the request is for another action; authorize the one that it commits to")
    delegation.check_form(record, request)
    consent.check_spending(statement, decision, registry)
    delegation.check_child(statement, request, registry)


def _check_policy(record: Policy, registry: Registry) -> None:
    newest = registry.newest_policy(record.set)
    previous = [link.id for link in record.links]
    if newest is None:
        if record.epoch != 1 or previous:
            refuse(Code.EPOCH_INVALID, f"the first record of {record.set} has epoch 1 and no previous")
    elif record.epoch != newest.number + 1 or previous != [newest.id]:
        refuse(
            Code.EPOCH_INVALID,
            f"the next record of {record.set} has epoch {newest.number + 1} and links {newest.id.hex()} as previous",
        )


def _check_status(record: Status, statement: Statement, registry: Registry) -> None:
    newest, claims = registry.newest_status(record.list), statement.claims
    previous = [link.id for link in record.links]
    if newest is None:
        if record.version != 1 or previous:
            refuse(Code.STATUS_INVALID, f"the first version of {record.list} is 1 and has no previous")
    elif record.version != newest.number + 1 or previous != [newest.id]:
        refuse(
            Code.STATUS_INVALID,
            f"the next version of {record.list} is {newest.number + 1} and links {newest.id.hex()} as previous",
        )
    elif claims.iss != newest.iss:
        refuse(Code.STATUS_INVALID, f"the list is {newest.iss}'s; publish a list of your own under another name")
    if claims.sub != record.list:
        refuse(Code.STATUS_INVALID, f"the subject of a status list is its own name; sign it with sub {record.list}")
    if record.bits not in _STATUS_BITS:
        refuse(Code.STATUS_INVALID, f"{record.bits} bits a status; pack 1, 2, 4 or 8")
    if record.next_update <= claims.iat:
        refuse(Code.STATUS_INVALID, "the next version is due before this one was made; give a later next_update")
