"""Whatever an agent says: a query in the order of its encoding, alike by either way through the mapping, or none."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer.engine import Query
from exequatur_issuer.mapping import MappingError, _Types, refuse_reserved
from exequatur_issuer.rules import ActionRules, parse_rules
from exequatur_verifier import action, cbor
from exequatur_verifier.errors import MalformedError
from tests.issuer.test_mapping import ask, call, process

ENUMS = parse_rules(b"[actions.pick]\nenum = { cabin = 'Cabin' }\nopaque = ['note']\n")

TEXT = st.text(max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from(["__entity", "items", "amount", "type", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def in_any_order(query: Query) -> bytes:
    """Return the deterministic encoding of a query, by an encoder that sorts."""
    return cbor.encode({name: getattr(query, name) for name in query._fields})


def backwards(value: Any) -> Any:
    """Return a value with the keys of every map in the contrary order."""
    if isinstance(value, dict):
        return {key: backwards(item) for key, item in reversed(value.items())}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def assert_alike(arguments: dict[Any, Any]) -> None:
    """Check that where nothing is declared the closer look comes to the same, be it a refusal."""
    types = _Types(frozenset({"Tool"}), ActionRules())

    def outcome(look: Callable[[Any], Any]) -> str:
        try:
            refuse_reserved(arguments)
            return repr(look(arguments))
        except MappingError as error:
            return str(error)

    assert outcome(lambda said: types.said(said, "")) == outcome(lambda said: types.value(said, "", 1))


@given(arguments=st.dictionaries(TEXT | st.binary(max_size=3), VALUES, max_size=4))
def test_what_is_ordinary_is_mapped_as_by_the_closer_look(arguments: dict[Any, Any]) -> None:
    # A-09 A-10 A-11
    assert_alike(arguments)


@pytest.mark.parametrize(
    "descriptor",
    [process(), call({"note": [1.5], "cabin": "economy", "a": {"zz": 1, "b": [{"yy": None, "x": True}]}}, "pick")],
    ids=["process", "enumeration and digest"],
)
def test_a_query_is_in_the_order_of_its_encoding(descriptor: dict[str, Any]) -> None:
    query = ask(descriptor, {"zeta": 1, "eta": {"b": 1, "a": 2}}, ENUMS)
    assert query.encode() == in_any_order(query)


@pytest.mark.parametrize("leaf", ["text", 1, {}, [], None], ids=repr)
@pytest.mark.parametrize("levels", range(9, 15))
def test_nesting_is_bounded_alike_by_the_closer_look(levels: int, leaf: object) -> None:
    value: Any = leaf
    for level in range(levels):
        value = {"x": value} if level % 2 or level == levels - 1 else [value]
    assert_alike(value)


@given(arguments=st.dictionaries(TEXT | st.sampled_from(["items", "amount", "gifts"]), VALUES, max_size=4))
def test_the_order_of_arguments_changes_nothing(arguments: dict[str, Any]) -> None:
    try:
        query = ask(call(arguments))
    except MappingError:
        return
    assert query.encode() == ask(call(backwards(arguments))).encode()


@given(arguments=st.dictionaries(TEXT | st.sampled_from(["items", "amount", "gifts"]), VALUES, max_size=4))
def test_any_arguments_become_a_query_or_a_refusal_and_are_not_touched(arguments: dict[str, Any]) -> None:
    before = copy.deepcopy(arguments)
    try:
        query = ask(call(arguments))
    except MappingError:
        query = None
    assert repr(arguments) == repr(before)
    if query is not None:
        assert query.encode() == ask(call(arguments)).encode() == in_any_order(query)


@given(text=st.text(alphabet='{}[]",:_entiyxr 0123456789.eE-\\u\u0301é', max_size=40))
def test_json_text_becomes_a_query_or_a_typed_error(text: str) -> None:
    try:
        ask(call(action.parse_json_arguments(text))).encode()
    except (MalformedError, MappingError):
        return
