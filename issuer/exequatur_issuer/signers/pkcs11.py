"""Keys in a token, by PKCS#11: an HSM, a smart card, SoftHSM (specs/09 §9). Needs `exequatur[hsm]`.

The private key never leaves the token. ECDSA hashes here, signs there (CKM_ECDSA), and is then brought to the form that
the profile has: r and s of full width (RFC 9053 §2.1), and the smaller s. Ed25519 signs the message itself (CKM_EDDSA).

A session can be lost: the token was taken out, its service started anew, another of this process logged out. Then it is
opened once more. A PIN is never tried again once a token has refused it, because that is how tokens lock themselves.
"""

import threading
from hashlib import sha256, sha384
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.keys import Algorithm, PublicKey

from .errors import SignerRefusedError, SignerUnavailableError
from .reference import TokenKey

try:
    import pkcs11
    from pkcs11.exceptions import (
        PinExpired,
        PinIncorrect,
        PinInvalid,
        PinLenRange,
        PinLocked,
        PKCS11Error,
        UserAlreadyLoggedIn,
    )
except ModuleNotFoundError as error:
    raise SignerRefusedError("keys in a token need python-pkcs11; install exequatur[hsm]") from error

_PIN: Final = (PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked)


class _Curve(NamedTuple):
    algorithm: Algorithm
    width: int
    curve: ec.EllipticCurve
    order: int
    digest: Any


# By CKA_EC_PARAMS: the DER of a named curve's object identifier.
_CURVES: Final = {
    bytes.fromhex("06082a8648ce3d030107"): _Curve(
        Algorithm.ES256,
        32,
        ec.SECP256R1(),
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        sha256,
    ),
    bytes.fromhex("06052b81040022"): _Curve(
        Algorithm.ES384,
        48,
        ec.SECP384R1(),
        int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
        sha384,
    ),
}
# The printable string "edwards25519" of PKCS#11 3.0, or the identifier of RFC 8410.
_EDWARDS: Final = (b"\x13\x0cedwards25519", bytes.fromhex("06032b6570"))


class _Opened(NamedTuple):
    session: Any
    key: Any
    public: PublicKey
    curve: _Curve | None


