"""Receipts of inclusion: the one form of the profile, and the signature of the head that all of them share."""

from typing import Any

import pytest

from exequatur_verifier import Algorithm, MalformedError, NotProvenError, cbor, cose, merkle, receipt
from exequatur_verifier.receipt import HeadSignature, Inclusion
from tests.support import world
from tests.support.world import NOW, ORIGIN

LOG = world.new_log()
KEY = LOG.receipt_signer.public_key
RECEIPT = LOG.receipt(1, NOW)
MESSAGE = cose.decode(RECEIPT)


def changed(*, unprotected: Any = None, payload: bytes | None = None, **headers: Any) -> bytes:
    """Return the receipt with protected labels replaced (``_395=2``, ``_395=...`` leaves one out)."""
    labels = {int(label[1:].replace("m", "-")): value for label, value in headers.items()}
    protected = {key: value for key, value in {**MESSAGE.headers, **labels}.items() if value is not ...}
    if unprotected is None:
        unprotected = MESSAGE.unprotected
    return cose.assemble(cbor.encode(protected), payload, MESSAGE.signature, cbor.encode(unprotected))


def test_every_receipt_of_a_head_carries_its_one_signature() -> None:
    parsed = [receipt.parse(LOG.receipt(index, NOW)) for index in range(3)]
    assert len({(one.protected, one.signature) for one in parsed}) == 1
    for one, entry in zip(parsed, LOG.entries, strict=True):
        leaf = merkle.leaf_hash(entry)
        assert receipt.root(one, leaf) == LOG.root()
        receipt.verify_head(one.protected, one.signature, LOG.root(), KEY)


def test_the_signature_is_over_root_and_size() -> None:
    one = receipt.parse(RECEIPT)
    other = receipt.parse(changed(_m74001=4, unprotected={396: {-1: [cbor.encode([4, 1, [bytes(32)] * 2])]}}))
    for protected, signature, root in (
        (one.protected, one.signature, bytes(32)),
        (other.protected, one.signature, LOG.root()),
        (one.protected, one.signature[:-1] + bytes((one.signature[-1] ^ 1,)), LOG.root()),
    ):
        with pytest.raises(NotProvenError):
            receipt.verify_head(protected, signature, root, KEY)


def test_a_log_signs_receipts_with_es256() -> None:
    signer = world.signer("log", Algorithm.ESP256)
    head = receipt.sign_head(1, bytes(32), iss="log", origin=ORIGIN, iat=NOW, signer=signer)
    with pytest.raises(NotProvenError):
        receipt.verify_head(head.protected, head.signature, bytes(32), signer.public_key)
    with pytest.raises(MalformedError):
        receipt.parse(receipt.encode(head, Inclusion(1, 0, ())))


@pytest.mark.parametrize(
    "data",
    [
        RECEIPT[1:],
        changed(payload=b""),
        changed(payload=bytes(32)),
        changed(_1=-9),
        changed(_1=-8),
        changed(_1=...),
        changed(_4=...),
        changed(_4=bytes(31)),
        changed(_4="kid"),
        changed(_15=...),
        changed(_15={1: "log", 2: ORIGIN}),
        changed(_15={1: "log", 2: ORIGIN, 6: NOW, 7: b""}),
        changed(_15={1: "log", 2: ORIGIN, 6: -1}),
        changed(_15={1: "log", 2: ORIGIN, 6: True}),
        changed(_15={1: 1, 2: ORIGIN, 6: NOW}),
        changed(_15={1: "log", 2: b"", 6: NOW}),
        changed(_15=[]),
        changed(_395=2),
        changed(_395=True),
        changed(_395=...),
        changed(_m74001=4),
        changed(_m74001=...),
        changed(_m74001="3"),
        changed(_2=[-74001]),
        changed(_5=b""),
        changed(unprotected={}),
        changed(unprotected={**MESSAGE.unprotected, 5: b""}),
        changed(unprotected={396: {}}),
        changed(unprotected={396: []}),
        changed(unprotected={396: {-1: []}}),
        changed(unprotected={396: {-1: b""}}),
        changed(unprotected={396: {-1: MESSAGE.unprotected[396][-1] * 2}}),
        changed(unprotected={396: {-2: MESSAGE.unprotected[396][-1]}}),
        changed(unprotected={396: {**MESSAGE.unprotected[396], -2: []}}),
        changed(unprotected={396: {-1: [[3, 1, []]]}}),
    ],
)
def test_not_a_receipt(data: bytes) -> None:
    assert receipt.parse(changed()) == receipt.parse(RECEIPT)
    with pytest.raises(MalformedError):
        receipt.parse(data)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [3, 1],
        [3, 1, [], 0],
        [True, 0, []],
        [3, False, []],
        ["3", 1, []],
        [3, 1, {}],
        [3, 1, [b""]],
        [3, 1, ["x" * 32]],
        [3, 1, [bytes(32)] * 64],
        {},
    ],
)
def test_not_an_inclusion_proof(value: object) -> None:
    assert receipt.parse_inclusion(cbor.encode([3, 1, [bytes(32)] * 63])).size == 3
    with pytest.raises(MalformedError):
        receipt.parse_inclusion(cbor.encode(value))


def test_an_empty_path_is_an_empty_array() -> None:
    head = receipt.sign_head(1, bytes(32), iss="log", origin=ORIGIN, iat=NOW, signer=LOG.receipt_signer)
    assert b"\x83\x01\x00\x80" in receipt.encode(HeadSignature(head.protected, head.signature), Inclusion(1, 0, ()))
