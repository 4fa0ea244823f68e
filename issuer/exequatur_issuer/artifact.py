"""Artifacts: the authorization that an allowed request becomes, as a pure function of what is known then (specs/09 §6).

Policy is the ceiling and everybody else only narrows: seconds and uses are the least of what the determining
permits say (five minutes and one use where they are silent), what the request asks for, what the authority's
caller passes, what each approval covers, and what is left of the grant above. Ids derive from the request and
the time, so the same answer has the same bytes.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from exequatur_verifier import action, constraints
from exequatur_verifier.constraints import Terms
from exequatur_verifier.records import Action, Authorization, Epoch, Kind, Link, Request, StatusEntry
from exequatur_verifier.statement import Claims, Statement

from . import grants
from .approvals import GRANT, expires_within, uses_within
from .asked import Asked, Case
from .decide import InForce
from .modes import ENFORCE
from .obligations import Obligations

DEFAULT_TTL: Final = 300
DEFAULT_USES: Final = 1


def make_terms(asked: Asked, obligations: Obligations) -> bytes:
    """Return the encoded terms: the constraints that policy obliges to, and the facts as measured."""
    return constraints.encode_terms(Terms(obligations.constraints, asked.facts))


def make_authorization(
    asked: Asked,
    request: Statement,
    decision: bytes,
    policy: InForce,
    obligations: Obligations,
    approvals: Sequence[Statement],
    now: int,
    iss: str,
    status: StatusEntry | None = None,
    *,
    mode: str = ENFORCE,
) -> tuple[Authorization, Claims]:
    """Return the artifact's record and claims. It rests on the decision of that record id, which links ``approvals``.

    ``status`` is its place in a status list, ``None`` where the authority has none.
    """
    record = request.record
    assert isinstance(record, Request)
    wish = grants.read(asked.descriptor) if record.action.type == GRANT else None
    ttl = _least(obligations.ttl or DEFAULT_TTL, record.ttl, asked.ttl)
    committed = action.commitment(action.TERMS_TAG, asked.salt, make_terms(asked, obligations))
    authorization = Authorization(
        links=(
            Link("request", request.id),
            Link("decision", decision),
            Link("policy", policy.statement.id),
            *(Link("approval", approval.id) for approval in approvals),
            *(link for link in record.links if link.relation == "parent"),
        ),
        form="action" if wish is None else "grant",
        mode=mode,
        action=Action(*record.action),
        terms=committed,
        uses=_least(obligations.uses or DEFAULT_USES, record.uses, asked.uses, uses_within(approvals)),
        epoch=Epoch(policy.record.set, policy.record.epoch),
        approvals=obligations.approvals or None,
        depth=None if wish is None else wish.depth or None,
        status=status,
    )
    claims = make_claims(Kind.AUTHORIZATION, request, now, iss)._replace(
        aud=asked.runtime.id,
        nbf=now,
        exp=_least(now + ttl, expires_within(approvals)),
        cnf=asked.runtime.key if wish is None else wish.holder.encoded,
    )
    return authorization, claims


def narrow(case: Case, obligations: Obligations, now: int) -> Obligations:
    """Return what policy obliges to, within what a grant is asked for and within the grant above."""
    above = case.grants[0] if case.grants else None
    if case.is_grant:
        wished = grants.wished(case.asked.descriptor, above)
        obligations = obligations._replace(constraints=grants.meet(wished, obligations.constraints))
    elif above is not None:
        obligations = obligations._replace(constraints=grants.meet(above.terms.constraints, obligations.constraints))
    if above is None:
        return obligations
    assert above.signed.claims.exp is not None
    return obligations._replace(
        ttl=_least(obligations.ttl or DEFAULT_TTL, above.signed.claims.exp - now),
        uses=_least(obligations.uses or DEFAULT_USES, above.record.uses),
    )


def make_claims(kind: Kind, request: Statement, now: int, iss: str) -> Claims:
    """Return the claims of a statement that answers ``request`` at ``now``."""
    # Unique because a request's id is; what answers it a second time, at another time, is another statement.
    unique = sha256(b"%s %d %s" % (kind.value.encode(), now, request.id)).digest()[:16]
    return Claims(iss, request.claims.sub, now, unique)


def _least(granted: int, *narrower: int | None) -> int:
    return min([granted, *(number for number in narrower if number is not None)])


def answers(artifact: Statement, terms: bytes, case: Case) -> bool:
    """Say whether an artifact that was signed earlier for the same request is what is asked for now."""
    claims, record, asked = artifact.claims, artifact.record, case.asked
    assert isinstance(record, Authorization)
    assert claims.exp is not None
    assert claims.nbf is not None
    return (
        (claims.aud, claims.cnf) == (asked.runtime.id, case.holder)
        and constraints.decode_terms(terms).facts == asked.facts
        and claims.exp - claims.nbf == _least(claims.exp - claims.nbf, asked.ttl)
        and record.uses == _least(record.uses, asked.uses)
    )
