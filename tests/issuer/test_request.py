"""Requests: what is asked for is committed to, and disclosed only on purpose."""

from typing import Any

import pytest

from exequatur_issuer.decide import RequestMismatchError, open_request
from exequatur_issuer.request import sign_request
from exequatur_verifier import action, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Request
from exequatur_verifier.statement import Statement
from tests.support import world

SIGNER = world.signer("requester")


def request(**changes: Any) -> Statement:
    fields: dict[str, Any] = {
        "iss": "urn:exequatur:requester:test",
        "audience": world.RUNTIME,
        "subject": world.SUBJECT,
        "unique": bytes(16),
        "salt": world.SALT,
        "now": world.NOW,
    }
    return statement.parse(sign_request(changes.pop("descriptor", world.COMMAND), SIGNER, **fields | changes))


def test_a_request_commits_to_its_action_and_holds_nothing_of_it() -> None:
    made = request(claims={"confirmed": True}, ttl=60, uses=2)
    assert isinstance(made.record, Request)
    committed = action.commitment(action.ACTION_TAG, world.SALT, action.encode(world.COMMAND))
    assert made.record.action == ("process.exec", committed)
    assert (made.record.audience, made.record.claims) == (world.RUNTIME, {"confirmed": True})
    assert (made.record.ttl, made.record.uses, made.record.disclosed) == (60, 2, None)
    assert (made.claims.sub, made.claims.iat) == (world.SUBJECT, world.NOW)
    assert b"git" not in made.entry
    statement.verify(made, SIGNER.public_key)


def test_full_disclosure_holds_all_of_it() -> None:
    made = request(disclosure="full")
    assert isinstance(made.record, Request)
    assert made.record.disclosed == (world.SALT, action.encode(world.COMMAND))


def test_the_same_request_has_the_same_bytes() -> None:
    assert request().entry == request().entry
    assert request().id != request(unique=bytes([1] * 16)).id


def test_what_is_no_action_is_not_requested() -> None:
    with pytest.raises(MalformedError):
        request(descriptor={**world.COMMAND, "digest": bytes(32)})
    with pytest.raises(ValueError, match="profile"):
        request(subject="not a urn")


def test_a_request_is_opened_by_its_own_salt_and_descriptor_only() -> None:
    #
    made = request()
    assert open_request(made, world.SALT, world.COMMAND) == made.record
    with pytest.raises(RequestMismatchError):
        open_request(made, bytes(16), world.COMMAND)
    with pytest.raises(RequestMismatchError):
        open_request(made, world.SALT, {**world.COMMAND, "args": [b"git", b"push"]})
    with pytest.raises(MalformedError):
        open_request(made, world.SALT, {"type": "process.exec"})


def test_a_disclosure_of_another_action_is_no_disclosure() -> None:
    #
    made = request(disclosure="full")
    assert isinstance(made.record, Request)
    assert made.record.disclosed is not None
    open_request(made, world.SALT, world.COMMAND)
    lie = made.record.disclosed._replace(content=action.encode({**world.COMMAND, "cwd": b"/"}))
    with pytest.raises(RequestMismatchError, match="discloses another"):
        open_request(made._replace(record=made.record._replace(disclosed=lie)), world.SALT, world.COMMAND)


def test_another_kind_of_record_is_no_request() -> None:
    with pytest.raises(MalformedError, match="no request"):
        open_request(statement.parse(world.policy_statement()), world.SALT, world.COMMAND)
