"""Constraints: what a subset promises holds for every value, and patterns mean what the slow matcher says."""

from re import escape, fullmatch
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from exequatur_verifier import Facts, constraints
from exequatur_verifier.constraints import Constraints
from exequatur_verifier.match import Matcher, Operator, is_subset, matches, parse_matcher
from exequatur_verifier.shape import plain
from tests.properties.strategies import constraints as any_constraints

# A small world, so that matchers and values meet often.
words: Final = st.text("ab/.?*", min_size=1, max_size=4)
paths: Final = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda steps: "/" + "/".join(steps))
hosts: Final = st.sampled_from(["a", "b.a", "c.b.a", "*.a", "*.b.a", "*.", "*", ".a"])
numbers: Final = st.integers(-3, 3)
things: Final = st.one_of(
    words,
    words.map(str.encode),
    paths,
    numbers,
    st.booleans(),
    st.none(),
    st.lists(numbers, max_size=2),
    hosts.map(lambda host: f"https://{host}/"),
)
matchers: Final = st.one_of(
    st.builds(Matcher, st.just(Operator.EXACT), things),
    st.builds(Matcher, st.just(Operator.ONE_OF), st.lists(things, max_size=3).map(tuple)),
    st.builds(Matcher, st.just(Operator.PREFIX), words | paths),
    st.builds(Matcher, st.just(Operator.GLOB), words),
    st.builds(Matcher, st.just(Operator.SUBPATH), paths),
    st.builds(Matcher, st.just(Operator.RANGE), st.tuples(st.none() | numbers, st.none() | numbers)),
    st.builds(Matcher, st.just(Operator.URL_HOST), st.lists(hosts, max_size=2).map(tuple)),
)
values: Final = things | st.floats(-3, 3) | st.lists(st.sampled_from("ab/."), max_size=5).map("".join)


@settings(max_examples=400)
@given(matchers, matchers, st.lists(values, min_size=1, max_size=8))
def test_what_a_subset_admits_the_whole_admits(child: Matcher, parent: Matcher, candidates: list[Any]) -> None:
    if is_subset(child, parent):
        operands = child.operand if child.operator is Operator.ONE_OF else (child.operand,)
        for value in (*candidates, *operands):
            assert not matches(child, value) or matches(parent, value), value


@given(matchers)
def test_every_matcher_is_a_subset_of_itself(matcher: Matcher) -> None:
    assert is_subset(matcher, matcher)
    assert is_subset(matcher, parse_matcher(plain(matcher)))


@given(st.text("ab*?[", min_size=1, max_size=8), st.text("ab[\n", max_size=8))
def test_patterns_mean_what_regular_expressions_say(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(character, escape(character)) for character in pattern)
    assert matches(Matcher(Operator.GLOB, pattern), text) is (fullmatch(f"(?s:{expression})", text) is not None)


def test_a_pattern_with_many_stars_needs_no_way_back() -> None:
    # a matcher that tries every way to share the text among the stars would not end within the life of a star.
    text, runs = "a" * 50_000, "*a" * 30
    assert matches(Matcher(Operator.GLOB, runs), text)
    assert not matches(Matcher(Operator.GLOB, runs + "*b*a"), text)


@given(any_constraints)
def test_every_set_of_constraints_is_a_subset_of_itself_and_of_none(made: Constraints) -> None:
    assert constraints.is_subset(made, made)
    assert constraints.is_subset(
        made, Constraints()._replace(process=Constraints().process._replace(image="path", script="path"))
    )


flags = st.none() | st.lists(st.sampled_from(["A", "B"]), max_size=2).map(tuple)
small_constraints = st.builds(
    Constraints,
    st.dictionaries(st.sampled_from(["/args/x", "/args/y/*", "/args/y/0"]), matchers, max_size=2),
    st.builds(constraints.Process, env=flags, uid=st.none() | st.lists(st.integers(0, 2), max_size=2).map(tuple)),
)


@given(small_constraints, small_constraints, things, st.lists(things, max_size=2))
def test_an_action_within_a_subset_is_within_the_whole(
    child: Constraints, parent: Constraints, first: Any, second: list[Any]
) -> None:
    descriptor = {"type": "t", "args": {"x": first, "y": second}, "env": {b"A": b""}, "uid": 1}
    if constraints.is_subset(child, parent) and not list(constraints.violations(child, descriptor, Facts())):
        assert list(constraints.violations(parent, descriptor, Facts())) == []
