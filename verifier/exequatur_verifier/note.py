"""C2SP signed notes: text with signature lines, and the keys that check them (c2sp.org/signed-note).

    <text, each line ended by a newline>
    <an empty line>
    — <key name> <base64 of key id (4 bytes) || signature>

A verifier key is written ``<name>+<key id in hex>+<base64 of type || public key>``. Signatures by unknown keys are
ignored; one by a known key must hold. The parser takes only what the formatter writes (specs/03 §5).
"""

import base64
import binascii
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Final, NamedTuple

from .errors import MalformedError
from .keys import Algorithm, PublicKey

MAX_SIGNATURES: Final = 64
_CONTROLS: Final = bytes(set(range(0x20)) - {0x0A})


class SignatureType(IntEnum):
    """What a note key signs, by its type byte. Others of the specification are unknown here, hence ignored in notes."""

    ED25519 = 0x01  # the text
    COSIGNATURE = 0x04  # Ed25519 over a timestamped text, c2sp.org/tlog-cosignature
    COSIGNATURE_ML_DSA_44 = 0x06


class NoteKey(NamedTuple):
    """A verifier key: its name, its key id (4 bytes), what it signs, and the key itself."""

    name: str
    key_id: bytes
    type: SignatureType
    public_key: PublicKey


class NoteSignature(NamedTuple):
    """One signature line: key name, key id, and the bytes after the id (a cosignature's begin with its time)."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A parsed note. Nothing in it is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]


def note_key(name: str, type: SignatureType, public_key: PublicKey) -> NoteKey:
    """Return the verifier key of that name; raise ``MalformedError`` for a name that a note cannot hold."""
    if not _is_name(name):
        raise MalformedError(f"not a key name of a signed note: {name!r}")
    return NoteKey(name, sha256(f"{name}\n".encode() + _key_bytes(type, public_key)).digest()[:4], type, public_key)


def format_key(key: NoteKey) -> str:
    """Return the verifier key (vkey) as text."""
    return f"{key.name}+{key.key_id.hex()}+{base64.b64encode(_key_bytes(key.type, key.public_key)).decode()}"


def parse_key(text: str) -> NoteKey:
    """Return the key that a vkey spells, its key id recomputed and compared; raise ``MalformedError``."""
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    data = decode_base64(encoded)
    try:
        type = SignatureType(data[0])
    except (IndexError, ValueError):
        raise MalformedError(f"a verifier key of unknown type: {text!r}") from None
    if type is SignatureType.COSIGNATURE_ML_DSA_44:
        public_key = PublicKey({1: 7, 3: int(Algorithm.ML_DSA_44), -1: data[1:]})
    else:
        public_key = PublicKey({1: 1, 3: int(Algorithm.ED25519), -1: 6, -2: data[1:]})
    key = note_key(name, type, public_key)
    if format_key(key) != text:
        raise MalformedError(f"the key id does not fit the verifier key: {text!r}")
    return key


def parse(data: bytes) -> Note:
    """Return the note that ``data`` holds; raise ``MalformedError``."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise MalformedError("a note is UTF-8") from None
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise MalformedError("a note holds no control characters")
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise MalformedError("a note is text, an empty line, and signature lines")
    signatures = tuple(_parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise MalformedError(f"more than {MAX_SIGNATURES} signatures on a note")
    return Note(text + "\n", signatures)


def format(text: str, signatures: Iterable[NoteSignature]) -> bytes:
    """Return the note with the given signature lines; the inverse of ``parse``."""
    lines = (f"— {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n" for line in signatures)
    return f"{text}\n{''.join(lines)}".encode()


def decode_base64(text: str) -> bytes:
    """Return the bytes of standard, padded base64, and of no other spelling of them; raise ``MalformedError``."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise MalformedError("not base64 as RFC 4648 §4 writes it")
    return data


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = decode_base64(encoded)
    if dash != "—" or not _is_name(name) or len(data) < 5:
        raise MalformedError(f"not a signature line: {line!r}")
    return NoteSignature(name, data[:4], data[4:])


def _is_name(name: str) -> bool:
    return name.isprintable() and "+" not in name and name.split() == [name]


def _key_bytes(type: SignatureType, public_key: PublicKey) -> bytes:
    return bytes((type,)) + public_key.material
