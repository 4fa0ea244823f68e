"""Public keys: COSE_Key (RFC 9052 §7), thumbprints (RFC 9679) and signature checks, one algorithm for each key.

A key is created with its algorithm and never checks another (specs/02 §3), so no header can choose how it is verified.
ES256 and ESP256 are the same computation on P-256 under the polymorphic and the fully specified identifier (RFC 9864);
EdDSA and Ed25519 likewise.
"""

from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from . import cbor
from .errors import MalformedError, NotProvenError, UnsupportedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import mldsa


class Algorithm(IntEnum):
    """The signature algorithms of the profile, by COSE identifier (RFC 9053, RFC 9864, RFC 9964)."""

    ES256 = -7
    EDDSA = -8
    ESP256 = -9
    ED25519 = -19
    ES384 = -35
    ML_DSA_44 = -48
    ML_DSA_65 = -49


class _Verifying(Protocol):
    def __call__(self, signature: bytes, message: bytes, /) -> None: ...


_CURVES: Final = {
    Algorithm.ES256: (1, 32, ec.SECP256R1, hashes.SHA256),
    Algorithm.ESP256: (1, 32, ec.SECP256R1, hashes.SHA256),
    Algorithm.ES384: (2, 48, ec.SECP384R1, hashes.SHA384),
}
_EDWARDS: Final = (Algorithm.EDDSA, Algorithm.ED25519)
_ML_DSA: Final = (Algorithm.ML_DSA_44, Algorithm.ML_DSA_65)

# Edwards points of small order, by their y coordinate: a signature under such a key can hold for many messages.
_ED25519_PRIME: Final = 2**255 - 19
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = {0, 1, _ED25519_PRIME - 1, _ORDER_8_Y, _ED25519_PRIME - _ORDER_8_Y}


class PublicKey:
    """A public key, its algorithm, its encoding as a deterministic COSE_Key and its SHA-256 thumbprint (32 bytes)."""

    __slots__ = ("_verifying", "algorithm", "encoded", "material", "thumbprint")

    def __init__(self, parameters: dict[int, Any]) -> None:
        """Take the parameters of a COSE_Key: kty, alg and the key itself, exactly; raise ``MalformedError``."""
        try:
            self.algorithm: Final = Algorithm(parameters[3])
        except (KeyError, ValueError, TypeError):
            raise UnsupportedError("a key of no known algorithm (COSE_Key label 3)") from None
        self._verifying: Final = _load(self.algorithm, parameters)
        # The raw public key of an OKP or AKP key, which signed notes spell out; an EC2 key has a point instead.
        self.material: Final[bytes] = parameters[-1] if self.algorithm in _ML_DSA else parameters[-2]
        self.encoded: Final = cbor.encode(parameters)
        # RFC 9679 §4: only what identifies the key; the algorithm is part of that for AKP keys alone.
        named = {label: parameters[label] for label in (1, 3, -1, -2, -3) if label in parameters}
        if self.algorithm not in _ML_DSA:
            del named[3]
        self.thumbprint: Final = sha256(cbor.encode(named)).digest()

    @classmethod
    def from_cose(cls, encoded: bytes) -> "PublicKey":
        """Return the key that a deterministic COSE_Key encodes; raise ``MalformedError``."""
        return cls(cbor.decode_map(encoded))

    @classmethod
    def from_cryptography(cls, key: object, algorithm: Algorithm) -> "PublicKey":
        """Return the key for a public key of ``cryptography``; raise ``ValueError`` if the algorithm does not fit."""
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm in _CURVES:
            curve, width, group, _ = _CURVES[algorithm]
            if isinstance(key.curve, group):
                numbers = key.public_numbers()
                point = {-2: numbers.x.to_bytes(width, "big"), -3: numbers.y.to_bytes(width, "big")}
                return cls({1: 2, 3: int(algorithm), -1: curve, **point})
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm in _EDWARDS:
            return cls({1: 1, 3: int(algorithm), -1: 6, -2: key.public_bytes_raw()})
        elif algorithm in _ML_DSA and isinstance(key, _ml_dsa_key(algorithm)):
            return cls({1: 7, 3: int(algorithm), -1: key.public_bytes_raw()})
        raise ValueError(f"not a key for {algorithm.name}")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check ``signature`` over ``message``; raise ``NotProvenError`` when it does not hold.

        ECDSA signatures are r || s of fixed width (RFC 9053 §2.1). High-S signatures of others are valid; what goes by
        the signature's bytes must therefore go by the record id instead.
        """
        try:
            self._verifying(signature, message)
        except (InvalidSignature, ValueError):
            raise NotProvenError(f"the {self.algorithm.name} signature does not hold") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)

    def __repr__(self) -> str:
        return f"PublicKey({self.algorithm.name}, {self.thumbprint.hex()[:16]}…)"


def _load(algorithm: Algorithm, parameters: dict[int, Any]) -> _Verifying:
    try:
        if algorithm in _CURVES:
            return _load_ecdsa(algorithm, parameters)
        if algorithm in _EDWARDS:
            return _load_ed25519(parameters)
        return _load_ml_dsa(algorithm, parameters)
    except (ValueError, TypeError, KeyError):
        raise MalformedError(f"not the COSE_Key of an {algorithm.name} key") from None


def _load_ecdsa(algorithm: Algorithm, parameters: dict[int, Any]) -> _Verifying:
    curve, width, group, digest = _CURVES[algorithm]
    x, y = parameters[-2], parameters[-3]
    # An array of small integers would convert as well, and true is equal to 1.
    if len(parameters) != 5 or (parameters[1], parameters[-1]) != (2, curve) or type(parameters[-1]) is not int:
        raise ValueError
    if not type(x) is type(y) is bytes or (len(x), len(y)) != (width, width):
        raise ValueError
    # This checks that the point is on the curve.
    key = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), group()).public_key()
    # Making this loads all of the library's backend, so it is not done before there is a key.
    scheme = ec.ECDSA(digest())

    def verifying(signature: bytes, message: bytes, /) -> None:
        if len(signature) != 2 * width:
            raise ValueError
        r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
        key.verify(utils.encode_dss_signature(r, s), message, scheme)

    return verifying


def _load_ed25519(parameters: dict[int, Any]) -> _Verifying:
    if len(parameters) != 4 or (parameters[1], parameters[-1]) != (1, 6) or type(parameters[1]) is not int:
        raise ValueError
    raw: bytes = parameters[-2]
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _ED25519_PRIME or y in _SMALL_ORDER_Y:
        raise ValueError
    return cast("_Verifying", ed25519.Ed25519PublicKey.from_public_bytes(raw).verify)


def _load_ml_dsa(algorithm: Algorithm, parameters: dict[int, Any]) -> _Verifying:
    if len(parameters) != 3 or parameters[1] != 7:
        raise ValueError
    try:
        return cast("_Verifying", _ml_dsa_key(algorithm).from_public_bytes(parameters[-1]).verify)
    except UnsupportedAlgorithm:
        raise UnsupportedError("the library below cryptography has no ML-DSA") from None


def _ml_dsa_key(algorithm: Algorithm) -> "type[mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey]":
    from cryptography.hazmat.primitives.asymmetric import mldsa  # only who meets such a key pays for it

    return mldsa.MLDSA44PublicKey if algorithm is Algorithm.ML_DSA_44 else mldsa.MLDSA65PublicKey
