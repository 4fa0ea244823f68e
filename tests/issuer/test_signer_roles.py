"""What a held key signs: every kind of message against every role, and messages that are not quite one."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer.signers.roles import CHECKPOINT, ENDORSEMENT, HEAD, MAX_MESSAGE, ROLES, read_subject
from exequatur_verifier import cbor, checkpoint, cose, receipt, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Approval, Kind, Link, Record
from exequatur_verifier.statement import Claims
from tests.properties.strategies import CLAIMS, RECORDS
from tests.support import world

KEY = world.signer("held")
CLAIM = Claims("urn:exequatur:authority:test", "urn:uuid:1", world.NOW, bytes(16))


class Caught:
    """A signer that keeps what it is asked to sign."""

    def __init__(self, key: PublicKey = KEY.public_key) -> None:
        self.public_key = key
        self.message = b""

    def sign(self, message: bytes) -> bytes:
        self.message = message
        return bytes(64)


def message_of(record: Record, claims: Claims) -> bytes:
    statement.sign(record, claims, caught := Caught())
    return caught.message


def head(size: int = 7) -> bytes:
    receipt.sign_head(size, bytes(32), iss="log", origin="log.example", iat=1, signer=(caught := Caught()))
    return caught.message


def protected() -> bytes:
    parts = cbor.decode(head())
    assert isinstance(parts, list)
    return bytes(parts[1])


def changed_head(change: Callable[[dict[int, object]], object], payload: bytes = bytes(32)) -> bytes:
    change(headers := cbor.decode_map(protected()))
    return cose.signed_bytes(cbor.encode(headers), payload)


def test_the_roles_are_those_of_a_home_and_an_approver() -> None:
    #
    from exequatur_cli.home import ROLES as HOME

    assert ROLES.keys() == {*HOME, "approver"}
    assert ROLES["authority"] == {"decision", "authorization", "status", "enforcement", "enrolment"}
    assert ROLES["approver"] == {"approval"}
    assert ROLES["receipts"] == {HEAD}
    assert ROLES["checkpoints"] == {CHECKPOINT}


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_a_statement_is_known_by_its_kind_and_its_record_id(kind: Kind, data: st.DataObject) -> None:
    #
    record, claims = data.draw(RECORDS[kind]), data.draw(CLAIMS[kind])
    signed = statement.parse(statement.sign(record, claims, KEY))
    subject = read_subject(message_of(record, claims), KEY.public_key)
    assert (subject.kind, subject.digest) == (kind.value, signed.id)


def test_consent_to_a_policy_is_no_consent_to_an_action() -> None:
    #
    claims = CLAIM._replace(exp=world.NOW + 60)
    consent = Approval((Link("policy", bytes(32)),), bytes(32), "policy", 0)
    assert read_subject(message_of(consent, claims), KEY.public_key).kind == ENDORSEMENT
    once = Approval((Link("request", bytes(32)),), bytes(32), "once", 1)
    assert read_subject(message_of(once, claims), KEY.public_key).kind == Kind.APPROVAL.value


def test_heads_and_checkpoints_are_known() -> None:
    #
    assert read_subject(head(), KEY.public_key) == (HEAD, sha256(head()).digest())
    text = checkpoint.format(checkpoint.Checkpoint("log.example", 7, bytes(32))).encode()
    assert read_subject(text, KEY.public_key) == (CHECKPOINT, sha256(text).digest())


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"log.example\n7\n",
        b"log.example\n7\n" + b"A" * 43 + b"=\nextension\n",
        b"\xff\xfe",
        b"\x84",
        head()[:-1],
        head() + b"\x00",
        b"\x84\x6aSignature2" + head()[12:],
        changed_head(lambda headers: headers.pop(receipt.TREE_SIZE)),
        changed_head(lambda headers: headers.update({receipt.TREE_SIZE: 0})),
        changed_head(lambda headers: headers.update({receipt.TREE_SIZE: True})),
        changed_head(lambda headers: headers.update({receipt.TREE_SIZE: "7"})),
        changed_head(lambda headers: headers.update({cose.KEY_ID: bytes(32)})),
        changed_head(lambda headers: headers.update({cose.ALGORITHM: -9})),
        changed_head(lambda headers: headers.update({cose.CONTENT_TYPE: "text/plain"})),
        changed_head(lambda headers: headers.update({99: 1})),
        changed_head(dict, payload=bytes(31)),
        cose.signed_bytes(b"", bytes(32)),
        cose.signed_bytes(protected(), bytes(32), external_aad=b"other"),
        bytes(MAX_MESSAGE + 1),
    ],
)
def test_what_is_neither_is_refused(message: bytes) -> None:
    #
    with pytest.raises(MalformedError):
        read_subject(message, KEY.public_key)


def test_a_statement_in_the_name_of_another_key_is_refused() -> None:
    #
    message = message_of(Approval((Link("request", bytes(32)),), bytes(32), "once", 1), CLAIM._replace(exp=1))
    with pytest.raises(MalformedError, match="another key"):
        read_subject(message, world.signer("another").public_key)
