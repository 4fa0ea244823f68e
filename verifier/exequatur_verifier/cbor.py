"""Deterministic CBOR, strictly: what this module would not have written, it does not read.

The encoding is the core deterministic one of RFC 8949 §4.2.1 (specs/02 §1): shortest heads, definite lengths, map keys
in bytewise order of their encodings, no duplicate keys. Signed records hold integers within 64 bits, byte strings, text
in NFC, arrays, maps, booleans and null; no tags and no floats. Action descriptors may also hold floats, in their
shortest form.

``cbor2`` does the parsing; this module adds what it leaves open. Its ``canonical=True`` is another order (length
first), its decoder takes trailing bytes and longer heads than needed, and it turns tags into objects. Hence: decode
with every built-in tag refused, then walk the types, the order of keys and the length that the shortest encoding would
have.
"""

import itertools
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence, ValuesView
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeGuard

import cbor2

from .errors import MalformedError

# A decoded item. Containers are invariant in their element type, so the recursion stops at ``Any`` and shapes take
# over.
Value = bool | int | float | bytes | str | list[Any] | dict[Any, Any] | None

MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 10_000
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_SMALL: Final = 8192
_FEW: Final = 256  # characters of all keys together
_KeysLength = Callable[[tuple[Any, ...], tuple[type, ...]], int]
_Container = Sequence[Value] | dict[Any, Value] | ValuesView[Value]
_HEADS: Final = [bytes((octet,)) for octet in range(256)]


def encode(value: object, *, floats: bool = False) -> bytes:
    """Return the one deterministic encoding of ``value``.

    Mappings, sequences and named tuples of the permitted types are taken. Raises ``ValueError`` for anything else: an
    encoder's input is our own, so a wrong type is a bug and not an attack. Floats are refused unless ``floats`` is set.
    """
    return cbor2.dumps(_in_form(value, floats, 0), default=_write_float)


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of a data item: its major type (0–7) and its argument (RFC 8949 §3)."""
    if argument < 24:
        return _HEADS[major << 5 | argument]
    if argument < 256:
        return _HEADS[major << 5 | 24] + _HEADS[argument]
    for extra, width in ((25, 2), (26, 4)):
        if argument < 1 << (8 * width):
            return bytes((major << 5 | extra,)) + argument.to_bytes(width, "big")
    return bytes((major << 5 | 27,)) + argument.to_bytes(8, "big")


def bstr(content: bytes) -> bytes:
    """Return ``content`` as an encoded byte string."""
    return head(2, len(content)) + content


def decode(data: bytes, *, floats: bool = False, max_items: int = MAX_ITEMS) -> Value:
    """Return the value of ``data``, which must be its deterministic encoding and nothing more.

    Raises ``MalformedError``. Lengths are not limited here beyond the nesting depth and the number of items; callers
    cap the input before they decode it.
    """
    try:
        value: Value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_REFUSED_TAGS,
            tag_hook=_refuse_tag,
        )
    except Exception as error:  # noqa: BLE001  # a third-party decoder may raise anything on hostile bytes; all of it means the same
        raise MalformedError(f"not CBOR of this profile: {error}") from None
    keys_length = _known_keys_length if len(data) <= _SMALL else _keys_length
    if _least_length(value, keys_length, floats=floats, max_items=max_items) != len(data):
        raise MalformedError("not deterministically encoded, or followed by other bytes")
    return value


def encode_again(value: Value) -> bytes:
    """Return the encoding of what ``decode`` returned or could return, with every map in order. Nothing is checked."""
    return cbor2.dumps(value)


def in_order(record: Mapping[Any, object]) -> Sequence[Any]:
    """Return the keys of a map in bytewise order of their encodings; raise ``ValueError`` for what is no key."""
    kinds = frozenset(map(type, record))
    if kinds == _TEXT:
        joined = "".join(record)
        if joined.isascii():
            return _known_order(tuple(record)) if len(joined) <= _FEW else _by_length(record)
    if not kinds <= _KEYS:
        raise ValueError("map keys are integers, byte strings or text")
    return sorted(record, key=encode)


def decode_map(data: bytes) -> dict[Any, Any]:
    """Return the map that ``data`` encodes; raise ``MalformedError`` if it is anything else."""
    value = decode(data)
    if not isinstance(value, dict):
        raise MalformedError("not a CBOR map")
    return value


# For a strict type checker, ``isinstance`` alone leaves it unknown what a container holds.
def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Say whether ``value`` is what ``encode`` writes as an array."""
    return isinstance(value, list | tuple)


