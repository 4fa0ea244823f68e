"""Shapes of decoded CBOR: small parsers that turn a value into a typed, immutable one or raise ``MalformedError``.

A record is described by naming the shape of each field; ``record`` builds the parser of a named tuple from that.
Unknown keys are refused everywhere: what a verifier does not know it cannot have checked. ``plain`` is the way back,
and ``parse(plain(x)) == x`` for every shape (tests/properties).
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar, final

from .cbor import Value
from .errors import MalformedError

T = TypeVar("T")
Shape = Callable[[Any], T]


@final
class Optional(NamedTuple, Generic[T]):
    """A field that may be missing, and then has the default of its named tuple; ``plain`` leaves it out then."""

    shape: Shape[T]


Field = Shape[Any] | Optional[Any]


def record(cls: Callable[..., T], **fields: Field) -> Shape[T]:
    """Return the parser of a map with text keys into ``cls``; ``fields`` are shapes or ``Optional`` shapes."""
    required = frozenset(name for name, shape in fields.items() if not isinstance(shape, Optional))
    shapes = {name: shape.shape if isinstance(shape, Optional) else shape for name, shape in fields.items()}
    # A field that may be missing and has no default of its own, such as ``prev``, is then ``None``.
    absent = dict.fromkeys(shapes.keys() - required - getattr(cls, "_field_defaults", {}).keys())

    def parse(value: Value) -> T:
        if type(value) is not dict or not required <= value.keys():
            raise MalformedError(_wrong_fields(value, required, shapes.keys()))
        try:
            return cls(**absent | {name: shapes[name](item) for name, item in value.items()})
        except KeyError:
            raise MalformedError(_wrong_fields(value, required, shapes.keys())) from None
        except MalformedError as error:
            raise MalformedError(f"{_first_wrong(value, shapes)}: {error}") from None

    return parse


def text(value: Any) -> str:
    """Text of 1 to 512 characters without control characters."""
    if type(value) is not str or not 0 < len(value) <= 512 or not value.isprintable():
        raise MalformedError("not a line of text")
    return value


def note(value: Any) -> str:
    """Text of at most 4,096 characters, for people."""
    if type(value) is not str or len(value) > 4096:
        raise MalformedError("not text of at most 4,096 characters")
    return value


def urn(value: Any) -> str:
    """A URN: ``urn:``, a namespace, and what it names there (RFC 8141), without spaces."""
    name = text(value)
    scheme, _, rest = name.partition(":")
    namespace, _, specific = rest.partition(":")
    if scheme != "urn" or not namespace or not specific or " " in name:
        raise MalformedError("not a URN")
    return name


def uint(value: Any) -> int:
    """An unsigned integer below 2^63, which every language and database holds."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise MalformedError("not an unsigned integer")
    return value


def integer(value: Any) -> int:
    """A signed integer of 64 bits."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise MalformedError("not an integer")
    return value


def boolean(value: Any) -> bool:
    """A boolean."""
    if type(value) is not bool:
        raise MalformedError("not a boolean")
    return value


def octets(value: Any) -> bytes:
    """A byte string."""
    if type(value) is not bytes:
        raise MalformedError("not a byte string")
    return value


def digest(value: Any) -> bytes:
    """A SHA-256 digest: 32 bytes."""
    if type(value) is not bytes or len(value) != 32:
        raise MalformedError("not a digest of 32 bytes")
    return value


def salt(value: Any) -> bytes:
    """A salt or a unique id: 16 bytes."""
    if type(value) is not bytes or len(value) != 16:
        raise MalformedError("not 16 bytes")
    return value


def one_of(choices: type[Enum]) -> Shape[Any]:
    """Return the parser of an enumeration's values."""
    known = {member.value: member for member in choices}

    def parse(value: Any) -> Enum:
        if type(value) is not str or value not in known:
            raise MalformedError(f"not one of {', '.join(sorted(known))}")
        return known[value]

    return parse


def word(*words: str) -> Shape[str]:
    """Return the parser of one of a few fixed words."""

    def parse(value: Any) -> str:
        if type(value) is not str or value not in words:
            raise MalformedError(f"not one of {', '.join(words)}")
        return value

    return parse


def many(shape: Shape[T], *, least: int = 0, most: int = 1024) -> Shape[tuple[T, ...]]:
    """Return the parser of an array of ``shape``."""

    def parse(value: Value) -> tuple[T, ...]:
        if type(value) is not list or not least <= len(value) <= most:
            raise MalformedError(f"not an array of {least} to {most} items")
        return tuple(shape(item) for item in value)

    return parse


def pair(first: Shape[Any], second: Shape[Any], cls: Callable[[Any, Any], T]) -> Shape[T]:
    """Return the parser of an array of two items into ``cls``."""

    def parse(value: Value) -> T:
        if type(value) is not list or len(value) != 2:
            raise MalformedError("not an array of two")
        return cls(first(value[0]), second(value[1]))

    return parse


def mapping(shape: Shape[T], *, most: int = 1024) -> Shape[Mapping[str, T]]:
    """Return the parser of a map from text to ``shape``."""

    def parse(value: Value) -> Mapping[str, T]:
        if type(value) is not dict or len(value) > most:
            raise MalformedError("not a map")
        return {text(key): shape(item) for key, item in value.items()}

    return parse


def anything(value: Any) -> Any:
    """Any value of the profile, kept as it is."""
    return value


def plain(value: Value | Enum | tuple[Any, ...] | Mapping[Any, Any]) -> Any:
    """Return ``value`` in CBOR's types: named tuples as maps without fields at their default, enums by value."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is None or getattr(value, "as_array", False):
            return [plain(item) for item in value]
        defaults = getattr(value, "_field_defaults", {})
        return {name: plain(item) for name, item in zip(names, value, strict=True) if item != defaults.get(name)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def _wrong_fields(value: Value, required: AbstractSet[str], known: AbstractSet[str]) -> str:
    if type(value) is not dict:
        return "not a map"
    missing, unknown = required - value.keys(), value.keys() - known
    return f"fields missing: {sorted(missing)}" if missing else f"unknown fields: {sorted(map(repr, unknown))}"


def _first_wrong(value: dict[Any, Any], shapes: Mapping[str, Shape[Any]]) -> str:
    """Return the name of the field that is out of shape; the fast path does not keep track of it."""
    return next(str(name) for name, item in value.items() if not _fits(shapes[name], item))


def _fits(shape: Shape[Any], item: Any) -> bool:
    try:
        shape(item)
    except MalformedError:
        return False
    return True
