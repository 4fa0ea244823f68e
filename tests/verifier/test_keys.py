"""Keys: one encoding, one algorithm, and nothing that only looks like a key."""

from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, x25519

from exequatur_verifier import Algorithm, MalformedError, NotProvenError, PublicKey, UnsupportedError, cbor
from tests.support import world

EVERY = pytest.mark.parametrize("algorithm", Algorithm)
POINT = cbor.decode_map(world.signer("some").public_key.encoded)
EDWARDS = cbor.decode_map(world.signer("some", Algorithm.ED25519).public_key.encoded)
LATTICE = cbor.decode_map(world.signer("some", Algorithm.ML_DSA_44).public_key.encoded)


@EVERY
def test_a_signature_holds_over_its_message_alone(algorithm: Algorithm) -> None:
    signer = world.signer("some", algorithm)
    signature = signer.sign(b"message")
    signer.public_key.verify(signature, b"message")
    for other, message in ((signature, b"messages"), (signature[:-1], b"message"), (b"", b"message")):
        with pytest.raises(NotProvenError):
            signer.public_key.verify(other, message)
    with pytest.raises(NotProvenError):
        world.signer("another", algorithm).public_key.verify(signature, b"message")


@EVERY
def test_a_key_is_its_encoding(algorithm: Algorithm) -> None:
    # C-12
    key = world.signer("some", algorithm).public_key
    again = PublicKey.from_cose(key.encoded)
    assert (again, hash(again), again.thumbprint) == (key, hash(key), key.thumbprint)
    assert key != world.signer("another", algorithm).public_key
    assert key != key.encoded
    assert algorithm.name in repr(key)


def test_two_names_of_one_computation_are_two_keys_of_one_thumbprint() -> None:
    first, second = (world.signer("some", algorithm).public_key for algorithm in (Algorithm.ES256, Algorithm.ESP256))
    assert first != second
    assert first.thumbprint == second.thumbprint


@pytest.mark.parametrize(
    "parameters",
    [
        {**POINT, 1: 1},
        {**POINT, -1: 2},
        {**POINT, -1: True},
        {**POINT, -2: POINT[-2][1:]},
        {**POINT, -2: list(POINT[-2])},
        {**POINT, -3: list(POINT[-3])},
        {**POINT, -3: True},
        {**POINT, -3: bytes((POINT[-3][0] ^ 1,)) + POINT[-3][1:]},
        {**POINT, 2: b"kid"},
        {key: value for key, value in POINT.items() if key != -3},
        {**EDWARDS, 1: True},
        {**EDWARDS, -1: 4},
        {**EDWARDS, -2: EDWARDS[-2][1:]},
        {**EDWARDS, -2: "x" * 32},
        {**EDWARDS, 4: [2]},
        {**LATTICE, 1: 1},
        {**LATTICE, 3: -49},
        {**LATTICE, -1: LATTICE[-1][1:]},
        {**LATTICE, -2: b""},
    ],
)
def test_not_quite_a_key(parameters: dict[int, Any]) -> None:
    # C-12
    with pytest.raises(MalformedError):
        PublicKey(parameters)


@pytest.mark.parametrize("algorithm", [None, -36, True, "ES256", []])
def test_a_key_of_no_known_algorithm(algorithm: Any) -> None:
    with pytest.raises(UnsupportedError):
        PublicKey({**POINT, 3: algorithm})
    with pytest.raises(UnsupportedError):
        PublicKey({label: value for label, value in POINT.items() if label != 3})


def test_points_of_small_order_are_refused() -> None:
    # C-12
    # Under such a key one signature holds for many messages. The sign bit makes no difference to the order.
    prime = 2**255 - 19
    order_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    for y in (0, 1, prime - 1, order_8, prime - order_8, prime, prime + 1):
        for sign in (0, 1 << 255):
            with pytest.raises(MalformedError):
                PublicKey({**EDWARDS, -2: (y | sign).to_bytes(32, "little")})


def test_a_key_object_must_fit_its_algorithm() -> None:
    p256 = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    p384 = ec.derive_private_key(1, ec.SECP384R1()).public_key()
    p521 = ec.derive_private_key(1, ec.SECP521R1()).public_key()
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    montgomery = x25519.X25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    lattice = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key()
    fitting = {
        Algorithm.ES256: p256,
        Algorithm.ESP256: p256,
        Algorithm.ES384: p384,
        Algorithm.EDDSA: edwards,
        Algorithm.ED25519: edwards,
        Algorithm.ML_DSA_44: lattice,
    }
    for algorithm in Algorithm:
        for key in (p256, p384, p521, edwards, montgomery, lattice, "key"):
            if fitting.get(algorithm) is key:
                assert PublicKey.from_cryptography(key, algorithm).algorithm is algorithm
            else:
                with pytest.raises(ValueError):
                    PublicKey.from_cryptography(key, algorithm)


def test_a_library_without_ml_dsa_is_a_reason_to_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        @staticmethod
        def from_public_bytes(_: bytes) -> None:
            raise UnsupportedAlgorithm("not in this library")

    monkeypatch.setattr(mldsa, "MLDSA44PublicKey", Absent)
    with pytest.raises(UnsupportedError):
        PublicKey(LATTICE)
