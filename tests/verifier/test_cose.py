"""COSE_Sign1: one form of each message."""

from typing import Any

import pytest

from exequatur_verifier import Algorithm, MalformedError, NotProvenError, cbor, cose
from tests.support import world

SIGNER = world.signer("some", Algorithm.ED25519)
MESSAGE = cose.sign1({3: "text/plain"}, b"payload", SIGNER)


def of(*parts: Any) -> bytes:
    return b"\xd2" + cbor.encode(list(parts))


def protected(headers: dict[Any, Any]) -> bytes:
    return of(cbor.encode(headers), {}, b"", b"")


def test_a_message_is_taken_apart_and_put_together() -> None:
    message = cose.decode(MESSAGE)
    assert message.headers == {1: -19, 3: "text/plain"}
    assert (message.unprotected, message.payload) == ({}, b"payload")
    assert cose.assemble(message.protected, message.payload, message.signature) == MESSAGE
    assert cose.decode(MESSAGE[1:], tagged=False) == message


def test_what_is_signed() -> None:
    message = cose.decode(MESSAGE)
    signed = cose.signed_bytes(message.protected, b"payload")
    assert signed == cbor.encode(["Signature1", message.protected, b"", b"payload"])
    SIGNER.public_key.verify(message.signature, signed)
    for other in (
        cose.signed_bytes(message.protected, b"payload "),
        cose.signed_bytes(message.protected + b"\x00", b"payload"),
        cose.signed_bytes(message.protected, b"payload", b"aad"),
    ):
        with pytest.raises(NotProvenError):
            SIGNER.public_key.verify(message.signature, other)


def test_an_empty_protected_header_has_two_spellings_and_one_signature() -> None:
    assert cose.signed_bytes(b"\xa0", b"payload") == cose.signed_bytes(b"", b"payload")
    assert cose.decode(of(b"", {}, b"", b"")).headers == cose.decode(of(b"\xa0", {}, b"", b"")).headers == {}


def test_a_detached_payload() -> None:
    assert cose.decode(of(b"", {}, None, b"")).payload is None
    assert cose.decode(cose.assemble(b"", None, b"")).payload is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MESSAGE[1:],
        b"\xd1" + MESSAGE[1:],
        MESSAGE + b"\x00",
        of(b"", {}, b""),
        of(b"", {}, b"", b"", b""),
        of({}, {}, b"", b""),
        of(b"", [], b"", b""),
        of(b"", {}, "text", b""),
        of(b"", {}, b"", None),
        b"\xd2" + cbor.encode({}),
        of(b"\x80", {}, b"", b""),
        of(b"\xa1\x01", {}, b"", b""),
        of(b"\xa1\x18\x01\x26", {}, b"", b""),
    ],
)
def test_not_a_message(data: bytes) -> None:
    with pytest.raises(MalformedError):
        cose.decode(data)


def test_a_label_stands_once() -> None:
    cose.decode(of(cbor.encode({1: -7}), {4: b""}, b"", b""))
    with pytest.raises(MalformedError):
        cose.decode(of(cbor.encode({4: b""}), {4: b""}, b"", b""))


def test_critical_labels() -> None:
    assert cose.decode(protected({2: [-70001], -70001: 1})).headers[2] == [-70001]
    assert cose.decode(protected({2: ["a"], "a": 1})).headers[2] == ["a"]
    wrong: list[Any] = [[], [-70001], -70001, [None], [[]], [True], {}]
    for critical in wrong:
        with pytest.raises(MalformedError):
            cose.decode(protected({1: -7, 2: critical}))
    with pytest.raises(MalformedError):
        cose.decode(of(cbor.encode({1: -7}), {2: [1]}, b"", b""))
