"""The procedure on hostile input: always a verdict, never an allow, never a step that was taken by surprise."""

import contextlib
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import (
    Clock,
    Code,
    Facts,
    MalformedError,
    Memory,
    Proof,
    Verdict,
    action,
    bundle,
    cbor,
    cose,
    parse_trust,
    verify,
)
from exequatur_verifier.constraints import encode_terms
from exequatur_verifier.memory import KnownHead, KnownPolicy
from exequatur_verifier.trust import Trust
from tests.properties.strategies import digests, floats, integers, lines, replaced, several, terms, values
from tests.support import world
from tests.support.world import NOW, ORIGIN
from tests.vectors import form
from tests.vectors.flip import signed
from tests.vectors.form import Vector
from tests.vectors.valid import VALID, Maker, es256, remembering, two_logs, witness_quorum

MAKERS = [es256, two_logs, witness_quorum, lambda: remembering(3, stapled=True)]


@cache
def made(maker: Maker) -> Vector:
    return maker()


@cache
def trust(text: str) -> Trust:
    return parse_trust(text.encode())


def decide(vector: Vector, **other: Any) -> Verdict:
    """Return the verdict on a vector with other inputs; no step may have been taken by surprise."""
    inputs: dict[str, Any] = {
        "bundle": vector.bundle,
        "action": action.decode(vector.action),
        "facts": vector.facts,
        "trust": trust(vector.trust),
        "memory": vector.memory,
        "proofs": vector.proofs,
        "now": vector.now,
    }
    verdict = verify(**inputs | other)
    assert [step.number for step in verdict.steps] == list(range(15))
    assert not [step for step in verdict.steps if step.code is Code.INTERNAL_ERROR]
    return verdict


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    # V-02
    assert decide(made(es256), bundle=data).code is not None


@given(values())
def test_any_value(value: object) -> None:
    assert decide(made(es256), bundle=cbor.encode(value)).code is Code.ARTIFACT_MALFORMED


@pytest.mark.parametrize("maker", MAKERS)
@given(data=st.data())
def test_another_value_in_one_place(maker: Maker, data: st.DataObject) -> None:
    vector = made(maker)
    assert vector.bundle is not None
    changed = cbor.encode(replaced(data, cbor.decode(vector.bundle)))
    assert (decide(vector, bundle=changed).code is None) is (changed == vector.bundle)


@given(st.data())
def test_whatever_an_authority_signs(data: st.DataObject) -> None:
    # The authority's key is in the wrong hands: its signatures and the log's receipts are genuine.
    parts, signer = world.parts(), world.signer("authority")
    message = cose.decode(signed(parts))
    headers = replaced(data, message.headers) if data.draw(st.booleans()) else message.headers
    payload = cbor.encode(replaced(data, cbor.decode(message.payload or b"")))
    protected = cbor.encode(headers)
    signature = signer.sign(cose.signed_bytes(protected, payload))
    log = world.new_log()
    # What is not even a message cannot carry a receipt.
    with contextlib.suppress(MalformedError):
        whole = world.issue(parts, log, artifact=cose.assemble(protected, payload, signature))
        decide(made(es256), bundle=bundle.encode(whole), trust=trust(world.trust_toml(log)))


@given(terms, st.dictionaries(st.sampled_from(["executable", "script", "host"]), digests | lines), st.data())
def test_whatever_terms_say(wanted: Any, measured: dict[str, bytes | str], data: st.DataObject) -> None:
    encoded, parts = encode_terms(wanted), world.parts()
    committed = action.commitment(action.TERMS_TAG, world.SALT, encoded)
    log = world.new_log()
    whole = world.issue(parts._replace(terms=encoded, record=parts.record._replace(terms=committed)), log)
    verdict = decide(
        made(es256), bundle=bundle.encode(whole), trust=trust(world.trust_toml(log)), facts=Facts(measured)
    )
    if verdict.code is None:
        assert all(measured[name] == value for name, value in wanted.facts.items())


@given(st.dictionaries(lines | st.binary(max_size=3), values(floats) | floats, max_size=4))
def test_any_action(descriptor: dict[Any, Any]) -> None:
    assert decide(made(es256), action=descriptor).code is Code.ACTION_MISMATCH
    assert decide(made(es256), action={**world.COMMAND, **descriptor}).code in (Code.ACTION_MISMATCH, None)


heads = st.builds(
    KnownHead,
    st.just(ORIGIN),
    integers,
    digests,
    integers,
    st.binary(max_size=9),
    st.binary(max_size=9),
    digests,
    st.none(),
)
policies = st.builds(KnownPolicy, digests, digests, lines, integers, integers)
clocks = st.builds(Clock, integers, st.sampled_from(["", "boot-1"]), integers)
memories = st.builds(
    Memory,
    integers,
    st.lists(heads, max_size=1).map(lambda known: {head.origin: head for head in known}),
    several(policies).map(lambda known: {policy.id: policy for policy in known}),
    integers,
    clocks,
    st.frozensets(st.just(ORIGIN)),
)
proofs = several(
    st.builds(Proof, st.just(ORIGIN), integers, digests, integers, digests, st.lists(digests, max_size=3).map(tuple))
)


@given(memories, proofs, clocks)
def test_any_memory_proofs_and_clock(memory: Memory, given_proofs: tuple[Proof, ...], now: Clock) -> None:
    verdict = decide(made(es256), memory=memory, proofs=given_proofs, now=now)
    if verdict.code is None:
        # Nothing was remembered of this log, and the clock is within the window.
        assert ORIGIN not in memory.heads
        assert NOW - 60 <= max(now.unix, memory.floor) < NOW + 360


@pytest.mark.parametrize("name", VALID)
def test_admission_depends_on_every_byte_of_trust_and_action(name: str) -> None:
    # The same bundle for another runtime, and for another command.
    vector = VALID[name]()
    other = form.run(vector._replace(trust=vector.trust.replace(world.RUNTIME, "urn:exequatur:runtime:b")))
    assert other.code is Code.AUDIENCE_MISMATCH
    descriptor = {**action.decode(vector.action), "name": "/bin/sh" if b"mcp.tool" in vector.action else b"/bin/sh"}
    assert decide(vector, action=descriptor).code is Code.ACTION_MISMATCH


def test_a_verdict_has_no_truth_value() -> None:
    # V-05
    with pytest.raises(TypeError):
        bool(decide(made(es256)))
