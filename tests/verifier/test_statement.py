"""Statements: records in their envelope, their ids, and what must stand in a header."""

from hashlib import sha256
from typing import Any

import pytest

from exequatur_verifier import (
    Algorithm,
    MalformedError,
    NotProvenError,
    UnsupportedError,
    cbor,
    cose,
    merkle,
    statement,
)
from exequatur_verifier.records import Approval, Kind
from exequatur_verifier.statement import MAX_STATEMENT, Claims
from tests.support import world
from tests.support.world import NOW, SUBJECT
from tests.vectors.flip import signed

PARTS = world.parts()
ENTRY = signed(PARTS)
KEY = world.signer("authority").public_key


def test_a_statement_says_what_was_signed() -> None:
    parsed = statement.parse(ENTRY)
    assert (parsed.kind, parsed.algorithm, parsed.key_id) == (Kind.AUTHORIZATION, -7, KEY.thumbprint)
    assert (parsed.record, parsed.claims) == (PARTS.record, PARTS.claims)
    statement.verify(parsed, KEY)


def test_the_record_id_stays_the_same_under_other_signatures_and_receipts() -> None:
    # C-10
    parsed = statement.parse(ENTRY)
    message = parsed.message
    assert parsed.id == sha256(cose.signed_bytes(message.protected, message.payload or b"")).digest()
    resigned = cose.assemble(message.protected, message.payload, bytes(64))
    assert statement.parse(resigned).id == parsed.id
    assert statement.parse(resigned).leaf != parsed.leaf
    transparent, receipts = statement.parse_transparent(statement.attach(ENTRY, (b"receipt",)))
    assert (transparent.id, transparent.leaf, transparent.entry) == (parsed.id, merkle.leaf_hash(ENTRY), ENTRY)
    assert receipts == (b"receipt",)


def test_a_signature_is_checked_with_the_keys_own_algorithm() -> None:
    parsed = statement.parse(ENTRY)
    with pytest.raises(NotProvenError):
        statement.verify(parsed, world.signer("stranger").public_key)
    with pytest.raises(UnsupportedError):
        statement.verify(parsed, world.signer("authority", Algorithm.ESP256).public_key)


def test_nothing_but_receipts_is_unprotected() -> None:
    # C-05 C-06
    with pytest.raises(MalformedError):
        statement.parse(statement.attach(ENTRY, ()))
    message = cose.decode(ENTRY)
    assert statement.parse_transparent(statement.attach(ENTRY, ()))[1] == ()
    wrong: list[Any] = [{}, {394: [], 4: b""}, {394: [[]]}, {394: b""}, {394: {}}, {4: b""}, {395: []}]
    for unprotected in wrong:
        whole = cose.assemble(message.protected, message.payload, message.signature, cbor.encode(unprotected))
        with pytest.raises(MalformedError):
            statement.parse_transparent(whole)


def test_a_statement_fits_an_entry_of_a_tile() -> None:
    # C-08
    # A payload long enough that only the length is at fault.
    def of(length: int) -> bytes:
        made = world.parts()
        disclosed = {"salt": bytes(16), "content": bytes(length)}
        return signed(made, payload={"disclosed": disclosed})

    spare = MAX_STATEMENT - len(of(60_000))
    assert len(of(60_000 + spare)) == MAX_STATEMENT
    assert statement.parse(of(60_000 + spare)).kind is Kind.AUTHORIZATION
    for parse in (statement.parse, lambda data: statement.parse_transparent(statement.attach(data, ()))):
        with pytest.raises(MalformedError):
            parse(of(60_001 + spare))


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {3: ...}},
        {"headers": {4: ...}},
        {"headers": {4: bytes(31)}},
        {"headers": {4: "kid"}},
        {"headers": {5: b""}},
        {"headers": {16: "application/cose"}},
        {"claims": {1: ...}},
        {"claims": {1: ""}},
        {"claims": {1: 1}},
        {"claims": {1: "two\nlines"}},
        {"claims": {2: "urn:"}},
        {"claims": {2: "urn:example"}},
        {"claims": {2: "urn:example:a b"}},
        {"claims": {3: b""}},
        {"claims": {4: -1}},
        {"claims": {5: "soon"}},
        {"claims": {6: 2**63}},
        {"claims": {6: True}},
        {"claims": {7: bytes(15)}},
        {"claims": {8: {}}},
        {"claims": {8: {1: b""}}},
        {"claims": {8: {5: bytes(32)}}},
        {"claims": {8: {1: {}, 5: bytes(32)}}},
        {"claims": {9: 1}},
        {"claims": {"aud": "x"}},
        {"payload": {"v": True}},
        {"payload": {"v": "1"}},
        {"payload": {"uses": None}},
        {"payload": {"links": [["policy"]]}},
        {"payload": {1: 1}},
    ],
)
def test_out_of_form(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        statement.parse(signed(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {3: "application/cbor"}},
        {"headers": {3: 60}},
        {"headers": {3: {}}},
        {"headers": {1: "ES256"}},
        {"headers": {1: -36}},
        {"headers": {1: True}},
        {"headers": {1: []}},
        {"payload": {"v": 0}},
        {"payload": {"v": 2}},
    ],
)
def test_of_another_version_kind_or_algorithm(changed: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError):
        statement.parse(signed(**changed))


def test_a_payload_is_attached() -> None:
    # C-07
    message = cose.decode(ENTRY)
    with pytest.raises(MalformedError):
        statement.parse(cose.assemble(message.protected, None, message.signature))


def test_claims_are_those_of_the_kind() -> None:
    # C-04
    signer = world.signer("approver")
    record = Approval((), bytes(32), "once", 1)
    claims = Claims("approver", SUBJECT, NOW, bytes(16), exp=NOW + 60)
    assert statement.parse(statement.sign(record, claims, signer)).claims == claims
    for other in (claims._replace(exp=None), claims._replace(nbf=NOW), claims._replace(sub="somebody")):
        with pytest.raises(ValueError):
            statement.sign(record, other, signer)
    with pytest.raises(ValueError):
        statement.sign(record._replace(scope="always"), claims, signer)
