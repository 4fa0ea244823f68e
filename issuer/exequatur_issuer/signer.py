"""Signing keys in files: encrypted PKCS#8 in PEM, one key for each role, behind the kernel's ``Signer`` (specs/09 §9).

Whoever holds the authority's key is the authority, so a key file that others can read, or that somebody else
owns, is refused and not mended: it may have been read already.
"""

import os
import stat
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.signing import LocalSigner, load_signer

_MAX_PEM: Final = 64 << 10
_P256: Final = (Algorithm.ES256, Algorithm.ESP256)
_EDWARDS: Final = (Algorithm.ED25519, Algorithm.EDDSA)


class KeyFileError(ExequaturError):
    """A key file that cannot be used or created: which, why, and what to do."""


def create_key(path: Path, passphrase: bytes, algorithm: Algorithm = Algorithm.ES256) -> LocalSigner:
    """Create a key in a new file that only its owner can read, and return its signer.

    The file is on the disk when this returns. Raises ``KeyFileError``, also when the file exists: a key is
    never overwritten.
    """
    key = _generate(algorithm)
    _store(path, key, passphrase)
    return LocalSigner(key, algorithm)


def copy_key(source: Path, passphrase: bytes, target: Path, other: bytes) -> None:
    """Write the key in ``source`` to a new file, encrypted under the passphrase ``other``; raise ``KeyFileError``."""
    _check_passphrase(passphrase)
    try:
        key = load_pem_private_key(_read(source), passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{source}: not a usable private key, or a wrong passphrase: {error}") from None
    _store(target, key, other)


def load_key(path: Path, passphrase: bytes, algorithm: Algorithm | None = None) -> LocalSigner:
    """Return the signer of a key file. Raises ``KeyFileError``.

    Without an ``algorithm`` the usual one of the key's type is taken (``signing.load_signer``). Refused are
    links, files that anyone but their owner can read or write, files of another owner than this user or root,
    and keys that are not encrypted.
    """
    _check_passphrase(passphrase)
    pem = _read(path)
    try:
        return load_signer(pem, passphrase, algorithm)
    except MalformedError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _store(path: Path, key: Any, passphrase: bytes) -> None:
    """Write a key to a new file; it is on the disk when this returns."""
    _check_passphrase(passphrase)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise KeyFileError(f"{path} exists, and a key is never overwritten; move it away first") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be created: {error.strerror}") from None


def read_secret(path: Path) -> bytes:
    """Return the passphrase or PIN in a file, without its line end; raise ``KeyFileError``.

    What is refused of a key file is refused of what opens it.
    """
    secret = _read(path).rstrip(b"\r\n")
    if not secret:
        raise KeyFileError(f"{path} is empty; it holds a passphrase or a PIN")
    return secret


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_protection(path, os.fstat(file.fileno()))
            return file.read(_MAX_PEM)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None


def _check_passphrase(passphrase: bytes) -> None:
    if not passphrase:
        raise KeyFileError("a key is encrypted under a passphrase, and this one is empty")


def _check_protection(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is not a plain file")
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path} belongs to uid {found.st_uid}; a key belongs to who uses it, or to root")
    if found.st_mode & 0o077:
        raise KeyFileError(
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, so others can reach the key;"
            " make a new one, or chmod 600 it if you know that nobody has"
        )


def _generate(algorithm: Algorithm) -> Any:
    if algorithm in _P256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is Algorithm.ES384:
        return ec.generate_private_key(ec.SECP384R1())
    if algorithm in _EDWARDS:
        return ed25519.Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.asymmetric import mldsa

    kind = mldsa.MLDSA44PrivateKey if algorithm is Algorithm.ML_DSA_44 else mldsa.MLDSA65PrivateKey
    return kind.generate()
