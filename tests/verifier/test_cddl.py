"""specs/records.cddl against the kernel: what one writes the other describes, and both refuse the same.

What CDDL does not say (deterministic encoding, normalization, counts over the whole) is on the pages beside it.
"""

from functools import cache
from typing import Any

import pytest
from cddl_verifier import Validator
from hypothesis import given, settings
from hypothesis import strategies as st

from exequatur_verifier import Algorithm, MalformedError, action, bundle, cbor, constraints, cose, schema, statement
from exequatur_verifier.records import Kind
from tests.data import ROOT
from tests.properties.strategies import CLAIMS, RECORDS, replaced, terms, values
from tests.support import world
from tests.vectors.flip import opened, receipts
from tests.vectors.valid import CALL, VALID

SIGNER = world.signer("any", Algorithm.ED25519)
# Each example asks the validator several times, which is slow.
few = settings(max_examples=10)
each_kind = pytest.mark.parametrize("kind", Kind)
each_vector = pytest.mark.parametrize("name", VALID)


@cache
def validator() -> Validator:
    return Validator(ROOT / "specs" / "records.cddl")


def problems(rule: str, data: bytes) -> list[str]:
    """Return what the schema has against ``data``."""
    result = validator().validate(data, rule)
    return [] if result.valid else [str(found) for found in result.diagnostics]


@each_kind
@few
@given(data=st.data())
def test_a_statement_of_every_kind(kind: Kind, data: st.DataObject) -> None:
    made = statement.sign(data.draw(RECORDS[kind]), data.draw(CLAIMS[kind]), SIGNER)
    assert problems("statement", made) == []
    assert problems(f"{kind.value}-statement", made) == []


@each_kind
@few
@given(data=st.data())
def test_a_statement_of_one_kind_is_of_no_other(kind: Kind, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from([one for one in Kind if one is not kind]))
    made = statement.sign(data.draw(RECORDS[kind]), data.draw(CLAIMS[kind]), SIGNER)
    assert problems(f"{other.value}-statement", made)


@each_vector
def test_the_parts_of_every_valid_vector(name: str) -> None:
    vector = VALID[name]()
    assert vector.bundle is not None
    made = bundle.decode(vector.bundle)
    assert problems("bundle", vector.bundle) == []
    assert problems("transparent-statement", made.artifact) == []
    assert problems("terms", made.terms) == []
    assert problems("descriptor", vector.action) == []
    entry, found = receipts(vector)
    assert problems("authorization-statement", entry) == []
    assert [problems("receipt", receipt) for receipt in found] == [[] for _ in found]
    if made.policy is not None:
        assert problems("policy-statement", made.policy.statement) == []


@each_kind
@few
@given(data=st.data())
def test_a_field_more_or_less(kind: Kind, data: st.DataObject) -> None:
    fields = cbor.decode_map(schema.encode(data.draw(RECORDS[kind])))
    assert problems(kind.value, cbor.encode(fields)) == []
    assert problems(kind.value, cbor.encode({**fields, "more": 1}))
    assert problems(kind.value, cbor.encode({**fields, "v": 2}))
    for name in fields:
        without = cbor.encode({key: value for key, value in fields.items() if key != name})
        assert bool(problems(kind.value, without)) is not accepted(kind, without)


def accepted(kind: Kind, payload: bytes) -> bool:
    """Say whether the kernel takes a payload for a record of that kind."""
    try:
        schema.decode(kind, payload)
    except MalformedError:
        return False
    return True


@each_kind
@given(data=st.data())
def test_both_refuse_the_same_payloads(kind: Kind, data: st.DataObject) -> None:
    fields: Any = cbor.decode_map(schema.encode(data.draw(RECORDS[kind])))
    payload = cbor.encode(replaced(data, fields))
    # Whether an enrolled key is one is found out by who enrols it; the schema says it at once.
    if kind is Kind.ENROLMENT and not problems(kind.value, payload):
        assert accepted(kind, payload)
    elif kind is not Kind.ENROLMENT:
        assert bool(problems(kind.value, payload)) is not accepted(kind, payload)


@given(terms, st.data())
def test_both_refuse_the_same_terms(made: constraints.Terms, data: st.DataObject) -> None:
    encoded = constraints.encode_terms(made)
    assert problems("terms", encoded) == []
    other = cbor.encode(replaced(data, cbor.decode(encoded)))
    try:
        constraints.decode_terms(other)
    except MalformedError:
        assert problems("terms", other)
    else:
        assert problems("terms", other) == []


@given(st.sampled_from([world.COMMAND, CALL]), st.data())
def test_both_refuse_the_same_actions(descriptor: dict[str, Any], data: st.DataObject) -> None:
    other = cbor.encode(replaced(data, cbor.decode(action.encode(descriptor), floats=True)), floats=True)
    try:
        action.decode(other)
    except MalformedError:
        assert problems("descriptor", other)
    else:
        assert problems("descriptor", other) == []


@given(values())
def test_other_values_are_no_bundle(value: object) -> None:
    assert problems("bundle", cbor.encode(value))
    assert problems("receipt", cbor.encode(value))
    assert problems("statement", cbor.encode(value))


def test_parts_under_a_wrong_tag_or_label() -> None:
    made = VALID["valid-es256"]()
    whole = opened(made)
    entry, (found,) = receipts(made)
    assert problems("receipt", b"\xd1" + found[1:])
    assert problems("statement", entry[1:])
    assert problems("statement", whole.artifact)
    message = cose.decode(entry)
    assert problems("statement", cose.assemble(message.protected, None, message.signature))
    assert problems("statement", cose.assemble(message.protected, message.payload, message.signature, b"\xa1\x04\x40"))
    assert problems("bundle", cbor.encode({**cbor.decode_map(made.bundle or b""), "extra": 1}))