def is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Say whether ``value`` is what ``encode`` writes as a map."""
    return isinstance(value, Mapping)


def _refuse_tag(*_: object) -> NoReturn:
    raise MalformedError("tags are not permitted")


# The hook is not called for tags that cbor2 understands by itself; naming them here overrides those decoders.
_REFUSED_TAGS: Final[dict[int, Callable[..., NoReturn]]] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 21, 22, 23, 24, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse_tag,
)


def _least_length(root: Value, keys_length: _KeysLength, *, floats: bool, max_items: int) -> int:
    """Return how long the shortest encoding of ``root`` is; refuse types, integers, text and key orders of no profile.

    No item is shorter than its shortest encoding, so an input of just this length has the shortest heads throughout and
    nothing behind it. With the order of keys checked, that is the same as comparing with a re-encoding, at half the
    cost.
    """
    length = 0
    count = 0
    containers: list[_Container] = [(root,)]
    while containers:
        container = containers.pop()
        count += len(container)
        if count > max_items:
            raise MalformedError(f"more than {max_items} items")
        if isinstance(container, dict):
            length += keys_length(tuple(container), tuple(map(type, container)))
            container = container.values()
        for value in container:
            if type(value) is bytes:
                size = len(value)
                length += size
            elif type(value) is str:
                size = len(value) if value.isascii() else _utf8_length(value)
                length += size
            elif type(value) is int:
                size = value if value >= 0 else ~value
                if not _MIN_INT <= value <= _MAX_INT:
                    raise MalformedError("integer outside 64 bits")
            elif type(value) is list or type(value) is dict:
                size = len(value)
                containers.append(value)
            elif value is None or type(value) is bool:
                size = 0
            elif type(value) is float and floats and math.isfinite(value):
                length += len(cbor2.dumps(value, canonical=True)) - 1
                size = 0
            else:
                raise MalformedError(f"a {type(value).__name__} is not permitted here")
            length += 1 if size < 24 else 2 if size < 256 else 3 if size < 65536 else 5 if size < 4294967296 else 9
    return length


def _keys_length(keys: tuple[Any, ...], kinds: tuple[type, ...]) -> int:
    if not {int, bytes, str}.issuperset(kinds):
        raise MalformedError("map keys are integers, byte strings or text")
    try:
        encoded = [encode(key) for key in keys]
    except ValueError as error:
        raise MalformedError(f"a map key: {error}") from None
    if any(low >= high for low, high in itertools.pairwise(encoded)):
        raise MalformedError("map keys are out of order")
    return sum(map(len, encoded))


# The maps of a profile have few distinct key sequences, so the answer is worth remembering; of small inputs only, so
# that hostile ones fill no memory. The types are part of the question because Python holds 1, True and 1.0 for one key.
_known_keys_length: Final = lru_cache(maxsize=512)(_keys_length)


def _utf8_length(text: str) -> int:
    if not unicodedata.is_normalized("NFC", text):
        raise MalformedError("text is not in Unicode normalization form C")
    return len(text.encode())


class _Float:
    """A float on its way to the encoder, which by itself would give it 64 bits."""

    def __init__(self, value: float) -> None:
        self.shortest = cbor2.dumps(value, canonical=True)


def _write_float(encoder: cbor2.CBOREncoder, item: _Float) -> None:
    encoder.write(item.shortest)


def _in_form(given: object, floats: bool, depth: int) -> object:
    """Return what cbor2 writes as the encoding of a value: checked, with the keys of every map in their order."""
    value: Any = given
    kind = type(given)
    if kind is str:
        if not value.isascii() and not unicodedata.is_normalized("NFC", value):
            raise ValueError("text is not in Unicode normalization form C")
    elif kind is int:
        if not _MIN_INT <= value <= _MAX_INT:
            raise ValueError("integer outside 64 bits")
    elif kind is float and floats and math.isfinite(value):
        return _Float(value)
    elif kind not in _PLAIN:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        # An exact type first: to ask whether something is a mapping takes long.
        if kind is dict or is_map(given):
            return {key: _in_form(value[key], floats, depth + 1) for key in in_order(value)}
        if not is_array(given):
            raise ValueError(f"a {kind.__name__} cannot be encoded")
        return [_in_form(item, floats, depth + 1) for item in value]
    return value


def _by_length(keys: Iterable[str]) -> tuple[str, ...]:
    """Return ASCII text in the order of its encodings, of which that of the shorter text is less."""
    return tuple(sorted(sorted(keys), key=len))


# As with the lengths of keys, of few and short ones only.
_known_order: Final = lru_cache(maxsize=512)(_by_length)


_PLAIN: Final = frozenset((bytes, bool, type(None)))
_TEXT: Final[frozenset[type]] = frozenset((str,))
_KEYS: Final[frozenset[type]] = frozenset((int, bytes, str))
