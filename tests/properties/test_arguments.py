"""Arguments of calls, read strictly from JSON text, beside what the json module makes of it."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import MalformedError
from exequatur_verifier.action import parse_json_arguments
from tests.properties.strategies import any_text, floats

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | any_text | floats
arguments = st.dictionaries(
    any_text, st.recursive(scalars, lambda item: st.lists(item) | st.dictionaries(any_text, item), max_leaves=8)
)


def same(left: Any, right: Any) -> bool:
    """Say whether two values are equal, types of numbers included."""
    return repr(left) == repr(right)


@given(arguments, st.booleans())
def test_what_json_writes_is_read_as_json_reads_it(value: dict[str, Any], ascii_only: bool) -> None:
    #
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert same(parse_json_arguments(text), value)
    assert same(parse_json_arguments(text.encode()), value)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_is_kept_exactly_or_refused(literal: str) -> None:
    #
    try:
        number = parse_json_arguments(f'{{"n": {literal}}}')["n"]
    except MalformedError:
        # Refused only where a float would print as another number.
        assert not math.isfinite(float(literal)) or Decimal(repr(float(literal))) != Decimal(literal)
        return
    assert Decimal(repr(number)) == Decimal(literal)
    assert isinstance(number, int) is (literal.lstrip("-").isdigit() and -(2**63) <= int(literal) < 2**64)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        r'{"a": "\ud800"}',
        r'{"\udc00": 1}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 0.1000000000000000001}',
        '{"a": 18446744073709551617}',
        '{"a": 1e400}',
        '{"a": "e\u0301"}',
        '{"e\u0301": 1}',
        "[1]",
        "null",
        '{"a": 1',
        '{"a": 1} {}',
        '{"a": 01}',
        '\ufeff{"a": 1}',
        '{"a": ' + "[" * 17 + "]" * 17 + "}",
        '{"a": "' + "x" * (1 << 20) + '"}',
    ],
)
def test_where_readers_could_differ(text: str) -> None:
    #
    with pytest.raises(MalformedError):
        parse_json_arguments(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "utf-8-sig"])
def test_bytes_are_utf_8_and_nothing_else(encoding: str) -> None:
    assert parse_json_arguments(b'{"a": "\xc3\xa9"}') == {"a": "é"}
    with pytest.raises(MalformedError):
        parse_json_arguments('{"a": "é"}'.encode(encoding))


def test_bytes_are_no_surrogates() -> None:
    with pytest.raises(MalformedError):
        parse_json_arguments(b'{"a": "\xed\xa0\x80"}')


def test_numbers_at_the_edges() -> None:
    read = parse_json_arguments(
        '{"a": [18446744073709551615, 100000000000000000000, -9223372036854775808, 1.0, -0.0, 1E2]}'
    )
    assert same(read["a"], [2**64 - 1, 1e20, -(2**63), 1.0, -0.0, 100.0])
