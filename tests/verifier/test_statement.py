"""Statements: what is attached, and what is not (specs/02 §2)."""

import pytest

from exequatur_verifier import MalformedError, cbor, cose, statement
from tests.support import world


def test_a_detached_payload_is_no_statement() -> None:
    # C-07
    made = world.parts()
    signed = statement.sign(made.record, made.claims, world.signer("authority"))
    message = cose.decode(signed)
    assert message.payload is not None
    assert statement.parse(signed).record == made.record
    whole = cose.assemble(message.protected, message.payload, message.signature)
    assert whole == signed
    attached, detached = cbor.encode(message.payload), cbor.encode(None)
    with pytest.raises(MalformedError):
        statement.parse(signed.replace(attached, detached, 1))
