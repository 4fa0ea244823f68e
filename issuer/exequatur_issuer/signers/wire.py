"""The conversation with a signer daemon: frames of four bytes of length and one deterministic CBOR map (specs/09 §9).

    → {"op": "key",  "name": "authority"}
    ← {"key": h'COSE_Key'}
    → {"op": "sign", "name": "authority", "key": h'thumbprint', "message": h'Sig_structure or checkpoint'}
    ← {"signature": h'…'}                      or {"code": "not-permitted", "detail": "…"}

One question is answered before the next is read. Whatever is not one of these ends the conversation.
"""

import socket
import time
from typing import Final, NamedTuple

from exequatur_verifier import cbor, shape
from exequatur_verifier.errors import MalformedError

from .roles import MAX_MESSAGE

# The rest of a question is a name and a thumbprint, the rest of an answer a sentence or a key.
MAX_FRAME: Final = MAX_MESSAGE + 8192
_LENGTH: Final = 4

# After these the question may be asked again; after the others the answer would be the same.
PASSING: Final = ("busy", "unavailable")
CODES: Final = (*PASSING, "peer", "unknown-key", "another-key", "not-permitted", "malformed")


class Question(NamedTuple):
    """What a client asks: for the public key of that name, or for a signature by it."""

    op: str
    name: str
    key: bytes | None = None
    message: bytes | None = None


class Answer(NamedTuple):
    """What the daemon answers: a key, a signature, or why not."""

    key: bytes | None = None
    signature: bytes | None = None
    code: str | None = None
    detail: str | None = None


_QUESTION: Final = shape.record(
    Question,
    op=shape.word("key", "sign"),
    name=shape.text,
    key=shape.Optional(shape.digest),
    message=shape.Optional(shape.octets),
)
_ANSWER: Final = shape.record(
    Answer,
    key=shape.Optional(shape.octets),
    signature=shape.Optional(shape.octets),
    code=shape.Optional(shape.word(*CODES)),
    detail=shape.Optional(shape.note),
)


def encode(said: Question | Answer) -> bytes:
    """Return the frame of a question or an answer."""
    data = cbor.encode(shape.plain(said))
    return len(data).to_bytes(_LENGTH, "big") + data


def decode_question(data: bytes) -> Question:
    """Return the question in a frame's content; raise ``MalformedError``."""
    question = _QUESTION(cbor.decode(data))
    if (question.op == "sign") != (question.key is not None and question.message is not None):
        raise MalformedError("a signature is asked for with a key and a message")
    return question


def decode_answer(data: bytes) -> Answer:
    """Return the answer in a frame's content; raise ``MalformedError``."""
    answer = _ANSWER(cbor.decode(data))
    if sum(part is not None for part in (answer.key, answer.signature, answer.code)) != 1:
        raise MalformedError("an answer is a key, a signature or a refusal")
    return answer


def receive(connection: socket.socket, patience: float, *, idle: float | None = None) -> bytes | None:
    """Return the content of the next frame, or ``None`` where the other side has closed between two.

    The whole frame comes within ``patience`` seconds after its first byte, for which ``idle`` seconds are waited, or
    ``patience``. Raises ``TimeoutError``, ``ConnectionError`` for a frame cut short, ``MalformedError`` for one too
    long.
    """
    connection.settimeout(patience if idle is None else idle)
    first = connection.recv(1)
    if not first:
        return None
    deadline = time.monotonic() + patience
    length = int.from_bytes(first + _exactly(connection, _LENGTH - 1, deadline), "big")
    if length > MAX_FRAME:
        raise MalformedError(f"a frame is at most {MAX_FRAME} bytes long, and this one has {length}")
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, length: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the frame did not come to its end in time")
        connection.settimeout(left)
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionResetError("the frame was cut short")
        received += part
    return bytes(received)
