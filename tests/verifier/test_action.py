"""Action descriptors: every argument of an action, as it is. JSON arguments: tests/properties."""

from hashlib import sha256
from typing import Any

import pytest

from exequatur_verifier import MalformedError, action, cbor
from tests.support.world import COMMAND, SALT
from tests.vectors.valid import CALL


@pytest.mark.parametrize("descriptor", [COMMAND, CALL, {**CALL, "args": {}}, {**COMMAND, "env": {}}])
def test_a_descriptor_comes_back(descriptor: dict[str, Any]) -> None:
    encoded = action.encode(descriptor)
    assert action.encode(action.decode(encoded)) == encoded


@pytest.mark.parametrize(
    "descriptor",
    [
        {},
        {"type": "process.exec"},
        {**COMMAND, "type": b"process.exec"},
        {**COMMAND, "type": "mcp.tool"},
        {**COMMAND, "shell": True},
        {key: value for key, value in COMMAND.items() if key != "uid"},
        {**COMMAND, "uid": -1},
        {**COMMAND, "uid": True},
        {**COMMAND, "args": []},
        {**COMMAND, "args": b"git"},
        {**COMMAND, "args": ["git"]},
        {**COMMAND, "args": [b"git\x00"]},
        {**COMMAND, "name": "/usr/bin/git"},
        {**COMMAND, "cwd": None},
        {**COMMAND, "env": [b"PATH"]},
        {**COMMAND, "env": {"PATH": b""}},
        {**COMMAND, "env": {b"PATH": ""}},
        {**COMMAND, "env": {b"A\x00B": b""}},
        {**CALL, "type": ""},
        {**CALL, "type": "process.exec"},
        {**CALL, "cwd": b"/"},
        {**CALL, "name": ""},
        {**CALL, "name": b"book"},
        {**CALL, "resource": None},
        {**CALL, "args": []},
        {**CALL, "args": {"a": object()}},
        {**CALL, "args": {"a": "e\u0301"}},
        {**CALL, "args": {"\ud800": 1}},
        {**CALL, "args": {"e\u0301": 1}},
        {**CALL, "args": {"a": float("nan")}},
        {**CALL, "args": {1.5: "a"}},
    ],
)
def test_not_an_action(descriptor: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        action.encode(descriptor)


@pytest.mark.parametrize("value", [[], "process.exec", {**COMMAND, "uid": "0"}, {1: 2}])
def test_not_the_encoding_of_an_action(value: Any) -> None:
    with pytest.raises(MalformedError):
        action.decode(cbor.encode(value))


def test_a_commitment_is_to_tag_salt_and_content() -> None:
    encoded = action.encode(COMMAND)
    made = action.commitment(action.ACTION_TAG, SALT, encoded)
    assert made == sha256(b"exequatur-action-v1" + SALT + encoded).digest()
    assert made == sha256(action.preimage(action.ACTION_TAG, SALT, encoded)).digest()
    tags = (action.ACTION_TAG, action.TERMS_TAG, action.FACTS_TAG, action.OUTPUT_TAG)
    assert len({action.commitment(tag, SALT, encoded) for tag in tags}) == 4
    # No tag begins another, so that none with its salt spells another with other content.
    assert not [tag for tag in tags for other in tags if tag is not other and other.startswith(tag)]
