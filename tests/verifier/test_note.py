"""Signed notes and their keys: what the formatter writes, and nothing else."""

import pytest

from exequatur_verifier import Algorithm, MalformedError, note
from exequatur_verifier.note import NoteSignature, SignatureType
from tests.support import world

KEY = note.note_key("log.example", SignatureType.ED25519, world.signer("log", Algorithm.ED25519).public_key)
LINE = NoteSignature("log.example", KEY.key_id, bytes(64))
NOTE = note.format("one\n\ntwo\n", [LINE])


def test_text_may_hold_empty_lines() -> None:
    assert note.parse(NOTE) == note.Note("one\n\ntwo\n", (LINE,))


def test_at_most_64_signatures() -> None:
    # L-31
    assert len(note.parse(note.format("text\n", [LINE] * 64)).signatures) == 64
    with pytest.raises(MalformedError):
        note.parse(note.format("text\n", [LINE] * 65))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n\n\xe2", b"\n\xe2"),
        NOTE.replace(b"one", b"o\x00e"),
        NOTE.replace(b"one", b"o\te"),
        NOTE.replace(b"one\n", b"one\r\n"),
        NOTE.replace(b"one", b"\xff"),
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace("— ".encode(), "—  ".encode()),
        NOTE.replace(b"log.example ", b"log+example "),
        NOTE.replace(b"log.example ", b" "),
        NOTE.replace(b"log.example ", "log\u00a0example ".encode()),
        NOTE.replace(b"=\n", b"= \n"),
        NOTE.replace(b"=\n", b"\n"),
        note.format("text\n", [NoteSignature("log.example", b"1234", b"")]),
        NOTE + "— a \n".encode(),
    ],
)
def test_not_a_note(data: bytes) -> None:
    # L-31
    with pytest.raises(MalformedError):
        note.parse(data)


@pytest.mark.parametrize("text", ["QQ==", "", "QUI="])
def test_base64_has_one_spelling(text: str) -> None:
    assert note.decode_base64(text) in (b"A", b"", b"AB")
    for other in (text + "=", "=" + text, text + "\n", text.replace("Q=", "R="), text[:-1] + "-"):
        if other != text:
            with pytest.raises(MalformedError):
                note.decode_base64(other)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\tb", "a\n", "\u2028"])
def test_not_a_name(name: str) -> None:
    with pytest.raises(MalformedError):
        note.note_key(name, KEY.type, KEY.public_key)


def test_the_same_key_under_another_name_or_type_is_another() -> None:
    other = note.note_key("other.example", KEY.type, KEY.public_key)
    cosigning = note.note_key(KEY.name, SignatureType.COSIGNATURE, KEY.public_key)
    assert len({KEY.key_id, other.key_id, cosigning.key_id}) == 3


@pytest.mark.parametrize("kind", SignatureType)
def test_a_verifier_key_with_anything_changed(kind: SignatureType) -> None:
    # L-32
    algorithm = Algorithm.ML_DSA_44 if kind is SignatureType.COSIGNATURE_ML_DSA_44 else Algorithm.ED25519
    key = note.note_key("a.example", kind, world.signer("a", algorithm).public_key)
    text = note.format_key(key)
    assert note.parse_key(text) == key
    # Each character of the name, the key id and the beginning of the key, which is where the type stands.
    for position in range(40):
        other = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        with pytest.raises(MalformedError):
            note.parse_key(other)
    for other in (text[:-1], text + "=", text.upper(), text + "\n", "", "+", "++", "a++", "a+00000000+AgAA"):
        with pytest.raises(MalformedError):
            note.parse_key(other)
