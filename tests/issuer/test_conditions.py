"""What follows from the conditions of a policy, and what contradicts itself: only what the text proves."""

import json
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine, render
from exequatur_issuer.conditions import Known, conditions, goal, mentions
from exequatur_issuer.engine import Entity, Query
from exequatur_issuer.policyset import PolicySet

SCHEMA = """
entity Team;
entity User in [Team] = { level: Long };
entity Tool;
action "all";
action "run" in ["all"] appliesTo {
  principal: User, resource: Tool,
  context: { name: String, n: Long, flag: Bool, names: Set<String>, maybe?: Long },
};
"""
ENTITIES: list[dict[str, Any]] = [
    {"uid": {"type": "User", "id": "a"}, "attrs": {"level": 3}, "parents": [{"type": "Team", "id": "t"}]},
]
ENGINE = CedarEngine(PolicySet(policyset.join({}), SCHEMA.encode(), json.dumps(ENTITIES).encode()))


def parsed(condition: str = "true", scope: str = "principal, action, resource") -> list[Any]:
    text = f"permit ({scope}) when {{ {condition} }};"
    return conditions(json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]["policy0"])


def proves(one: str, other: str) -> bool:
    return Known(parsed(one)).proves(map(goal, parsed(other)))


@pytest.mark.parametrize(
    ("known", "follows"),
    [
        ('context.name == "git"', 'context.name == "git"'),
        ('"git" == context.name', 'context.name == "git"'),
        ('context.name == "git" && context.flag', "context.flag"),
        ('context.name == "git"', '["git", "ls"].contains(context.name)'),
        ('["git"].contains(context.name)', '["git", "ls"].contains(context.name)'),
        ('["git", "rm"].contains(context.name) && context.name != "rm"', 'context.name == "git"'),
        ('context.name == "git"', 'context.name != "rm"'),
        ('context.name == "git"', '!["rm"].contains(context.name)'),
        ('context.name != "a" && context.name != "b"', '!["a", "b"].contains(context.name)'),
        ('context.name == "/srv/x"', 'context.name like "/srv/*"'),
        ('context.name == "a*b"', r'context.name like "a\*b"'),
        ('context.name == "/usr"', '!(context.name like "/srv/*")'),
        ("context.n == 7", "context.n > 3"),
        ("context.n > 3", "context.n >= 4"),
        ("context.n < 3", "context.n <= 2"),
        ("context.n >= 4", "3 < context.n"),
        ("context.n <= 2", "!(context.n > 2)"),
        ("context.n < principal.level", "principal.level > context.n"),
        ("context.n >= principal.level", "!(context.n < principal.level)"),
        ("context.flag == true", "context.flag"),
        ("!context.flag", "context.flag != true"),
        ("context.flag", 'context.flag || context.name == "git"'),
        ("context.flag || context.n > 1", "context.flag || context.n > 1"),
        ("!context.flag", "!(context.flag && context.n > 1)"),
        ("!(context.flag || context.n > 1)", "!context.flag"),
        ('principal == User::"a"', "principal is User"),
        ('principal == User::"a"', 'principal in User::"a"'),
        ('principal is User in Team::"t"', 'principal in Team::"t"'),
        ('principal in Team::"t"', 'principal in [Team::"t", Team::"u"]'),
        ('!(principal in [Team::"t", Team::"u"])', '!(principal in Team::"t")'),
        ("principal is User", "!(principal is Team)"),
        ("context has maybe && context.maybe > 5", "context has maybe && context.maybe > 1"),
        ("context.name == context.name", "context.name == context.name"),
    ],
)
def test_what_follows(known: str, follows: str) -> None:
    #
    assert proves(known, follows)


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ('context.name == "git"', "context.flag"),
        ('["git", "ls"].contains(context.name)', 'context.name == "git"'),
        ('context.name like "/srv/*"', 'context.name like "/srv/a*"'),
        ('context.name like "/srv/a*"', 'context.name like "/srv/*"'),  # True, and not tried.
        ("context.n > 3", "context.n > 4"),
        ("context.n >= 3", "context.n > 3"),
        ('principal == User::"a"', 'principal in Team::"t"'),  # True, but it is the entities that say so.
        ('principal == User::"a"', '!(principal in Team::"t")'),
        # What is on the left could fail before the right is reached.
        ("context.flag", "principal.level > 3 || context.flag"),
        ("!context.flag", "!(principal.level > 3 && context.flag)"),
        ('context.name == "1"', "context.n == 1"),
        ("context.flag", "context.n == 1"),
        ('context.names.contains("a")', 'context.name == "a"'),
    ],
)
def test_what_does_not_follow_by_the_text(known: str, unknown: str) -> None:
    #
    assert not proves(known, unknown)


