"""How a failing vector is made: one thing of a valid one is changed, and everything around it stays as it was.

What lies under a signature is changed before signing, so that only the step in question has a reason to deny.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from exequatur_verifier import Code, bundle, cbor, cose, statement
from exequatur_verifier.bundle import Bundle
from exequatur_verifier.signing import Signer
from tests.support import world
from tests.support.world import Log, Parts
from tests.vectors.form import Vector
from tests.vectors.valid import Maker, es256, vector

FAILING: Final[dict[str, tuple[Code, Maker]]] = {}


def denied(code: Code) -> Callable[[Maker], Maker]:
    """Register a vector under its function's name, with the code that it must be denied with."""

    def register(make: Maker) -> Maker:
        FAILING["fail-" + make.__name__.replace("_", "-")] = (code, make)
        return make

    return register


def opened(made: Vector) -> Bundle:
    """Return the decoded bundle of a vector."""
    assert made.bundle is not None
    return bundle.decode(made.bundle)


def edited(made: Vector, **parts: Any) -> Vector:
    """Return a vector with parts of its bundle replaced."""
    return made._replace(bundle=bundle.encode(opened(made)._replace(**parts)))


def raw(change: Callable[[bytes], bytes]) -> Vector:
    """Return the usual vector with the bytes of its bundle changed."""
    made = es256()
    assert made.bundle is not None
    return made._replace(bundle=change(made.bundle))


def receipts(made: Vector) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the registered statement of a vector's artifact, and its receipts."""
    parsed, found = statement.parse_transparent(opened(made).artifact)
    return parsed.entry, found


def with_receipts(made: Vector, *found: bytes) -> Vector:
    """Return a vector whose artifact carries these receipts and no others."""
    entry, _ = receipts(made)
    return edited(made, artifact=statement.attach(entry, found))


def signed(
    made: Parts | None = None,
    *,
    headers: Mapping[int, Any] = {},
    payload: Mapping[str, Any] = {},
    claims: Mapping[int, Any] = {},
    signer: Signer | None = None,
) -> bytes:
    """Return the world's artifact, signed with other headers, claims or payload fields, whatever they are.

    A value of ``...`` leaves the entry out.
    """
    made = made or world.parts()
    signer = signer or world.signer("authority")
    message = cose.decode(statement.sign(made.record, made.claims, signer))
    assert message.payload is not None
    changed = _merged(message.headers, headers) | {15: _merged(message.headers[15], claims)}
    changed.pop(cose.ALGORITHM)
    if cose.ALGORITHM in headers:
        # The signer writes its own algorithm, so a false one is put together by hand.
        protected = cbor.encode(changed | {cose.ALGORITHM: headers[cose.ALGORITHM]})
        signature = signer.sign(cose.signed_bytes(protected, message.payload))
        return cose.assemble(protected, message.payload, signature)
    return cose.sign1(changed, cbor.encode(_merged(cbor.decode_map(message.payload), payload)), signer)


def logged(artifact: bytes, made: Parts | None = None, log: Log | None = None, **trust: Any) -> Vector:
    """Return the vector of that artifact in a log, though it may not parse."""
    log = log or world.new_log()
    return vector(world.issue(made or world.parts(), log, artifact=artifact), world.trust_toml(log, **trust))


def _merged(whole: Mapping[Any, Any], changed: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in {**whole, **changed}.items() if value is not ...}
