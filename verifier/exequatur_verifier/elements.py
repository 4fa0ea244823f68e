"""What stands beside the artifact in a bundle: its request, consents, grants, status lists (specs/05 §2).

Step 1 parses them, and refuses what no later step would look at. Where such a statement stands in a log is proven by
the artifact's own head: from the leaf, by the path, to the root that the head's one signature covers.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from . import constraints, merkle, statement
from .bundle import Element, Parent
from .case import Beside, Case, Grant
from .errors import MalformedError, NotProvenError, UnsupportedError
from .keys import PublicKey
from .records import Approval, Authorization, Kind, Link, Links, Status
from .statement import Statement
from .trust import Issuer
from .verdict import Code, Denial

# One list stands behind many artifacts, and one grant above many.
_parse: Final = lru_cache(maxsize=64)(statement.parse)


def read(case: Case) -> None:
    """Parse the elements of the bundle; raise ``MalformedError`` for one that no step consumes (step 1)."""
    found, record = case.bundle, case.artifact.record
    if not isinstance(record, Authorization):
        return
    case.parents = tuple(_grant(parent) for parent in found.parents)
    above = [grant.record for grant in case.parents]
    chain = [record, *above]
    for child, grant in zip(chain, case.parents, strict=False):
        if linked(child.links, "parent") != [grant.beside.statement.id]:
            raise MalformedError("a parent in the bundle is no grant that the artifact descends from")
    named = {one.status.list for one in chain if one.status is not None}
    if found.request is not None:
        if not _is_asked(record):
            raise MalformedError("no step consumes the bundle's request")
        case.request = _beside(found.request, Kind.REQUEST)
    case.approvals = _approvals(found.approvals, chain)
    case.statuses = _statuses(found.status, named)


def linked(links: Links, relation: str) -> list[bytes]:
    """Return the ids that links of that relation lead to."""
    return [link.id for link in links if link.relation == relation]


def check_placed(case: Case, beside: Beside, code: Code, before: Mapping[str, int] | None) -> Mapping[str, int]:
    """Check that a statement is in the tree of each trusted receipt; return its indices, by origin.

    ``before``: the indices that it must stand before.
    """
    presented, positions = beside.statement, beside.element.positions
    what = f"the {presented.kind.value} {presented.id.hex()}"
    if set(positions) != {receipt.origin for receipt in case.receipts}:
        raise Denial(code, f"{what} has positions in other trees than the artifact's")
    for origin, head in case.heads.items():
        index, path = positions[origin]
        try:
            root = merkle.root_from_inclusion(index, head.size, presented.leaf, path)
        except MalformedError as error:
            raise Denial(code, f"the path of {what} in {origin}: {error}") from None
        if root != head.root or (before is not None and index >= before[origin]):
            raise Denial(
                code, f"{what} is not proven to stand {'before' if before else 'beside'} the artifact in {origin}"
            )
    if presented.claims.iat > case.now.unix + case.trust.leeway:
        raise Denial(Code.TIME_IN_FUTURE, f"{what} was signed after the time of this clock")
    case.signed_times.append(presented.claims.iat)
    return {origin: positions[origin].leaf_index for origin in case.heads}


def check_signed(presented: Statement, key: PublicKey, code: Code) -> None:
    """Check a signature; deny with ``code``."""
    try:
        statement.verify(presented, key)
    except (NotProvenError, UnsupportedError) as error:
        raise Denial(code, f"record {presented.id.hex()}: {error}") from None


def request_of(case: Case, authorization: Statement, request: Beside | None, code: Code) -> Statement:
    """Return the request that an authorization answers, proven to stand before the artifact; deny with ``code``."""
    (wanted,) = linked(authorization.record.links, "request")[:1] or (b"",)
    if request is None or request.statement.id != wanted:
        raise Denial(code, f"the request of {authorization.id.hex()} is not in the bundle")
    check_placed(case, request, code, case.indices)
    return request.statement


def holder_of(authorization: Statement, code: Code) -> PublicKey:
    """Return the key that an authorization is bound to; deny with ``code`` if it is none."""
    assert authorization.claims.cnf is not None
    try:
        return PublicKey.from_cose(authorization.claims.cnf)
    except MalformedError as error:
        raise Denial(code, f"the key that {authorization.id.hex()} is bound to: {error}") from None


def key_of(
    trusted: tuple[Issuer, ...], presented: Statement, kind: str, indices: Mapping[str, int]
) -> PublicKey | None:
    """Return the key that signed a statement, if trust names it under its ``iss`` for that type and those indices."""
    for issuer in trusted:
        if issuer.iss == presented.claims.iss and kind in issuer.actions:
            within = all(
                issuer.since <= index and (issuer.until is None or index < issuer.until) for index in indices.values()
            )
            for key in issuer.keys:
                if within and key.thumbprint == presented.key_id:
                    return key
    return None


def _beside(element: Element, kind: Kind) -> Beside:
    parsed = _parse(element.statement)
    if parsed.kind is not kind:
        raise MalformedError(f"a {parsed.kind.value} record in the place of a {kind.value}")
    return Beside(parsed, element)


def _grant(parent: Parent) -> Grant:
    beside = _beside(parent.authorization, Kind.AUTHORIZATION)
    record = beside.statement.record
    assert isinstance(record, Authorization)
    request = None if parent.request is None else _beside(parent.request, Kind.REQUEST)
    if request is not None and not _is_asked(record):
        raise MalformedError("no step consumes the request of a grant")
    return Grant(beside, record, parent.salt, parent.terms, constraints.decode_terms(parent.terms), request)


def _is_asked(record: Authorization) -> bool:
    """Say whether a step asks who asked for an authorization."""
    relations = {link.relation for link in record.links}
    return record.status is not None or not relations.isdisjoint(("approval", "parent"))


def _approvals(elements: tuple[Element, ...], chain: list[Authorization]) -> Mapping[bytes, Beside]:
    consents = {link for one in chain for link in one.links if link.relation == "approval"}
    policies = set(linked(chain[0].links, "policy"))
    found: dict[bytes, Beside] = {}
    for element in elements:
        beside = _beside(element, Kind.APPROVAL)
        presented = beside.statement
        of_policy = isinstance(presented.record, Approval) and linked(presented.record.links, "policy")
        consumed = policies.issuperset(of_policy) if of_policy else Link("approval", presented.id) in consents
        if not consumed or presented.id in found:
            raise MalformedError(f"no step consumes the approval {presented.id.hex()}")
        found[presented.id] = beside
    return found


def _statuses(elements: tuple[Element, ...], named: set[str]) -> Mapping[str, Beside]:
    found: dict[str, Beside] = {}
    for element in elements:
        beside = _beside(element, Kind.STATUS)
        record = beside.statement.record
        assert isinstance(record, Status)
        if record.list not in named or record.list in found:
            raise MalformedError(f"no step consumes the status list {record.list}")
        found[record.list] = beside
    return found