@pytest.mark.parametrize(
    "condition",
    [
        'context.name == "a" && context.name == "b"',
        'context.name == "a" && ["b", "c"].contains(context.name)',
        '["a", "b"].contains(context.name) && context.name != "a" && !(context.name like "b*")',
        "context.flag && !context.flag",
        "context.flag && context.flag == false",
        "context.n > 3 && context.n < 4",
        "context.n == 3 && context.n >= 4",
        "context.n < principal.level && context.n >= principal.level",
        'context.name == "a" && context.name like "b*"',
        'principal == User::"a" && principal == User::"b"',
        "context has maybe && !(context has maybe)",
        "!(context.flag || context.n > 3) && context.n > 5",
    ],
)
def test_what_contradicts_itself(condition: str) -> None:
    #
    assert Known(parsed(condition)).contradiction() is not None


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        'context.name == "a" || context.name == "b"',
        "context.n > 3 && context.n < 5",
        "context.n == 1 && context.flag",
        'principal == User::"a" && principal in Team::"u"',
        'context.names.contains("a") && context.names.contains("b")',
    ],
)
def test_what_does_not(condition: str) -> None:
    assert Known(parsed(condition)).contradiction() is None


def test_the_scope_is_a_condition_like_any_other() -> None:
    scope = 'principal is User in Team::"t", action in [Action::"run", Action::"all"], resource == Tool::"x"'
    found = [render(condition) for condition in parsed(scope=scope)]
    assert found == [
        "principal is User",
        'principal in Team::"t"',
        'action in [Action::"run", Action::"all"]',
        'resource == Tool::"x"',
    ]
    assert Known(parsed(scope='principal, action == Action::"run", resource')).proves(
        map(goal, parsed(scope='principal, action in [Action::"run", Action::"all"], resource'))
    )


def test_what_a_condition_reads_is_found_at_any_depth() -> None:
    (condition,) = parsed('if context.flag then [principal.level].contains(3) else context.name == "resource"')
    assert [name for name in ("principal", "action", "resource", "context") if mentions(condition, name)] == [
        "principal",
        "context",
    ]


def test_conditions_are_spelled_as_one_would_write_them() -> None:
    text = 'context.name == "(context.n)" && (context.n + 1) * 2 > 3 && context.names.contains(context.name)'
    assert [render(condition) for condition in parsed(text)] == [
        'context.name == "(context.n)"',
        "((context.n + 1) * 2) > 3",
        "context.names.contains(context.name)",
    ]


# What is proven, held against the engine.

ATOMS = st.sampled_from(
    [
        *(f'context.name == "{name}"' for name in ("a", "b", "ab")),
        *(f'context.name like "{pattern}"' for pattern in ("a*", "*b", "ab")),
        *(f"[{names}].contains(context.name)" for names in ('"a"', '"a", "b"', '"b", "ab"')),
        *(f"context.n {sign} {n}" for sign in ("<", "<=", ">", ">=", "==", "!=") for n in (0, 1, 2)),
        *(f"{n} {sign} context.n" for sign in ("<", ">=") for n in (0, 1)),
        *(f"context.n {sign} principal.level" for sign in ("<", "<=", ">", ">=", "==")),
        "context.flag",
        "context.flag == false",
        "principal.level > 2",
        "context.n + 9223372036854775806 > 0",
        'principal == User::"a"',
        'principal in Team::"t"',
        'principal in [Team::"t", Team::"u"]',
        "principal is User",
        'context.names.contains("a")',
        "context has maybe",
    ]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: "({} {} {})".format(*parts)),
    ),
    max_leaves=5,
)
QUERIES = st.builds(
    lambda user, name, n, flag, maybe: Query(
        Entity("User", user),
        Entity("Action", "run"),
        Entity("Tool", "x"),
        {"name": name, "n": n, "flag": flag, "names": [name], **maybe},
    ),
    st.sampled_from(["a", "unknown"]),
    st.sampled_from(["a", "b", "ab", ""]),
    st.integers(-1, 4),
    st.booleans(),
    st.sampled_from([{}, {"maybe": 1}]),
)


@settings(max_examples=300)
@given(one=CONDITIONS, other=CONDITIONS, queries=st.lists(QUERIES, min_size=1, max_size=6))
def test_what_is_proven_holds_for_the_engine(one: str, other: str, queries: list[Query]) -> None:
    #
    known, wanted = parsed(one), parsed(other)
    proven, impossible = Known(known).proves(map(goal, wanted)), Known(known).contradiction() is not None
    for query in queries:
        held = ENGINE.evaluate(query, [*known, *wanted])
        if all(result is True for result in held[: len(known)]):
            assert not impossible
            if proven:
                assert all(result is True for result in held[len(known) :])
