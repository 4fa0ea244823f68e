"""What is written is read back: records, statements, receipts, bundles, terms, notes, checkpoints, keys, tile paths."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import (
    PublicKey,
    action,
    bundle,
    checkpoint,
    constraints,
    cose,
    note,
    receipt,
    schema,
    statement,
    tiles,
)
from exequatur_verifier.bundle import Bundle, Element, Parent, Position, Stapled
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import SignatureType
from exequatur_verifier.records import Kind
from exequatur_verifier.shape import plain
from tests.properties.strategies import (
    CLAIMS,
    RECORDS,
    digests,
    floats,
    lines,
    salts,
    several,
    terms,
    uints,
    values,
    words,
)
from tests.support import world

paths = st.lists(digests, max_size=4).map(tuple)
elements = st.builds(
    Element, st.binary(max_size=40), st.dictionaries(lines, st.builds(Position, uints, paths), max_size=2)
)
bundles = st.builds(
    Bundle,
    artifact=st.binary(max_size=40),
    salt=salts,
    terms=st.binary(max_size=40),
    policy=st.none() | elements,
    request=st.none() | elements,
    approvals=several(elements),
    parents=several(st.builds(Parent, elements, salts, st.binary(max_size=40), st.none() | elements)),
    status=several(elements),
    checkpoints=several(st.binary(max_size=40)),
    proofs=several(st.builds(Stapled, lines, uints, digests, paths)),
)
names = words.map(lambda word: word.replace("+", "-"))


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_records(kind: Kind, data: st.DataObject) -> None:
    record = data.draw(RECORDS[kind])
    payload = schema.encode(record)
    assert schema.decode(kind, payload) == record
    assert schema.SHAPES[kind](plain(record)) == record
    assert schema.encode(schema.decode(kind, payload)) == payload


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_statements(kind: Kind, data: st.DataObject) -> None:
    record, claims = data.draw(RECORDS[kind]), data.draw(CLAIMS[kind])
    signer = world.signer("any", Algorithm.ED25519)
    encoded = statement.sign(record, claims, signer)
    parsed = statement.parse(encoded)
    assert (parsed.kind, parsed.claims, parsed.record, parsed.entry) == (kind, claims, record, encoded)
    statement.verify(parsed, signer.public_key)
    again, receipts = statement.parse_transparent(statement.attach(encoded, (b"first", b"second")))
    assert again._replace(message=parsed.message) == parsed
    assert receipts == (b"first", b"second")


@given(bundles)
def test_bundles(made: Bundle) -> None:
    assert bundle.decode(bundle.encode(made)) == made


@given(terms)
def test_terms(made: constraints.Terms) -> None:
    assert constraints.decode_terms(constraints.encode_terms(made)) == made


@given(uints, uints, paths, lines, uints)
def test_receipts(size: int, index: int, path: tuple[bytes, ...], origin: str, iat: int) -> None:
    signer = world.signer("log")
    head = receipt.sign_head(size, bytes(32), iss="log", origin=origin, iat=iat, signer=signer)
    parsed = receipt.parse(receipt.encode(head, receipt.Inclusion(size, index, path)))
    assert parsed.inclusion == (size, index, path)
    assert (parsed.iss, parsed.origin, parsed.iat, parsed.key_id) == ("log", origin, iat, signer.public_key.thumbprint)
    receipt.verify_head(parsed.protected, parsed.signature, bytes(32), signer.public_key)


@given(
    lines, st.lists(st.tuples(names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80)), min_size=1)
)
def test_notes(text: str, signatures: list[tuple[str, bytes, bytes]]) -> None:
    made = note.Note(text + "\n", tuple(note.NoteSignature(*signature) for signature in signatures))
    assert note.parse(note.format(*made)) == made


@given(lines, uints, digests)
def test_checkpoints(origin: str, size: int, root: bytes) -> None:
    made = checkpoint.Checkpoint(origin, size, root)
    assert checkpoint.parse(checkpoint.format(made)) == made


@given(names, st.sampled_from(SignatureType))
def test_verifier_keys(name: str, kind: SignatureType) -> None:
    algorithm = Algorithm.ML_DSA_44 if kind is SignatureType.COSIGNATURE_ML_DSA_44 else Algorithm.ED25519
    made = note.note_key(name, kind, world.signer("any", algorithm).public_key)
    assert note.parse_key(note.format_key(made)) == made


@given(st.sampled_from(Algorithm), st.binary(max_size=8))
def test_keys(algorithm: Algorithm, seed: bytes) -> None:
    made = world.signer(seed.hex(), algorithm).public_key
    again = PublicKey.from_cose(made.encoded)
    assert again == made
    assert (again.algorithm, again.thumbprint, again.material) == (algorithm, made.thumbprint, made.material)


@given(st.none() | st.integers(0, 63), st.integers(0, 2**54), st.integers(1, 256))
def test_tile_paths(level: int | None, number: int, width: int) -> None:
    made = tiles.Tile(level, number, width)
    assert tiles.parse_path(tiles.format_path(made)) == made


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_entry_bundles(entries: list[bytes]) -> None:
    assert tiles.decode_entries(tiles.encode_entries(entries)) == entries


@given(
    st.dictionaries(st.integers(-100, 100).filter(lambda label: label not in (1, 2)), values(), max_size=3), st.binary()
)
def test_messages(headers: dict[int, Any], payload: bytes) -> None:
    signer = world.signer("any", Algorithm.ED25519)
    data = cose.sign1(headers, payload, signer)
    parsed = cose.decode(data)
    assert (parsed.headers, parsed.payload) == ({1: -19, **headers}, payload)
    assert cose.assemble(parsed.protected, parsed.payload, parsed.signature) == data
    signer.public_key.verify(parsed.signature, cose.signed_bytes(parsed.protected, payload))


@given(lines, lines, st.dictionaries(lines, values(floats), max_size=3))
def test_actions(name: str, resource: str, arguments: dict[str, Any]) -> None:
    made = {"type": "mcp.tool", "name": name, "resource": resource, "args": arguments}
    encoded = action.encode(made)
    assert action.encode(action.decode(encoded)) == encoded
