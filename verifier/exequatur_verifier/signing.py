"""Signing: what a signer is, and the signer that holds its key in this process.

Verification needs none of this; it is here because issuer, log and gate all sign statements and do not know each other.
The module is pure: a key arrives as bytes, and making a new key, which needs randomness, is left to those who own one.
"""

from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from .errors import MalformedError
from .keys import Algorithm, PublicKey

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER: Final = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
)


class Signer(Protocol):
    """Who signs: a key in this process, a token, a daemon. ``sign`` may block and may raise ``OSError``."""

    @property
    def public_key(self) -> PublicKey:
        """The key that its signatures are checked with."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message`` in COSE form (r || s for ECDSA)."""
        ...


class LocalSigner:
    """A signer over a private key of ``cryptography``; ECDSA is deterministic (RFC 6979) and normalised to low S."""

    def __init__(self, private_key: object, algorithm: Algorithm) -> None:
        """Raise ``ValueError`` if the key is not one for ``algorithm``."""
        public = getattr(private_key, "public_key", None)
        if public is None:
            raise ValueError("not a private key")
        self.public_key = PublicKey.from_cryptography(public(), algorithm)
        self._key = private_key

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message`` in COSE form."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return _sign_ecdsa(self._key, message)
        return self._key.sign(message)  # type: ignore[attr-defined, no-any-return]  # Ed25519 and ML-DSA; the constructor saw to it


def load_signer(pem: bytes, passphrase: bytes | None, algorithm: Algorithm | None = None) -> LocalSigner:
    """Return the signer for a PKCS#8 private key in PEM, which is encrypted unless ``passphrase`` is ``None``.

    Without an ``algorithm`` the usual one of the key's type is taken: ES256, ES384, Ed25519, ML-DSA-44 or ML-DSA-65.
    Raises ``MalformedError`` for a wrong passphrase, a damaged file or a type of key that the profile does not know.
    """
    from cryptography.hazmat.primitives import serialization  # costs as much to import as the rest of the kernel

    try:
        key = serialization.load_pem_private_key(pem, passphrase)
        return LocalSigner(key, algorithm or _usual(key))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedError(f"not a usable private key, or a wrong passphrase: {error}") from None


def _usual(key: object) -> Algorithm:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return Algorithm.ES256 if key.key_size == 256 else Algorithm.ES384
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Algorithm.ED25519
    return Algorithm.ML_DSA_44 if type(key).__name__.startswith("MLDSA44") else Algorithm.ML_DSA_65


def _sign_ecdsa(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    small = key.key_size == 256
    order, width = (_P256_ORDER, 32) if small else (_P384_ORDER, 48)
    digest = hashes.SHA256() if small else hashes.SHA384()
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest, deterministic_signing=True)))
    # Of the two valid signatures (r, s) and (r, n - s) the smaller s is ours, so that our bytes are one.
    return r.to_bytes(width, "big") + min(s, order - s).to_bytes(width, "big")
