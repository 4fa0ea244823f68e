"""The encoder's own limits. What is taken on the way in: specs/vectors/primitives and tests/properties."""

from typing import Any

import pytest

from exequatur_verifier import MalformedError, cbor


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        1.5,
        float("nan"),
        {1},
        object(),
        "e\u0301",
        "\ud800",
        {None: 1},
        {True: 1},
        {1.5: 1},
        {(1, 2): 1},
        {"e\u0301": 1},
        {2**64: 1},
        {"\ud800": 1},
        bytearray(b""),
    ],
)
def test_what_has_no_encoding_is_the_callers_mistake(value: Any) -> None:
    with pytest.raises(ValueError):
        cbor.encode(value)
    with pytest.raises(ValueError):
        cbor.encode([{"a": value}])


def test_floats_by_permission_only() -> None:
    assert cbor.encode(1.5, floats=True) == b"\xf9\x3e\x00"
    assert cbor.decode(b"\xf9\x3e\x00", floats=True) == 1.5
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            cbor.encode(number, floats=True)
    with pytest.raises(MalformedError):
        cbor.decode(b"\xf9\x3e\x00")


def nested(depth: int) -> list[Any]:
    return [] if depth == 0 else [nested(depth - 1)]


def test_depth_is_the_same_both_ways() -> None:
    deepest = next(depth for depth in range(64) if not _encodes(nested(depth + 1)))
    assert cbor.decode(cbor.encode(nested(deepest))) == nested(deepest)
    with pytest.raises(MalformedError):
        cbor.decode(b"\x81" * (deepest + 1) + b"\x80")


def _encodes(value: object) -> bool:
    try:
        cbor.encode(value)
    except ValueError:
        return False
    return True


def test_items_are_counted_throughout() -> None:
    encoded = cbor.encode([[0] * 10, {"a": 0}])
    assert cbor.decode(encoded, max_items=14) == [[0] * 10, {"a": 0}]
    with pytest.raises(MalformedError):
        cbor.decode(encoded, max_items=13)


def test_keys_are_judged_alike_in_large_inputs() -> None:
    # Answers on the keys of small maps are remembered; larger inputs are judged afresh.
    for padding in (bytes(10), bytes(100_000)):
        whole = cbor.encode({"a": padding, "b": 1})
        assert cbor.decode(whole) == {"a": padding, "b": 1}
        swapped = b"\xa2\x61b\x01" + whole[1:-3]
        for _ in range(2):
            with pytest.raises(MalformedError):
                cbor.decode(swapped)


def test_named_tuples_and_tuples_are_arrays() -> None:
    assert cbor.encode((1, (2,))) == cbor.encode([1, [2]])


def test_a_map_is_asked_for() -> None:
    assert cbor.decode_map(b"\xa0") == {}
    with pytest.raises(MalformedError):
        cbor.decode_map(b"\x80")


@pytest.mark.parametrize("argument", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
def test_the_shortest_head(argument: int) -> None:
    assert cbor.head(0, argument) == cbor.encode(argument)
    assert cbor.decode(cbor.head(0, argument)) == argument
    assert len(cbor.head(0, argument)) == next(
        length for length, limit in ((1, 24), (2, 256), (3, 2**16), (5, 2**32), (9, 2**64)) if argument < limit
    )


@pytest.mark.parametrize("many", [1, 100], ids=["few", "many"])
def test_keys_are_put_in_the_order_of_their_encodings(many: int) -> None:
    names = [f"{'k' * (many // 10)}{number}" for number in range(many)] + ["b", "a", "aa", ""]
    assert list(cbor.in_order(dict.fromkeys(names))) == sorted(names, key=cbor.encode)
    mixed: dict[object, None] = {**dict.fromkeys(names), 1: None, -1: None, b"a": None, "é": None}
    assert list(cbor.in_order(mixed)) == sorted(mixed, key=cbor.encode)
    with pytest.raises(ValueError, match="map keys"):
        cbor.in_order({None: 1})
