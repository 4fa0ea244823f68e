"""Two policy sets side by side: what was changed, and which answers change."""

from typing import Any

import pytest

from exequatur_issuer import compare, rehearsal
from exequatur_issuer.compare import Change, Logged
from exequatur_issuer.policyset import PolicySet
from exequatur_issuer.publish import load_set
from exequatur_issuer.rehearsal import Question
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Decision
from tests.issuer.house import House, starter, with_rules
from tests.issuer.ledger import REQUESTER
from tests.support import world

ONE = '@id("a") @ttl("5m") permit (principal, action, resource);\n'
TWO = '@id("b") forbid (principal, action, resource) when { context.program == "rm" };\n'


def changes(old: str, new: str) -> list[Change]:
    return compare.policies(load_set(with_rules(old))[0], load_set(with_rules(new))[0])


def draft(policy_set: PolicySet) -> Any:
    return rehearsal.draft(policy_set, *load_set(policy_set))


def test_the_same_set_does_not_differ() -> None:
    assert compare.parts(starter(), starter()) == []
    assert changes(ONE + TWO, ONE + TWO) == []


def test_each_part_that_differs_is_named() -> None:
    assert compare.parts(starter(), starter()._replace(mapping=b"", entities=b"[ ]")) == ["entities", "mapping"]


def test_layout_and_order_are_no_change() -> None:
    assert changes(ONE + TWO, f"// moved\n{TWO}\n{ONE.replace(' permit', chr(10) + 'permit')}") == []


@pytest.mark.parametrize(
    ("new", "change", "annotations"),
    [
        (ONE.replace("principal,", "principal is Requester,"), "rule", {}),
        (ONE.replace("permit", "forbid").replace('@ttl("5m")', ""), "rule", {"ttl": ("5m", None)}),
        (ONE.replace("resource);", "resource) when { context.uid > 0 };"), "rule", {}),
        (ONE.replace("5m", "1m"), "obligations", {"ttl": ("5m", "1m")}),
        (ONE.replace("@ttl", '@uses("2") @ttl'), "obligations", {"uses": (None, "2")}),
        (ONE.replace("5m", "300s"), "words", {"ttl": ("5m", "300s")}),
        (ONE.replace("@ttl", '@doc("x") @ttl'), "words", {"doc": (None, "x")}),
    ],
)
def test_what_of_a_policy_was_changed_is_told(new: str, change: str, annotations: dict[str, Any]) -> None:
    (found,) = changes(ONE, new)
    assert (found.policy, found.change, found.place, found.annotations) == ("a", change, "rules.cedar:1", annotations)


def test_policies_are_added_and_removed_by_their_ids() -> None:
    assert [(found.policy, found.change) for found in changes(ONE, TWO)] == [("b", "added"), ("a", "removed")]


def test_only_what_is_answered_otherwise_is_told() -> None:
    questions = [
        ("git", Question(world.COMMAND, REQUESTER, world.NOW)),
        ("rm", Question({**world.COMMAND, "name": b"/bin/rm"}, REQUESTER, world.NOW)),
    ]
    old, new = draft(with_rules(ONE)), draft(with_rules(ONE + TWO))
    assert [(found.name, found.sentence()) for found in compare.outcomes(questions, old, new)] == [
        ("rm", "allow → deny POLICY_FORBID")
    ]
    shorter = draft(with_rules(ONE.replace("5m", "1m")))
    assert [found.sentence() for found in compare.outcomes(questions, old, shorter)] == [
        "allow, with other obligations"
    ] * 2
    assert list(compare.outcomes(questions, old, old)) == []


def logged(house: House) -> list[Logged]:
    decisions = [item for item in house.log.statements() if isinstance(item.record, Decision)]
    return list(compare.logged(decisions, house.find, house.content))


def test_logged_decisions_are_asked_again(house: House) -> None:
    for asked in (
        house.asked(claims={"confirmed": True}),
        house.asked(disclosure="full"),
        house.asked({**world.COMMAND, "args": [b"git", b"\x1b[31m" + b"x" * 100]}),
    ):
        house.issue(asked)
    found = logged(house)
    assert [one.question for one in found[:2]] == [
        Question(world.COMMAND, REQUESTER, world.NOW, {"confirmed": True}),
        Question(world.COMMAND, REQUESTER, world.NOW, {}),
    ]
    # What an agent wrote does not reach a terminal as it is, nor fill it.
    assert found[0].name.endswith("git --version")
    assert found[2].name.isprintable()
    assert len(found[2].name) < 120


def test_a_decision_whose_request_was_erased_cannot_be_asked_again(house: House) -> None:
    issued = house.issue(house.asked())
    house.issue(house.asked(disclosure="full"))
    (request, *_) = house.logged(issued.subject)
    house.content.drop(request.record.action.commitment)  # type: ignore[union-attr]
    gone, there = logged(house)
    assert (gone.question, there.missing) == (None, None)
    assert "erased" in (gone.missing or "")


def test_only_decisions_are_asked_again(house: House) -> None:
    with pytest.raises(MalformedError, match="no decision"):
        list(compare.logged([house.policy.statement], house.find, house.content))
