"""The raw operations: signature checks by `cryptography` alone, each prepared so far that only the check is left."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from unittest.mock import patch

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from exequatur_verifier import cbor, cose
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.statement import Statement

Check = Callable[[], None]

_ES256: Final = ec.ECDSA(hashes.SHA256())


def check(key: PublicKey, signature: bytes, message: bytes) -> Check:
    """Return the check of one signature, ES256 or Ed25519; called, it raises ``InvalidSignature`` or nothing."""
    parameters = cbor.decode_map(key.encoded)
    if key.algorithm is Algorithm.ES256:
        x, y = (int.from_bytes(parameters[label], "big") for label in (-2, -3))
        loaded = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        halves = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        return partial(loaded.verify, utils.encode_dss_signature(*halves), message, _ES256)
    if key.algorithm is Algorithm.ED25519:
        return partial(ed25519.Ed25519PublicKey.from_public_bytes(parameters[-2]).verify, signature, message)
    raise ValueError(f"no raw check for {key.algorithm.name}")


def check_of(statement: Statement, key: PublicKey) -> Check:
    """Return the check of a statement's signature."""
    message = statement.message
    return check(key, message.signature, cose.signed_bytes(message.protected, message.payload or b""))


def checks_in(work: Callable[[], object]) -> list[Check]:
    """Return the signature checks that ``work`` makes, one for each, as raw ones."""
    made: list[tuple[PublicKey, bytes, bytes]] = []
    verify = PublicKey.verify

    def noting(key: PublicKey, signature: bytes, message: bytes) -> None:
        made.append((key, signature, message))
        verify(key, signature, message)

    with patch.object(PublicKey, "verify", noting):
        work()
    return [check(*one) for one in made]


def run_all(pool: ThreadPoolExecutor, threads: int, checks: Sequence[Check]) -> None:
    """Make all checks, spread over so many threads of the pool."""
    size = -(-len(checks) // threads)
    list(pool.map(_run, [checks[start : start + size] for start in range(0, len(checks), size)]))


def _run(checks: Sequence[Check]) -> None:
    for one in checks:
        one()
