"""Delegation: who may ask for something under a grant, and what may be authorized there (specs/03 §3.3).

The terms of a grant are salted, so whether those below are within them is for whoever holds the bundle to check. Here
is what the records themselves say: holder, audience, window, depth, and that all uses together stay within the grant's.
"""

from typing import NoReturn

from exequatur_verifier.records import Authorization, Request
from exequatur_verifier.statement import Statement

from .consent import GRANT
from .errors import Code
from .standing import Artifact, Registry, Standing, artifact_of, linked, refuse


def holds_parent(statement: Statement, registry: Registry) -> bool:
    """Say whether a request is signed with the key of the grant that it links."""
    parent = _parent(statement, registry)
    return parent is not None and parent.artifact is not None and parent.artifact.holder == statement.key_id


def check_holder(statement: Statement, index: int, registry: Registry) -> None:
    """Check the name and the enrolment of a grant's holder: no enrolment is needed, but an ended one ends this too."""
    enrolled = registry.enrolled(statement.key_id)
    names = {_asker(statement, registry)}
    if enrolled is not None and enrolled.algorithm == statement.algorithm:
        until = enrolled.enrolment.until
        if until is not None and index >= until:
            refuse(Code.KEY_OUT_OF_RANGE, f"the key was enrolled up to {until}; ask the operator to enrol it again")
        names.add(enrolled.enrolment.iss)
    if statement.claims.iss not in names:
        known = " or ".join(sorted(name for name in names if name is not None))
        refuse(
            Code.ISSUER_MISMATCH,
            f"who asks under a grant speaks as {known}, not as {statement.claims.iss}; "
            "sign as that, or have the key enrolled",
        )


def _asker(statement: Statement, registry: Registry) -> str | None:
    """Return the ``iss`` of who asked for the grant that a request links."""
    parent = _parent(statement, registry)
    request = None if parent is None else parent.linked("request")
    asked = None if request is None else registry.standing(request)
    return None if asked is None else asked.iss


def check_asked(statement: Statement, registry: Registry) -> None:
    """Check that a delegated request is made under a grant that has not expired, with the key of that grant."""
    parent = _parent(statement, registry)
    if parent is None:
        return
    assert parent.artifact is not None
    if parent.artifact.form != "grant":
        _invalid("the parent is an action, which cannot be delegated; link a grant")
    if parent.artifact.holder != statement.key_id:
        _invalid(f"only the key that the grant is bound to asks under it; sign with {parent.artifact.holder.hex()}")
    _check_unexpired(parent.artifact, statement.claims.iat)


def check_form(record: Authorization, request: Standing) -> None:
    """Check that an authorization is a grant exactly if one was asked for, and that only grants have a depth."""
    assert request.action is not None
    if (record.form == "grant") != (request.action.type == GRANT):
        _invalid(
            f"form {record.form} does not answer a request of {request.action.type}; grants are asked for as {GRANT}"
        )
    if record.form == "grant" and record.mode != "enforce":
        _invalid(f"a grant is of mode enforce, not {record.mode}; what is below it has the mode")
    if record.form == "action" and record.depth is not None:
        _invalid("only a grant has a depth; leave it out")


def check_child(statement: Statement, request: Standing, registry: Registry) -> None:
    """Check that an authorization stands under the grant that it was asked for under, and is no wider."""
    record = statement.record
    assert isinstance(record, Authorization)
    parent = linked(record.links, "parent")
    if parent != request.linked("parent"):
        _invalid("the request has another parent, or none; link the parent that it links")
    if parent is None:
        return
    grant = registry.standing(parent)
    assert grant is not None
    assert grant.artifact is not None
    above, below = grant.artifact, artifact_of(statement)
    _check_unexpired(above, statement.claims.iat)
    if below.audience != above.audience:
        _invalid(f"the grant is for {above.audience}, not for {below.audience}; authorize it there")
    if below.nbf < above.nbf or below.exp > above.exp:
        _invalid(
            f"the window {below.nbf} to {below.exp} is not within the grant's, {above.nbf} to {above.exp}; narrow it"
        )
    if below.form == "grant" and below.depth >= above.depth:
        _invalid(
            f"a grant of depth {below.depth} cannot stand below one of depth {above.depth}; "
            "lower it, or authorize an action"
        )
    if below.uses < 1:
        _invalid("what is delegated has at least one use; authorize one")
    left = above.uses - registry.delegated(parent)
    if below.uses > left:
        refuse(
            Code.BUDGET_EXCEEDED,
            f"{below.uses} uses, but {max(left, 0)} of the grant's {above.uses} are left; "
            "authorize no more, or ask for a new grant",
        )


def _parent(statement: Statement, registry: Registry) -> Standing | None:
    if not isinstance(statement.record, Request):
        return None
    parent = linked(statement.record.links, "parent")
    return None if parent is None else registry.standing(parent)


def _check_unexpired(grant: Artifact, iat: int) -> None:
    if grant.exp <= iat:
        _invalid(f"the grant expired {iat - grant.exp} s before; ask for a new one")


def _invalid(detail: str) -> NoReturn:
    refuse(Code.DELEGATION_INVALID, detail)
