"""Lineage: which records may follow which."""

from collections.abc import Callable

import pytest

from exequatur_verifier import NotProvenError, statement
from exequatur_verifier.lineage import PREDECESSORS, Place, check_links
from exequatur_verifier.records import Kind, Link
from tests.support import world
from tests.support.world import SUBJECT
from tests.vectors.flip import signed

PARTS = world.parts()
PLACES = {
    link.id: Place(kind, subject)
    for link, kind, subject in zip(
        PARTS.record.links,
        (Kind.REQUEST, Kind.DECISION, Kind.POLICY),
        (SUBJECT, SUBJECT, "urn:exequatur:policy:test"),
        strict=True,
    )
}


def linking(*links: Link) -> statement.Statement:
    return statement.parse(signed(PARTS._replace(record=PARTS.record._replace(links=links))))


def test_the_table_is_closed() -> None:
    assert PREDECESSORS.keys() == set(Kind)
    for relations in PREDECESSORS.values():
        for relation in relations.values():
            assert relation.kinds <= set(Kind)
            assert 0 <= relation.least <= relation.most <= 32


def test_every_kind_leads_back_to_one_that_needs_no_other() -> None:
    founded: set[Kind] = set()
    for _ in Kind:
        founded |= {
            kind
            for kind, relations in PREDECESSORS.items()
            if all(relation.kinds & founded for relation in relations.values() if relation.least)
        }
    assert founded == set(Kind)


def test_an_artifact_with_its_request_decision_and_policy() -> None:
    check_links(linking(*PARTS.record.links), PLACES.get)
    check_links(
        linking(*PARTS.record.links, Link("approval", bytes(32))),
        {**PLACES, bytes(32): Place(Kind.APPROVAL, SUBJECT)}.get,
    )


Change = Callable[[tuple[Link, ...]], tuple[Link, ...]]


@pytest.mark.parametrize(
    "change",
    [
        lambda links: links[:-1],
        lambda links: (*links, links[0]),
        lambda links: (*links, Link("verification", links[0].id)),
        lambda links: (*links[:-1], Link("policy", bytes(32))),
        lambda links: (Link("decision", links[0].id), *links[1:]),
    ],
    ids=["missing", "twice", "of no such relation", "to nowhere", "of another kind"],
)
def test_links_that_cannot_be(change: Change) -> None:
    with pytest.raises(NotProvenError):
        check_links(linking(*change(PARTS.record.links)), PLACES.get)


def test_a_link_into_another_execution() -> None:
    request = PARTS.record.links[0].id
    elsewhere = {**PLACES, request: Place(Kind.REQUEST, "urn:uuid:another")}
    with pytest.raises(NotProvenError):
        check_links(linking(*PARTS.record.links), elsewhere.get)
