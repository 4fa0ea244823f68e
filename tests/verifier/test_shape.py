"""Shapes: each takes its own and refuses its neighbours."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import pytest

from exequatur_verifier import MalformedError, UnsupportedError, bundle, cbor, schema, shape
from exequatur_verifier.records import Kind
from tests.support import world


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Spot(NamedTuple):
    colour: Colour
    size: int = 1
    note: str | None = None


SPOT = shape.record(Spot, colour=shape.one_of(Colour), size=shape.Optional(shape.uint), note=shape.Optional(shape.text))


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (shape.text, ["a", " a", "é", "a" * 512], ["", "a" * 513, "a\n", "\u202e", "\x7f", b"a", None, 1]),
        (shape.note, ["", "a\nb", "a" * 4096], ["a" * 4097, b"", None]),
        (shape.urn, ["urn:a:b", "urn:a:b:c"], ["urn:", "urn:a", "urn:a:", "urn::b", "URN:a:b", "urn:a: b", "a:b:c", 1]),
        (shape.uint, [0, 2**63 - 1], [-1, 2**63, True, 1.0, "1", None]),
        (shape.integer, [-(2**63), 2**63 - 1], [-(2**63) - 1, 2**63, False, 0.0, "0"]),
        (shape.boolean, [True, False], [0, 1, None, "true"]),
        (shape.octets, [b"", b"a"], ["", bytearray(b""), None, [0]]),
        (shape.digest, [bytes(32)], [bytes(31), bytes(33), "a" * 32, [0] * 32]),
        (shape.salt, [bytes(16)], [bytes(15), bytes(17), "a" * 16]),
        (shape.one_of(Colour), ["red"], ["green", "RED", Colour.RED, 1, None, [], {}]),
        (shape.word("a", "b"), ["a"], ["c", "", 1, None, [], b"a"]),
        (shape.many(shape.uint, least=1, most=2), [[1], [1, 2]], [[], [1, 2, 3], [-1], (1,), None, {}]),
        (shape.pair(shape.uint, shape.text, lambda a, b: (a, b)), [[1, "a"]], [[1], [1, "a", 2], ["a", 1], None, {}]),
        (shape.mapping(shape.uint, most=1), [{}, {"a": 1}], [{"a": 1, "b": 2}, {1: 1}, {"a": "b"}, {"": 1}, [], None]),
        (SPOT, [{"colour": "red"}, {"colour": "blue", "size": 2, "note": "n"}], [{}, [], None, {"colour": "green"}]),
        (SPOT, [], [{"colour": "red", "x": 1}, {"colour": "red", 1: 1}, {"colour": "red", "note": None}, {"size": 1}]),
    ],
)
def test_shape(parse: Callable[[Any], Any], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        parsed = parse(value)
        assert parse(shape.plain(parsed)) == parsed
    for value in bad:
        with pytest.raises(MalformedError):
            parse(value)


def test_a_field_at_its_default_is_left_out() -> None:
    assert shape.plain(Spot(Colour.RED)) == shape.plain(Spot(Colour.RED, 1, None)) == {"colour": "red"}
    assert SPOT({"colour": "red", "size": 1}) == Spot(Colour.RED)


def test_an_error_names_the_field() -> None:
    nested = shape.record(lambda spot: spot, spot=SPOT)
    for value, words in (
        ({"spot": {"colour": "red", "size": "big"}}, "spot: size: not an unsigned integer"),
        ({"spot": {"size": 1}}, r"spot: fields missing: \['colour'\]"),
        ({"spot": {"colour": "red", "shade": 1}}, "spot: unknown fields: .*shade"),
    ):
        with pytest.raises(MalformedError, match=words):
            nested(value)


def test_a_payload_names_the_version_of_its_profile() -> None:
    payload = schema.encode(world.policy_record())
    fields = cbor.decode_map(payload)
    assert schema.decode(Kind.POLICY, payload) == world.policy_record()
    for version in (None, "1", True, b"\x01"):
        with pytest.raises(MalformedError) as caught:
            schema.decode(Kind.POLICY, cbor.encode({**fields, "v": version}))
        assert not isinstance(caught.value, UnsupportedError)
    with pytest.raises(UnsupportedError):
        schema.decode(Kind.POLICY, cbor.encode({**fields, "v": 2}))


@pytest.mark.parametrize("key", [None, b"", [], {"kty": 2}, {1: 2, "x": b""}])
def test_a_key_of_an_enrolment_is_a_map_of_labels(key: Any) -> None:
    fields = {"v": 1, "links": [], "form": "key"}
    decoded: Any = schema.decode(Kind.ENROLMENT, cbor.encode({**fields, "key": {1: 2}}))
    assert decoded.key == {1: 2}
    with pytest.raises(MalformedError):
        schema.decode(Kind.ENROLMENT, cbor.encode({**fields, "key": key}))


ELEMENT = [b"statement", {"log": [1, [bytes(32)]]}]
BUNDLE: dict[str, Any] = {"v": 1, "artifact": b"", "salt": bytes(16), "terms": b""}


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 2},
        {"v": True},
        {"v": None},
        {"artifact": ""},
        {"salt": bytes(17)},
        {"terms": {}},
        {"extra": b""},
        {"policy": None},
        {"policy": ELEMENT[:1]},
        {"policy": [b"", []]},
        {"policy": [b"", {"log": [1]}]},
        {"policy": [b"", {"log": [-1, []]}]},
        {"policy": [b"", {"log": [1, [b""]]}]},
        {"policy": [b"", {"log": [1, [bytes(32)] * 64]}]},
        {"policy": [b"", {f"log{number}": [1, []] for number in range(17)}]},
        {"approvals": []},
        {"approvals": [ELEMENT] * 33},
        {"parents": []},
        {"parents": [ELEMENT] * 9},
        {"status": []},
        {"status": [ELEMENT] * 10},
        {"checkpoints": []},
        {"checkpoints": [""]},
        {"checkpoints": [b""] * 17},
        {"proofs": []},
        {"proofs": [{"origin": "log", "size": 1, "root": bytes(32), "path": [], "more": 1}]},
        {"proofs": [{"origin": "log", "size": 1, "root": bytes(31), "path": []}]},
        {"proofs": [{"origin": "log", "size": 1, "root": bytes(32), "path": []}] * 65},
    ],
)
def test_not_a_bundle(changed: dict[str, Any]) -> None:
    assert bundle.decode(cbor.encode({**BUNDLE, "policy": ELEMENT})).policy is not None
    with pytest.raises(MalformedError):
        bundle.decode(cbor.encode({**BUNDLE, **changed}))
