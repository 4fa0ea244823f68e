"""Lineage: which records may follow which, in one table (specs/01 §5).

Checks, documents and the explorer's picture are made from ``PREDECESSORS``; nothing else decides an order. A record's
links lead to records that stand earlier in the same log.

    request ← decision ← authorization ← verification ← outcome      enforcement ← whatever caused it
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from .errors import NotProvenError
from .records import Kind
from .statement import Statement


class Predecessor(NamedTuple):
    """A relation: the kinds it may lead to, how often it must and may stand, and whether both share one subject."""

    kinds: frozenset[Kind]
    least: int
    most: int
    same_subject: bool = True


def _to(*kinds: Kind, least: int = 1, most: int = 1, same_subject: bool = True) -> Predecessor:
    return Predecessor(frozenset(kinds), least, most, same_subject)


_POLICY: Final = _to(Kind.POLICY, same_subject=False)
_PARENT: Final = _to(Kind.AUTHORIZATION, least=0, same_subject=False)
_APPROVALS: Final = _to(Kind.APPROVAL, least=0, most=32)

PREDECESSORS: Final[Mapping[Kind, Mapping[str, Predecessor]]] = {
    Kind.REQUEST: {"parent": _PARENT},
    Kind.DECISION: {"request": _to(Kind.REQUEST), "policy": _POLICY, "approval": _APPROVALS},
    Kind.AUTHORIZATION: {
        "request": _to(Kind.REQUEST),
        "decision": _to(Kind.DECISION),
        "policy": _POLICY,
        "approval": _APPROVALS,
        "parent": _PARENT,
    },
    Kind.VERIFICATION: {"authorization": _to(Kind.AUTHORIZATION)},
    Kind.OUTCOME: {"verification": _to(Kind.VERIFICATION)},
    Kind.ENFORCEMENT: {
        "cause": _to(
            Kind.REQUEST,
            Kind.DECISION,
            Kind.AUTHORIZATION,
            Kind.VERIFICATION,
            Kind.OUTCOME,
            Kind.ENFORCEMENT,
            least=0,
        )
    },
    Kind.POLICY: {"previous": _to(Kind.POLICY, least=0)},
    # One of the two.
    Kind.APPROVAL: {"request": _to(Kind.REQUEST, least=0), "policy": _to(Kind.POLICY, least=0)},
    Kind.STATUS: {"previous": _to(Kind.STATUS, least=0)},
    Kind.ENROLMENT: {"previous": _to(Kind.ENROLMENT, least=0, same_subject=False)},
}


class Place(NamedTuple):
    """What of an earlier record its successors depend on."""

    kind: Kind
    subject: str


def check_links(statement: Statement, find: Callable[[bytes], Place | None]) -> None:
    """Check a statement's links against the table; raise ``NotProvenError``.

    ``find`` returns the place of an earlier record of the same log by its id, or ``None`` when there is none.
    """
    relations = PREDECESSORS[statement.kind]
    counts = dict.fromkeys(relations, 0)
    for link in statement.record.links:
        relation = relations.get(link.relation)
        if relation is None:
            raise NotProvenError(f"a record of kind {statement.kind.value} has no {link.relation!r}")
        place = find(link.id)
        if place is None:
            raise NotProvenError(f"the {link.relation} {link.id.hex()} is not in this log")
        if place.kind not in relation.kinds:
            raise NotProvenError(f"the {link.relation} {link.id.hex()} is of kind {place.kind.value}")
        if relation.same_subject and place.subject != statement.claims.sub:
            raise NotProvenError(f"the {link.relation} {link.id.hex()} belongs to another execution")
        counts[link.relation] += 1
    for name, relation in relations.items():
        if not relation.least <= counts[name] <= relation.most:
            raise NotProvenError(
                f"{counts[name]} links of relation {name!r} in a record of kind {statement.kind.value}"
            )
