"""The encoding: ``decode`` reads exactly what ``encode`` writes, and anything else is ``MalformedError``."""

import contextlib
import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exequatur_verifier import MalformedError, cbor
from tests.properties.strategies import floats, values


@given(values())
def test_what_is_written_is_read(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(values(floats))
def test_floats_come_back_with_their_type_and_sign(value: object) -> None:
    encoded = cbor.encode(value, floats=True)
    assert cbor.encode(cbor.decode(encoded, floats=True), floats=True) == encoded


@given(st.binary(max_size=64))
def test_what_is_read_is_what_would_be_written(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert cbor.encode(cbor.decode(data)) == data
    with contextlib.suppress(MalformedError):
        assert cbor.encode(cbor.decode(data, floats=True), floats=True) == data


@given(values(floats), st.data())
def test_what_is_read_of_a_changed_encoding_is_what_would_be_written(value: object, data: st.DataObject) -> None:
    encoded = bytearray(cbor.encode(value, floats=True))
    position = data.draw(st.integers(0, len(encoded) - 1))
    if data.draw(st.booleans()):
        encoded[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        encoded[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(MalformedError):
        assert cbor.encode(cbor.decode(bytes(encoded), floats=True), floats=True) == bytes(encoded)


@given(st.floats())
@example(-0.0)
@example(65504.0)
@example(2.0**-24)
def test_a_float_takes_the_fewest_bytes_that_keep_it(number: float) -> None:
    if not math.isfinite(number):
        with pytest.raises(ValueError):
            cbor.encode(number, floats=True)
        return
    encoded = cbor.encode(number, floats=True)
    decoded = cbor.decode(encoded, floats=True)
    assert isinstance(decoded, float)
    assert math.copysign(1, decoded) == math.copysign(1, number)
    assert len(encoded) in (3, 5, 9)
    # None of the shorter forms holds it, so re-encoding with fewer bytes would lose something.
    for length, form in ((3, ">e"), (5, ">f")):
        if len(encoded) > length:
            with contextlib.suppress(OverflowError):
                assert struct.unpack(form, struct.pack(form, number))[0] != number


@given(values())
def test_parts_are_encoded_again_as_they_stood(value: object) -> None:
    assert cbor.encode_again(cbor.decode(cbor.encode(value))) == cbor.encode(value)
