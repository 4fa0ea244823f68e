"""Step 13: the grants above the artifact, from the nearest to the first (specs/05 §2).

Each is an authorization that a trusted issuer signed and the log proves; the one below it was asked for with the key
that the grant is bound to, and is narrower in every field. So whatever satisfies the artifact satisfies each grant.
"""

from . import action, consent, constraints
from .case import Case, Grant
from .elements import check_placed, check_signed, holder_of, key_of, linked, request_of
from .match import Operator
from .records import Authorization
from .statement import Statement
from .verdict import Code, Denial


def check_delegation(case: Case) -> str:
    """Step 13: every grant above the artifact is signed, logged, and admits what stands below it."""
    if case.authorization.depth is not None:
        raise _invalid("an action has no depth")
    child, terms, request, indices = case.artifact, case.terms, case.request, dict(case.indices)
    for grant in case.parents:
        indices = dict(_check_grant(case, grant, indices))
        asked = request_of(case, child, request, Code.DELEGATION_INVALID)
        _check_below(grant, child, terms, asked)
        child, terms, request = grant.beside.statement, grant.terms, grant.request
    if linked(child.record.links, "parent"):
        raise _invalid("a grant above the artifact is not in the bundle")
    return f"delegated through {len(case.parents)} grants" if case.parents else "not delegated"


def _check_grant(case: Case, grant: Grant, before: dict[str, int]) -> dict[str, int]:
    """Check one grant by itself; return its indices."""
    signed, record = grant.beside.statement, grant.record
    if (record.form, record.mode, record.action.type) != ("grant", "enforce", consent.GRANT):
        raise _invalid(f"{signed.id.hex()} is no grant")
    indices = dict(check_placed(case, grant.beside, Code.DELEGATION_INVALID, before))
    key = key_of(case.trust.issuers, signed, case.authorization.action.type, indices)
    if key is None:
        raise _invalid(f"{signed.claims.iss} is not trusted with this key for {case.authorization.action.type}")
    check_signed(signed, key, Code.DELEGATION_INVALID)
    if action.commitment(action.TERMS_TAG, grant.salt, grant.encoded) != record.terms:
        raise _invalid(f"the terms of {signed.id.hex()} in the bundle are not its own")
    covered = grant.terms.constraints.args.get("/type")
    if covered is None or covered.operator is not Operator.EXACT:
        raise _invalid(f"{signed.id.hex()} does not say which type of action it covers")
    violated = list(constraints.violations(grant.terms.constraints, case.action, case.facts))
    if violated:
        raise _invalid(f"the action is not within the grant {signed.id.hex()}: {'; '.join(violated)}")
    return indices


def _check_below(grant: Grant, child: Statement, terms: constraints.Terms, asked: Statement) -> None:
    """Check that what stands below a grant was asked for by its holder, and is no wider in any field."""
    signed, record, narrowed = grant.beside.statement, grant.record, child.record
    assert isinstance(narrowed, Authorization)
    above, below = signed.claims, child.claims
    if linked(asked.record.links, "parent") != [signed.id]:
        raise _invalid("what was delegated was not asked for under the grant above it")
    holder = holder_of(signed, Code.DELEGATION_INVALID)
    if asked.key_id != holder.thumbprint:
        raise _invalid("what was delegated was not asked for with the key of the grant above it")
    check_signed(asked, holder, Code.DELEGATION_INVALID)
    assert above.nbf is not None and above.exp is not None  # noqa: PT018
    assert below.nbf is not None and below.exp is not None  # noqa: PT018
    wider = {
        "audience": below.aud != above.aud,
        "beginning": below.nbf < above.nbf,
        "end": below.exp > above.exp,
        "uses": narrowed.uses > record.uses,
        "depth": narrowed.form == "grant" and (narrowed.depth or 0) >= (record.depth or 0),
        "constraints": not constraints.is_subset(terms.constraints, grant.terms.constraints),
        "facts": not grant.terms.facts.items() <= terms.facts.items(),
    }
    widened = [name for name, is_wider in wider.items() if is_wider]
    if widened:
        raise _invalid(f"{child.id.hex()} is wider than the grant above it in {', '.join(widened)}")


def _invalid(detail: str) -> Denial:
    return Denial(Code.DELEGATION_INVALID, detail)
