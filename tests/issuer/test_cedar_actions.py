"""A question is put to the policies whose scope can hold of its action, and is answered as all of them would."""

import json
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Entity, Query
from exequatur_issuer.policyset import PolicySet, PolicySetError

SCHEMA = """
entity User;
entity Thing;
action "all";
action "reading" in ["all"];
action "writing" in ["all"];
action "read" in ["reading"] appliesTo { principal: User, resource: Thing, context: { level: Long } };
action "list" in ["reading", "writing"] appliesTo { principal: User, resource: Thing, context: { level: Long } };
action "write" in ["writing"] appliesTo { principal: User, resource: Thing, context: { level: Long } };
action "a \\"quoted\\" name" appliesTo { principal: User, resource: Thing, context: { level: Long } };
"""
ACTIONS = ("read", "list", "write", 'a "quoted" name')
GROUPS = ("all", "reading", "writing")


def entity(name: str) -> str:
    return f"Action::{json.dumps(name)}"


def scopes() -> st.SearchStrategy[str]:
    names = st.sampled_from((*ACTIONS, *GROUPS))
    several = st.lists(names, min_size=1, max_size=3).map(lambda found: f"action in [{', '.join(map(entity, found))}]")
    return st.one_of(
        st.just("action"),
        st.sampled_from(ACTIONS).map(lambda name: f"action == {entity(name)}"),
        names.map(lambda name: f"action in {entity(name)}"),
        several,
    )


def policies() -> st.SearchStrategy[str]:
    # Of these conditions some fail, at some levels.
    conditions = st.sampled_from(["true", "context.level > 3", "context.level + 9223372036854775807 > 0"])
    return st.builds(
        lambda effect, scope, condition: f"{effect} (principal, {scope}, resource) when {{ {condition} }};",
        st.sampled_from(["permit", "forbid"]),
        scopes(),
        conditions,
    )


def question(action: str, level: int) -> Query:
    return Query(Entity("User", "u"), Entity("Action", action), Entity("Thing", "t"), {"level": level})


def bare(engine: CedarEngine, query: Query) -> tuple[list[str], list[str]]:
    """Return the reasons and the errors of Cedar for the whole set."""
    request: dict[str, Any] = {name: getattr(query, name)._asdict() for name in ("principal", "action", "resource")}
    request["context"] = dict(query.context)
    found = cedarpy.is_authorized(request, engine._policy_set, engine._entities, engine._schema)
    named = [engine._policies[reason].id for reason in found.diagnostics.reasons]
    return sorted(named), sorted(found.diagnostics.errors)


@given(st.lists(policies(), min_size=1, max_size=6), st.sampled_from([0, 4]))
def test_the_policies_that_are_left_out_would_have_changed_nothing(written: list[str], level: int) -> None:
    #
    text = policyset.join({"test.cedar": "\n".join(written).encode()})
    engine = CedarEngine(PolicySet(text, SCHEMA.encode()))
    for action in (*ACTIONS, *GROUPS, "unknown"):
        query = question(action, level)
        answer = engine.decide(query)
        reasons, errors = bare(engine, query)
        if answer.code == "POLICY_NO_DECISION":
            assert (answer.determining, list(answer.errors)) == ((), errors)
        else:
            assert (sorted(answer.policy_ids), [] if answer.allowed else list(answer.errors)) == (reasons, errors)


def test_a_question_is_put_to_the_policies_of_its_action_and_nothing_is_kept_of_unknown_ones() -> None:
    written = [
        "permit (principal, action, resource);",
        'permit (principal, action == Action::"read", resource);',
        'forbid (principal, action in Action::"reading", resource) when { context.level > 3 };',
        'forbid (principal, action in Action::"writing", resource) when { context.level > 3 };',
        'permit (principal, action in [Action::"write", Action::"reading"], resource);',
    ]
    engine = CedarEngine(PolicySet(policyset.join({"test.cedar": "\n".join(written).encode()}), SCHEMA.encode()))
    for action in (*ACTIONS, "unknown"):
        engine.decide(question(action, 0))
    asked = {action.id: len(kept) for action, kept in engine._slices.items()}
    assert asked == {"read": 4, "list": 4, "write": 3, 'a "quoted" name': 1}


def test_only_the_schema_says_which_group_an_action_is_in() -> None:
    #
    # Else an entity could bring an action under a forbid that was left out for it.
    def load(*groups: str) -> CedarEngine:
        parents = [{"type": "Action", "id": group} for group in groups]
        member = {"uid": {"type": "Action", "id": "read"}, "attrs": {}, "parents": parents}
        policies = policyset.join({"test.cedar": b"permit (principal, action, resource);"})
        return CedarEngine(PolicySet(policies, SCHEMA.encode(), json.dumps([member]).encode()))

    assert load("reading", "all").decide(question("read", 0)).allowed
    with pytest.raises(PolicySetError, match="does not conform"):
        load("reading", "all", "writing")
