"""Consent: which approvals are admitted, and on which of them an authorization may rest (specs/03 §3.3).

An approval is of one request or of one policy record, by somebody else than who made it. It is spent by the first
authorization that links it.
"""

from typing import Final, NoReturn

from exequatur_verifier.records import Approval, Authorization, Decision, Kind
from exequatur_verifier.statement import Statement

from .errors import Code
from .standing import Artifact, Consent, Registry, Standing, artifact_of, linked, refuse

# The type of a grant's own action; which type of action it covers is among its salted terms.
GRANT: Final = "exequatur.grant"


def check_approval(record: Approval, statement: Statement, registry: Registry) -> None:
    """Check that an approval is of one thing, in a scope that this thing can have, and the first of its signer."""
    if len(record.links) != 1:
        _invalid("an approval links one request or one policy record, and nothing else")
    claims, (link,) = statement.claims, record.links
    target = registry.standing(link.id)
    assert target is not None
    if target.signer == statement.key_id:
        _invalid(f"the {link.relation} is signed with the approver's own key; let somebody else approve")
    earlier = registry.approved(statement.key_id, link.id)
    if earlier is not None:
        _invalid(f"entry {earlier} is this key's approval of the {link.relation} already; rest on that")
    if claims.exp is None or claims.exp <= claims.iat:
        _invalid("the approval expires before it is given; sign one with a later exp")
    if link.relation == "request":
        _check_of_request(record, target)
    else:
        _check_of_policy(record, link.id, statement, registry)


def _check_of_request(record: Approval, request: Standing) -> None:
    assert request.action is not None
    if record.commitment != request.action.commitment:
        _invalid("the approval is of another action; sign the commitment of the request it links")
    is_grant = request.action.type == GRANT
    if (record.scope == "task") != is_grant or record.scope == "policy":
        scopes = "task" if is_grant else "once, uses or until"
        _invalid(f"scope {record.scope} is not for a request of {request.action.type}; use {scopes}")
    least, most = {"once": (1, 1), "until": (0, 0), "task": (0, None)}.get(record.scope, (1, None))
    if record.uses < least or (most is not None and record.uses > most):
        bound = f"exactly {most}" if most is not None else f"at least {least}"
        _invalid(f"an approval of scope {record.scope} has {bound} uses, not {record.uses}")


def _check_of_policy(record: Approval, policy: bytes, statement: Statement, registry: Registry) -> None:
    if (record.scope, record.uses, record.commitment) != ("policy", 0, policy):
        _invalid(
            "an approval of a policy record has scope policy, 0 uses and that record's id as commitment; sign it so"
        )
    enrolled = registry.enrolled(statement.key_id)
    if enrolled is None or Kind.POLICY not in enrolled.enrolment.kinds:
        refuse(Code.KIND_NOT_ENROLLED, "owners approve policy records; have the key enrolled for policy as well")


def check_decided(record: Decision, registry: Registry) -> None:
    """Check that a decision rests on approvals of its own request only."""
    request = linked(record.links, "request")
    for link in record.links:
        if link.relation == "approval":
            _check_linked(link.id, request, registry)


def check_spending(statement: Statement, decision: Standing, registry: Registry) -> None:
    """Check that an authorization rests on the approvals that its decision did, each unspent and wide enough."""
    record = statement.record
    assert isinstance(record, Authorization)
    approvals = [link.id for link in record.links if link.relation == "approval"]
    if sorted(approvals) != sorted(link.id for link in decision.links if link.relation == "approval"):
        _invalid("the decision rests on other approvals; link the ones that it links")
    if not approvals:
        if record.mode == "break-glass":
            refuse(Code.APPROVAL_MISSING, "break-glass needs approval; have the request approved, and decide it again")
        return
    artifact = artifact_of(statement)
    if len(set(approvals)) != len(approvals):
        _invalid("an approval is linked twice; link each one once")
    for approval in approvals:
        given = _check_linked(approval, linked(record.links, "request"), registry)
        name = f"the approval {approval.hex()}"
        if given.signer in (statement.key_id, artifact.holder):
            _invalid(f"{name} is by the authority or the runtime itself; let somebody else approve")
        spent = registry.spent(approval)
        if spent is not None:
            refuse(Code.APPROVAL_SPENT, f"{name} is spent by entry {spent}; make a new request, and have it approved")
        assert given.consent is not None
        _check_covered(name, given.consent, artifact, statement.claims.iat)


def _check_linked(approval: bytes, request: bytes | None, registry: Registry) -> Standing:
    given = registry.standing(approval)
    assert given is not None
    if given.linked("request") != request:
        _invalid(f"the approval {approval.hex()} is of another request; link approvals of this one")
    return given


def _check_covered(name: str, consent: Consent, artifact: Artifact, iat: int) -> None:
    if consent.exp <= iat:
        _invalid(f"{name} expired {iat - consent.exp} s before; make a new request, and have it approved")
    if artifact.exp > consent.exp:
        _invalid(f"{name} expires {artifact.exp - consent.exp} s before what is authorized; end with it")
    if consent.uses and artifact.uses > consent.uses:
        _invalid(f"{name} is for {consent.uses} uses, not {artifact.uses}; authorize no more")


def _invalid(detail: str) -> NoReturn:
    refuse(Code.APPROVAL_INVALID, detail)
