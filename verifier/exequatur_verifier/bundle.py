"""The bundle: one file with everything an offline verifier needs and nothing else (specs/04 §3).

It is one deterministic map, media type ``application/vnd.exequatur.bundle+cbor``, file suffix ``.exq``. It is closed:
unknown keys are refused, and every byte is under a signature or a hash that a step verifies, or is compared with a
computed value. Each statement beside the artifact carries its own inclusion path to the artifact's head, which that
head's one signature proves.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from . import cbor, merkle, shape
from .errors import MalformedError

MEDIA_TYPE: Final = "application/vnd.exequatur.bundle+cbor"
VERSION: Final = 1
MAX_BUNDLE: Final = 1 << 20
MAX_RECEIPTS: Final = 16
MAX_PROOFS: Final = 64
MAX_CHAIN: Final = 8


class Position(NamedTuple):
    """Where a statement stands in the artifact's tree: leaf index, and the path to the root."""

    leaf_index: int
    path: tuple[bytes, ...]

    @property
    def as_array(self) -> bool:
        """A pair on the wire."""
        return True


class Element(NamedTuple):
    """A statement beside the artifact, with its position in the tree of each of the artifact's receipts, by origin."""

    statement: bytes
    positions: Mapping[str, Position]

    @property
    def as_array(self) -> bool:
        """A pair on the wire."""
        return True


class Parent(NamedTuple):
    """A grant above the artifact: its statement, what opens its terms, and the request it answers if it has a parent.

    The nearest stands first.
    """

    authorization: Element
    salt: bytes
    terms: bytes
    request: Element | None = None


class Stapled(NamedTuple):
    """A consistency proof from an older head of a log to the artifact's head, with the older root it leads from."""

    origin: str
    size: int
    root: bytes
    path: tuple[bytes, ...]


class Bundle(NamedTuple):
    """A decoded bundle; statements, terms and notes are still encoded. Nothing in it is verified."""

    artifact: bytes
    salt: bytes
    terms: bytes
    policy: Element | None = None
    request: Element | None = None
    approvals: tuple[Element, ...] = ()
    parents: tuple[Parent, ...] = ()
    status: tuple[Element, ...] = ()
    checkpoints: tuple[bytes, ...] = ()
    proofs: tuple[Stapled, ...] = ()


def _path(value: Any) -> tuple[bytes, ...]:
    if not merkle.is_path(value):
        raise MalformedError("not a path of at most 63 hashes")
    return tuple(value)


_ELEMENT: Final = shape.pair(
    shape.octets, shape.mapping(shape.pair(shape.uint, _path, Position), most=MAX_RECEIPTS), Element
)
_PARENT: Final = shape.record(
    Parent, authorization=_ELEMENT, salt=shape.salt, terms=shape.octets, request=shape.Optional(_ELEMENT)
)
_STAPLED: Final = shape.record(Stapled, origin=shape.text, size=shape.uint, root=shape.digest, path=_path)
_BUNDLE: Final = shape.record(
    Bundle,
    artifact=shape.octets,
    salt=shape.salt,
    terms=shape.octets,
    policy=shape.Optional(_ELEMENT),
    request=shape.Optional(_ELEMENT),
    approvals=shape.Optional(shape.many(_ELEMENT, least=1, most=32)),
    parents=shape.Optional(shape.many(_PARENT, least=1, most=MAX_CHAIN)),
    status=shape.Optional(shape.many(_ELEMENT, least=1, most=MAX_CHAIN + 1)),
    checkpoints=shape.Optional(shape.many(shape.octets, least=1, most=MAX_RECEIPTS)),
    proofs=shape.Optional(shape.many(_STAPLED, least=1, most=MAX_PROOFS)),
)


def decode(data: bytes) -> Bundle:
    """Return the bundle that ``data`` encodes; raise ``MalformedError``.

    The size limit is the caller's to check first.
    """
    fields = cbor.decode_map(data)
    if fields.pop("v", None) is not VERSION:
        raise MalformedError("not a bundle of version 1")
    return _BUNDLE(fields)


def encode(bundle: Bundle) -> bytes:
    """Return the encoding of a bundle; the inverse of ``decode``. Parts that are empty are left out."""
    fields = {name: value for name, value in shape.plain(bundle).items() if value not in (None, [])}
    return cbor.encode({"v": VERSION, **fields})
