"""Signing: keys from PKCS#8, signatures that are the same every time."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from exequatur_verifier import Algorithm, MalformedError
from exequatur_verifier.signing import LocalSigner, load_signer
from tests.support import world

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEYS: dict[Algorithm, Any] = {
    Algorithm.ES256: ec.derive_private_key(2, ec.SECP256R1()),
    Algorithm.ES384: ec.derive_private_key(2, ec.SECP384R1()),
    Algorithm.ED25519: ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
    Algorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32)),
    Algorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes(32)),
}


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return encoded


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_usual_algorithm_of_a_key(algorithm: Algorithm) -> None:
    signer = load_signer(pem(KEYS[algorithm]), None)
    assert signer.public_key.algorithm is algorithm
    signer.public_key.verify(signer.sign(b"message"), b"message")


def test_another_name_for_the_algorithm() -> None:
    for usual, other in ((Algorithm.ES256, Algorithm.ESP256), (Algorithm.ED25519, Algorithm.EDDSA)):
        signer = load_signer(pem(KEYS[usual]), None, other)
        assert signer.public_key.algorithm is other
        signer.public_key.verify(signer.sign(b"message"), b"message")


def test_an_encrypted_key_needs_its_passphrase() -> None:
    encrypted = pem(KEYS[Algorithm.ES256], BestAvailableEncryption(b"open"))
    assert load_signer(encrypted, b"open").public_key == load_signer(pem(KEYS[Algorithm.ES256]), None).public_key
    for passphrase in (b"closed", None):
        with pytest.raises(MalformedError):
            load_signer(encrypted, passphrase)
    with pytest.raises(MalformedError):
        load_signer(pem(KEYS[Algorithm.ES256]), b"open")


@pytest.mark.parametrize("algorithm", [Algorithm.ES384, Algorithm.ED25519, Algorithm.ML_DSA_65])
def test_a_key_of_another_algorithm(algorithm: Algorithm) -> None:
    with pytest.raises(MalformedError):
        load_signer(pem(KEYS[Algorithm.ES256]), None, algorithm)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        dsa.generate_private_key(2048),
        ec.derive_private_key(2, ec.SECP521R1()),
        ec.derive_private_key(2, ec.SECP256K1()),
        x25519.X25519PrivateKey.from_private_bytes(bytes(32)),
        ed448.Ed448PrivateKey.from_private_bytes(bytes(57)),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_of_no_known_type(key: object) -> None:
    with pytest.raises(MalformedError):
        load_signer(pem(key), None)


def test_a_damaged_file() -> None:
    for damaged in (b"", b"key", pem(KEYS[Algorithm.ES256])[:-40]):
        with pytest.raises(MalformedError):
            load_signer(damaged, None)


def test_what_is_no_private_key() -> None:
    for key in ("key", KEYS[Algorithm.ES256].public_key()):
        with pytest.raises(ValueError):
            LocalSigner(key, Algorithm.ES256)


def test_ecdsa_signatures_are_deterministic_with_the_smaller_s() -> None:
    # C-14
    signer = world.signer("some")
    for number in range(40):
        message = b"message %d" % number
        signature = signer.sign(message)
        assert signature == signer.sign(message)
        s = int.from_bytes(signature[32:], "big")
        assert s <= P256_ORDER // 2
        # The other one is as valid: what goes by signature bytes must go by the record id instead.
        signer.public_key.verify(signature[:32] + (P256_ORDER - s).to_bytes(32, "big"), message)
