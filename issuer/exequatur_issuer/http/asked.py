"""What is posted: a signed request with all that opens it, as one deterministic CBOR map (specs/12 §1).

    asked = {"v": 1, "request": bstr, "salt": 16 bytes, "descriptor": bstr, ? "facts": {…},
             "runtime": {"id": text, ? "key": bstr, ? "heads": [{origin, size, root}]}, ? "ttl": s, ? "uses": n}

The descriptor is the encoding that the request commits to. A runtime's key is what the authority has for it; one
that is sent along is only compared.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from exequatur_verifier import action, cbor, shape
from exequatur_verifier.action import Descriptor
from exequatur_verifier.bundle import MAX_PROOFS
from exequatur_verifier.errors import MalformedError, UnsupportedError
from exequatur_verifier.records import Head
from exequatur_verifier.shape import Optional
from exequatur_verifier.statement import MAX_STATEMENT

MEDIA_TYPE: Final = "application/vnd.exequatur.asked+cbor"
# A statement, a descriptor of as many arguments as there may be, and room for the rest.
MAX_ASKED: Final = MAX_STATEMENT + action.MAX_ARGUMENTS + (64 << 10)
_VERSION: Final = 1


class Runtime(NamedTuple):
    """The runtime that an artifact is wanted for; ``heads`` are those that it may remember."""

    id: str
    key: bytes | None = None
    heads: tuple[Head, ...] = ()


class Form(NamedTuple):
    """A request with what opens it, as it is posted."""

    request: bytes
    salt: bytes
    descriptor: Descriptor
    runtime: Runtime
    facts: Mapping[str, Any] = {}
    ttl: int | None = None
    uses: int | None = None


class _Parts(NamedTuple):
    v: int
    request: bytes
    salt: bytes
    descriptor: bytes
    runtime: Runtime
    facts: Mapping[str, Any] = {}
    ttl: int | None = None
    uses: int | None = None


_HEAD: Final = shape.record(Head, origin=shape.text, size=shape.uint, root=shape.digest)
_RUNTIME: Final = shape.record(
    Runtime,
    id=shape.text,
    key=Optional(shape.octets),
    heads=Optional(shape.many(_HEAD, most=MAX_PROOFS)),
)
_PARTS: Final = shape.record(
    _Parts,
    v=shape.uint,
    request=shape.octets,
    salt=shape.salt,
    descriptor=shape.octets,
    runtime=_RUNTIME,
    facts=Optional(shape.mapping(shape.anything)),
    ttl=Optional(shape.uint),
    uses=Optional(shape.uint),
)


def decode(data: bytes) -> Form:
    """Return what was posted; raise ``MalformedError``. Whether it fits together is not judged here."""
    if len(data) > MAX_ASKED:
        raise MalformedError(f"what is asked has at most {MAX_ASKED} bytes")
    parts = _PARTS(cbor.decode_map(data))
    if parts.v != _VERSION:
        raise UnsupportedError(f"what is asked is of version {parts.v}; this build knows {_VERSION}")
    return Form(
        parts.request,
        parts.salt,
        action.decode(parts.descriptor),
        parts.runtime,
        parts.facts,
        parts.ttl,
        parts.uses,
    )


def encode(form: Form) -> bytes:
    """Return the one encoding of ``form``; raise ``MalformedError`` for a descriptor that is not one."""
    parts = _Parts(
        _VERSION,
        form.request,
        form.salt,
        action.encode(form.descriptor),
        form.runtime,
        form.facts,
        form.ttl,
        form.uses,
    )
    return cbor.encode(shape.plain(parts))
