"""Every parser returns or raises ``MalformedError``, and nothing else, whatever it is given."""

import contextlib
from collections.abc import Callable
from functools import cache, partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import (
    MalformedError,
    PublicKey,
    action,
    bundle,
    cbor,
    checkpoint,
    constraints,
    cose,
    note,
    parse_trust,
    receipt,
    schema,
    statement,
    tiles,
)
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Kind
from exequatur_verifier.signing import load_signer
from tests.properties.strategies import RECORDS, replaced, values
from tests.support import world
from tests.vectors.flip import opened, receipts
from tests.vectors.valid import CALL, es256, process_constraints, witness_quorum

OF_BYTES: Final[dict[str, Callable[[bytes], object]]] = {
    "cbor": cbor.decode,
    "cose": cose.decode,
    "cose untagged": lambda data: cose.decode(data, tagged=False),
    "statement": statement.parse,
    "transparent statement": statement.parse_transparent,
    "receipt": receipt.parse,
    "inclusion": receipt.parse_inclusion,
    "bundle": bundle.decode,
    "terms": constraints.decode_terms,
    "action": action.decode,
    "arguments": action.parse_json_arguments,
    "note": note.parse,
    "trust": parse_trust,
    "entries": tiles.decode_entries,
    "hashes": tiles.decode_hashes,
    "key": PublicKey.from_cose,
    "private key": lambda data: load_signer(data, None),
    **{f"payload of {kind.value}": partial(schema.decode, kind) for kind in Kind},
}
OF_TEXT: Final[dict[str, Callable[[str], object]]] = {
    "arguments": action.parse_json_arguments,
    "checkpoint": checkpoint.parse,
    "verifier key": note.parse_key,
    "tile": tiles.parse_path,
    "base64": note.decode_base64,
}


@cache
def good(name: str) -> bytes:
    """Return something that the parser takes, for hypothesis to break."""
    entry, (first,) = receipts(es256())
    usual: dict[str, bytes] = {
        "cose untagged": entry[1:],
        "transparent statement": opened(es256()).artifact,
        "receipt": first,
        "inclusion": cbor.encode([5, 4, [bytes(32)]]),
        "bundle": es256().bundle or b"",
        "terms": opened(process_constraints()).terms,
        "action": action.encode(CALL),
        "arguments": b'{"a": [1, -2.5e3, "x\\u00e9", null, true], "b": {}}',
        "note": opened(witness_quorum()).checkpoints[0],
        "trust": witness_quorum().trust.encode(),
        "entries": tiles.encode_entries([b"", b"one"]),
        "hashes": bytes(64),
        "key": world.signer("authority", Algorithm.ED25519).public_key.encoded,
        "private key": b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgM=\n-----END PRIVATE KEY-----\n",
    }
    if name.startswith("payload of "):
        return statement.parse(entry).message.payload or b""
    return usual.get(name, entry)


def changed(data: st.DataObject, whole: bytes) -> bytes:
    """Return ``whole`` with one span replaced."""
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(start + 8, len(whole))))
    return whole[:start] + data.draw(st.binary(max_size=8)) + whole[stop:]


@pytest.mark.parametrize("name", OF_BYTES)
@given(data=st.data())
def test_of_bytes(name: str, data: st.DataObject) -> None:
    given_bytes = data.draw(st.binary(max_size=80) | st.builds(changed, st.just(data), st.just(good(name))))
    with contextlib.suppress(MalformedError):
        OF_BYTES[name](given_bytes)


@given(st.data())
def test_a_note_that_is_read_is_what_would_be_written(data: st.DataObject) -> None:
    whole = changed(data, good("note"))
    with contextlib.suppress(MalformedError):
        assert note.format(*note.parse(whole)) == whole


STRUCTURED = [
    name for name in OF_BYTES if name not in {"arguments", "note", "trust", "entries", "hashes", "private key"}
]


@pytest.mark.parametrize("name", STRUCTURED)
@given(value=values())
def test_of_encoded_values(name: str, value: object) -> None:
    with contextlib.suppress(MalformedError):
        OF_BYTES[name](cbor.encode(value))


@pytest.mark.parametrize("name", STRUCTURED)
@given(data=st.data())
def test_of_something_else_in_one_place(name: str, data: st.DataObject) -> None:
    # One node anywhere in a well-formed whole becomes any other value, so that each shape meets each type.
    kinds = {f"payload of {kind.value}": kind for kind in Kind}
    whole = schema.encode(data.draw(RECORDS[kinds[name]])) if name in kinds else good(name)
    tag = whole[:1] if whole[:1] == b"\xd2" else b""
    other = tag + cbor.encode(replaced(data, cbor.decode(whole[len(tag) :], floats=True)), floats=True)
    with contextlib.suppress(MalformedError):
        OF_BYTES[name](other)


@pytest.mark.parametrize("name", OF_TEXT)
@given(text=st.text(max_size=60) | st.text('0123456789+/=.x tilenrsp\n-{}[]",:eE', max_size=60))
def test_of_text(name: str, text: str) -> None:
    with contextlib.suppress(MalformedError):
        OF_TEXT[name](text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tile", "tile/0/" + "x000/" * 2000 + "000"),
        ("checkpoint", "origin\n" + "9" * 5000 + "\nAAAA\n"),
        ("arguments", '{"a": ' + "9" * 5000 + "}"),
        ("arguments", '{"a": 0e99999999999999999999}'),
        ("arguments", '{"a": ' + "[" * 100_000),
        ("base64", "A" * 5000 + "é"),
    ],
)
def test_of_text_that_converters_choke_on(name: str, text: str) -> None:
    with pytest.raises(MalformedError):
        OF_TEXT[name](text)


@pytest.mark.parametrize("document", ["a = " + "[" * 5000, "a = " + "1" * 5000, "a = 1979-05-27", "a = nan", "\udcff"])
def test_trust_that_converters_choke_on(document: str) -> None:
    with pytest.raises(MalformedError):
        parse_trust(document.encode(errors="surrogateescape"))