class TokenSigner:
    """The signer of one key in a token. Several threads may use it, one at a time; close it when it is done with."""

    def __init__(self, key: TokenKey, pin: bytes) -> None:
        """Open a session and find the key; raise ``SignerRefusedError`` or ``SignerUnavailableError``."""
        self._wanted: Final = key
        self._pin: Final = pin
        self._one_at_a_time: Final = threading.Lock()
        self._refused: str | None = None
        self._opened: _Opened | None = None
        self._opened = self._open()
        self.public_key: Final = self._opened.public

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message`` in COSE form, which has been checked."""
        with self._one_at_a_time:
            try:
                signature = self._sign(message)
            except PKCS11Error:
                self._drop()
                try:
                    signature = self._sign(message)
                except PKCS11Error as error:
                    self._drop()
                    raise SignerUnavailableError(
                        f"{self._described()} does not sign ({_name(error)}), also in a new session; see that the"
                        " token is there and that its module works, and call again"
                    ) from None
        try:
            self.public_key.verify(signature, message)
        except NotProvenError:
            raise SignerRefusedError(
                f"{self._described()}: the signature does not hold under the public key beside it; the two objects are"
                " no pair, so put the right public key into the token"
            ) from None
        return signature

    def close(self) -> None:
        """Close the session, if there is one."""
        with self._one_at_a_time:
            self._drop()

    def _sign(self, message: bytes) -> bytes:
        if self._opened is None:
            opened = self._open()
            if opened.public != self.public_key:
                opened.session.close()
                raise SignerRefusedError(f"{self._described()} is another key by now; start again to use it")
            self._opened = opened
        _, key, _, curve = self._opened
        if curve is None:
            return bytes(key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
        return _in_form(bytes(key.sign(curve.digest(message).digest(), mechanism=pkcs11.Mechanism.ECDSA)), curve)

    def _open(self) -> _Opened:
        if self._refused is not None:
            raise SignerRefusedError(self._refused)
        session = self._log_in(self._find_token())
        try:
            key = self._find(session, pkcs11.ObjectClass.PRIVATE_KEY, self._wanted.label, self._wanted.id)
            return _Opened(session, key, *self._read_public(session, key))
        except BaseException:
            session.close()
            raise

    def _find_token(self) -> Any:
        wanted = dict(self._wanted.token)
        try:
            found = [token for token in pkcs11.lib(self._wanted.module).get_tokens() if _is(token, wanted)]
        except (PKCS11Error, OSError, RuntimeError) as error:
            raise SignerUnavailableError(
                f"the PKCS#11 module {self._wanted.module} does not work ({_name(error)}); see that module-path is"
                " right, and what the module itself needs"
            ) from None
        if len(found) != 1:
            raise SignerUnavailableError(
                f"{self._wanted.module} has {len(found)} tokens that are {dict(self._wanted.token)}; see that the token"
                " is there, and name its serial where several are alike"
            )
        return found[0]

    def _log_in(self, token: Any) -> Any:
        try:
            return token.open(user_pin=self._pin.decode())
        except UserAlreadyLoggedIn:
            # By another key of this process: a login is one for all sessions with a token.
            return token.open()
        except (*_PIN, UnicodeDecodeError) as error:
            self._refused = (
                f"{self._described()}: the token does not take the PIN ({_name(error)}), and it is not tried again;"
                " put the right one into secret_file, and start again"
            )
            raise SignerRefusedError(self._refused) from None
        except PKCS11Error as error:
            raise SignerUnavailableError(
                f"{self._described()}: no session with the token ({_name(error)}); see that it is there, and call again"
            ) from None

    def _find(self, session: Any, kind: Any, label: str | None, id: bytes | None) -> Any:
        template = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: label, pkcs11.Attribute.ID: id}
        found = list(session.get_objects({name: value for name, value in template.items() if value is not None}))
        if len(found) > 1:
            raise SignerRefusedError(f"{self._described()}: the token holds {len(found)} such; name object and id")
        if not found:
            word = "private" if kind is pkcs11.ObjectClass.PRIVATE_KEY else "public"
            raise SignerRefusedError(
                f"{self._described()}: the token holds no {word} key of that label and id;"
                " see what it holds with pkcs11-tool --list-objects --login"
            )
        return found[0]

    def _read_public(self, session: Any, key: Any) -> tuple[PublicKey, _Curve | None]:
        """Read the public key of the same id, else of the same label; a private key does not give it away."""
        id = bytes(key[pkcs11.Attribute.ID] or b"")
        public = self._find(session, pkcs11.ObjectClass.PUBLIC_KEY, None if id else key.label, id or None)
        try:
            parameters = bytes(public[pkcs11.Attribute.EC_PARAMS])
            point = bytes(public[pkcs11.Attribute.EC_POINT])
            if parameters in _EDWARDS:
                edwards = ed25519.Ed25519PublicKey.from_public_bytes(_content(point, 32))
                return PublicKey.from_cryptography(edwards, Algorithm.ED25519), None
            curve = _CURVES[parameters]
            known = ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, _content(point, 2 * curve.width + 1))
            return PublicKey.from_cryptography(known, curve.algorithm), curve
        except (PKCS11Error, KeyError, ValueError, MalformedError):
            raise SignerRefusedError(
                f"{self._described()} is no key on P-256, P-384 or edwards25519; make one that is"
            ) from None

    def _drop(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            try:
                opened.session.close()
            except PKCS11Error:
                # It is gone already, which is why it is dropped.
                return

    def _described(self) -> str:
        name = self._wanted.label if self._wanted.id is None else self._wanted.id.hex()
        return f"the key {name} in the token {', '.join(value for _, value in self._wanted.token)}"


def _is(token: Any, wanted: dict[str, str]) -> bool:
    found = {
        "token": token.label,
        "serial": _printed(token.serial),
        "manufacturer": _printed(token.manufacturer_id),
        "model": _printed(token.model),
    }
    return all(found[name] == value for name, value in wanted.items())


def _printed(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _content(point: bytes, length: int) -> bytes:
    """Return the content of a DER octet string, which CKA_EC_POINT is; some tokens hold the bare point."""
    return point[2:] if point[:2] == bytes((4, length)) and len(point) == length + 2 else point


def _in_form(signature: bytes, curve: _Curve) -> bytes:
    """Return r || s of full width with the smaller s: some tokens leave out leading zeros, few choose the s."""
    half, odd = divmod(len(signature), 2)
    if odd or not 0 < half <= curve.width:
        raise SignerRefusedError(f"the token's signature of {len(signature)} bytes is none of {curve.algorithm.name}")
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    return r.to_bytes(curve.width, "big") + min(s, curve.order - s).to_bytes(curve.width, "big")


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
