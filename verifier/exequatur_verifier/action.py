"""Action descriptors and commitments: what exactly is to run, and the digest by which a record names it.

A descriptor is a map with ``type`` and *all* arguments of the action (specs/01 §3). For ``process.exec`` paths, argv
and environment are byte strings, never normalised. For the others ``args`` is what an agent sent, read strictly from
JSON text.

    commitment = SHA-256( tag || salt || deterministic encoding )

with a tag for each thing that is committed to and one salt of 16 bytes for each execution. The salt travels in the
bundle and not in the log, so who drops it erases the content and keeps every proof valid.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from . import cbor, shape
from .errors import MalformedError

Descriptor = Mapping[str, Any]

ACTION_TAG: Final = b"exequatur-action-v1"
TERMS_TAG: Final = b"exequatur-terms-v1"
FACTS_TAG: Final = b"exequatur-facts-v1"
OUTPUT_TAG: Final = b"exequatur-output-v1"
QUERY_TAG: Final = b"exequatur-query-v1"
SALT_SIZE: Final = 16
MAX_ARGUMENTS: Final = 1 << 20

_EXEC_FIELDS: Final = {"type", "name", "args", "cwd", "env", "uid"}
_CALL_FIELDS: Final = {"type", "name", "resource", "args"}


def preimage(tag: bytes, salt: bytes, encoded: bytes) -> bytes:
    """Return what a commitment is the SHA-256 of; it doubles as the content that a store keeps under that digest."""
    return tag + salt + encoded


def commitment(tag: bytes, salt: bytes, encoded: bytes) -> bytes:
    """Return the salted digest of ``encoded`` (32 bytes)."""
    return sha256(preimage(tag, salt, encoded)).digest()


def encode(descriptor: Descriptor) -> bytes:
    """Return the deterministic encoding of a descriptor; raise ``MalformedError`` when it is not one."""
    check(descriptor)
    try:
        return cbor.encode(descriptor, floats=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise MalformedError(f"not an action: {error}") from None


def decode(encoded: bytes) -> Descriptor:
    """Return the descriptor that ``encoded`` holds; raise ``MalformedError``."""
    value = cbor.decode(encoded, floats=True)
    if not isinstance(value, dict):
        raise MalformedError("an action is a map")
    check(value)
    return value


def check(descriptor: Descriptor) -> None:
    """Check the fields of a descriptor by its type; raise ``MalformedError``.

    The arguments' values are not judged here.
    """
    if shape.text(descriptor.get("type")) != "process.exec":
        if set(descriptor) != _CALL_FIELDS:
            raise MalformedError(f"an action of this type has the fields {sorted(_CALL_FIELDS)}")
        shape.text(descriptor["name"])
        shape.text(descriptor["resource"])
        if not cbor.is_map(descriptor["args"]):
            raise MalformedError("the arguments of a call are a map")
        return
    if set(descriptor) != _EXEC_FIELDS:
        raise MalformedError(f"a process.exec action has the fields {sorted(_EXEC_FIELDS)}")
    shape.uint(descriptor["uid"])
    arguments, environment = descriptor["args"], descriptor["env"]
    if not cbor.is_array(arguments) or not arguments or not cbor.is_map(environment):
        raise MalformedError("a process.exec action has a non-empty argv and a map of environment variables")
    strings = (descriptor["name"], descriptor["cwd"], *arguments, *environment.keys(), *environment.values())
    if any(type(item) is not bytes or b"\x00" in item for item in strings):
        raise MalformedError("paths, arguments and environment are byte strings without a zero byte")


def parse_json_arguments(text: str | bytes) -> dict[str, Any]:
    """Return the arguments that a JSON object spells; raise ``MalformedError`` where readers could differ.

    Refused (specs/01 §3): duplicate keys, lone surrogates, text outside NFC, nesting deeper than 16, and numbers that
    64 bits do not hold exactly. Integer literals within 64 bits are integers; other numbers are floats when they print
    as the same number.
    """
    import json  # only for actions that come as JSON

    if len(text) > MAX_ARGUMENTS:
        raise MalformedError("arguments are at most 1 MiB of JSON")
    try:
        # Of bytes, the json module would also guess UTF-16 and UTF-32, and let surrogates pass.
        value: cbor.Value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedError("arguments are a JSON object")
    try:
        cbor.encode(value, floats=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise MalformedError(f"not arguments of this profile: {error}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedError("a key stands twice in one JSON object")
    return result


def _integer(literal: str) -> int | float:
    # Python bounds the digits it converts, and more than 20 digits are outside 64 bits anyway.
    if len(literal) <= 20 and -(2**63) <= int(literal) < 2**64:
        return int(literal)
    return _float(literal)


def _float(literal: str) -> float:
    from decimal import Decimal

    number = float(literal)
    try:
        exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(literal)
    except ArithmeticError:  # an exponent beyond what decimals hold, which only a spelling of zero gets here with
        exact = False
    if not exact:
        raise MalformedError(f"the number {literal[:40]} does not fit 64 bits exactly")
    return number


def _constant(literal: str) -> float:
    raise MalformedError(f"{literal} is not JSON")
