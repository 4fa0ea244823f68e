"""Step 12, and the further owners of step 11: who else consented (specs/05 §2).

An approval is of one request, by the action's commitment, or of one policy record. It counts when the log proves that
it was given before, when a key that trust names for that signed it, and when that is nobody's who is concerned: not the
requester's, the authority's or the runtime's. How many are needed is the most of what trust, the owners' policy and the
artifact itself ask for: the artifact's word can add to that and take nothing away.
"""

from collections.abc import Iterator
from typing import Final

from .case import Beside, Case
from .elements import check_placed, check_signed, holder_of, key_of, linked, request_of
from .records import Approval, Authorization, Link
from .statement import Statement
from .verdict import Code, Denial

# The type of a grant's own action; which type of action it covers is among its constraints.
GRANT: Final = "exequatur.grant"


def check_approvals(case: Case) -> str:
    """Step 12: enough approvals, each bound to this request, by trusted approvers who are not concerned."""
    trusted, record = case.trust.approvals, case.authorization
    needed = max(
        record.approvals or 0,
        case.policy_approvals,
        trusted.required.get(record.action.type, 0),
        trusted.modes.get(record.mode, 0),
    )
    approvers = set(_approvers(case, case.artifact, case.request))
    for grant in case.parents:
        above = set(_approvers(case, grant.beside.statement, grant.request))
        least = max(grant.record.approvals or 0, trusted.required.get(GRANT, 0))
        if len(above) < least:
            raise Denial(Code.APPROVAL_MISSING, f"{len(above)} approvals of a grant above the artifact, {least} needed")
        # Consent to a task is consent to what is done for it.
        approvers |= above
    if len(approvers) < needed:
        raise Denial(Code.APPROVAL_MISSING, f"{len(approvers)} approvals, {needed} needed: ask for approval")
    return f"{len(approvers)} approvals, {needed} needed" if approvers or needed else "none asked for"


def check_owners(case: Case, policy: Statement) -> None:
    """Check, for step 11, that as many owners signed the policy as trust asks for: its signer, and by approvals others.

    Approvals of it by keys that are no owner's are ignored, and listed.
    """
    owners = {policy.key_id}
    for beside in case.approvals.values():
        presented = beside.statement
        record = presented.record
        assert isinstance(record, Approval)
        if not linked(record.links, "policy"):
            continue
        owner = next((key for key in case.trust.policy.owners if key.thumbprint == presented.key_id), None)
        if owner is None:
            case.ignored.append(f"approval of the policy by the key {presented.key_id.hex()}")
            continue
        if (record.scope, record.commitment, record.links) != ("policy", policy.id, (Link("policy", policy.id),)):
            raise Denial(Code.POLICY_UNTRUSTED, f"the approval {presented.id.hex()} is not one of this policy")
        check_placed(case, beside, Code.POLICY_UNTRUSTED, case.indices)
        check_signed(presented, owner, Code.POLICY_UNTRUSTED)
        if case.time >= (presented.claims.exp or 0) + case.trust.leeway:
            raise Denial(Code.POLICY_UNTRUSTED, f"the approval {presented.id.hex()} of the policy has expired")
        owners.add(owner.thumbprint)
    if len(owners) < case.trust.policy.threshold:
        raise Denial(
            Code.POLICY_UNTRUSTED, f"signed by {len(owners)} of its owners, {case.trust.policy.threshold} needed"
        )


def _approvers(case: Case, authorization: Statement, request: Beside | None) -> Iterator[bytes]:
    """Yield the thumbprint of each approver of an authorization, after checking all that they signed."""
    wanted = linked(authorization.record.links, "approval")
    if not wanted:
        return
    asked = request_of(case, authorization, request, Code.APPROVAL_INVALID)
    concerned = {asked.key_id, authorization.key_id, holder_of(authorization, Code.APPROVAL_INVALID).thumbprint}
    # One party may have several keys, but speaks under one name.
    parties = {asked.claims.iss, authorization.claims.iss}
    for approval in wanted:
        beside = case.approvals.get(approval)
        if beside is None:
            raise Denial(Code.APPROVAL_MISSING, f"the approval {approval.hex()} is not in the bundle")
        approver = _check(case, beside, authorization)
        if approver in concerned or beside.statement.claims.iss in parties:
            raise Denial(
                Code.APPROVAL_INVALID, f"{approval.hex()} is by one who asked for this, decided it or carries it out"
            )
        concerned.add(approver)
        yield approver


def _check(case: Case, beside: Beside, authorization: Statement) -> bytes:
    presented, granted = beside.statement, authorization.record
    approval, name = presented.record, f"the approval {presented.id.hex()}"
    assert isinstance(approval, Approval)
    assert isinstance(granted, Authorization)
    (request,) = linked(granted.links, "request")
    if approval.links != (Link("request", request),) or approval.commitment != granted.action.commitment:
        raise Denial(Code.APPROVAL_INVALID, f"{name} is of another request")
    if presented.claims.sub != authorization.claims.sub:
        raise Denial(Code.APPROVAL_INVALID, f"{name} belongs to another execution")
    if not _covers(approval, granted):
        raise Denial(
            Code.APPROVAL_INVALID, f"{name} is for {approval.scope}, {approval.uses} uses, and not for what was granted"
        )
    assert presented.claims.exp is not None
    assert authorization.claims.exp is not None
    if authorization.claims.exp > presented.claims.exp:
        raise Denial(Code.APPROVAL_INVALID, f"{name} expires before what was granted")
    indices = check_placed(case, beside, Code.APPROVAL_INVALID, case.indices)
    key = key_of(case.trust.approvers, presented, granted.action.type, indices)
    if key is None:
        raise Denial(Code.APPROVAL_INVALID, f"{name} is by {presented.claims.iss}, no trusted approver of this")
    check_signed(presented, key, Code.APPROVAL_INVALID)
    return key.thumbprint


def _covers(approval: Approval, granted: Authorization) -> bool:
    """Say whether an approval's scope is wide enough."""
    if granted.form == "grant":
        return approval.scope == "task"
    if approval.scope == "once":
        return granted.uses <= 1
    return approval.scope == "until" or (approval.scope == "uses" and granted.uses <= approval.uses)
