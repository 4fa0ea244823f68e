"""References to keys: where a key is, as settings say it, and the signer that a reference leads to (specs/09 §9).

    file:keys/authority.pem                                     encrypted PKCS#8; relative to the settings
    pkcs11:token=Build;object=authority?module-path=/usr/…so    a key in a token (RFC 7512); the PIN is in a file beside
    daemon:/run/exequatur/signer.sock#authority                 a key of that name, held by a signer daemon

No reference holds a secret: settings are shown, copied and kept in repositories.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable
from urllib.parse import unquote_to_bytes

from exequatur_issuer.signer import load_key, read_secret
from exequatur_verifier import shape
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.signing import Signer

from .errors import SignerRefusedError

_MATCHING: Final = ("token", "serial", "manufacturer", "model")


class FileKey(NamedTuple):
    """A key file, by its path."""

    path: str


class DaemonKey(NamedTuple):
    """A key that a daemon holds: its socket, and the key's name there."""

    socket: str
    name: str


class TokenKey(NamedTuple):
    """A key in a token: the module that reaches it, what the token must match, and the key's label and id."""

    module: str
    token: tuple[tuple[str, str], ...]
    label: str | None
    id: bytes | None


Reference = FileKey | DaemonKey | TokenKey


@runtime_checkable
class Closing(Protocol):
    """A signer that holds something open."""

    def close(self) -> None:
        """Let go of it."""
        ...


class Source(NamedTuple):
    """What settings say of a key: the text of its reference, and the file with the PIN or passphrase beside it."""

    key: str
    secret_file: str | None = None


def parse(text: str) -> Reference:
    """Return what a reference names; raise ``MalformedError``."""
    scheme, _, rest = text.partition(":")
    if scheme == "file" and rest and not rest.startswith("//"):
        return FileKey(rest)
    if scheme == "daemon":
        socket, _, name = rest.rpartition("#")
        if socket.startswith("/") and name:
            return DaemonKey(socket, name)
        raise MalformedError("a key of a daemon is daemon:/absolute/path/of/socket#name")
    if scheme == "pkcs11":
        return _parse_token(rest)
    raise MalformedError("a key is file:PATH, pkcs11:… (RFC 7512) or daemon:SOCKET#NAME")


def text(value: Any) -> str:
    """Return the text of a reference; raise ``MalformedError`` if it is none."""
    parse(found := shape.text(value))
    return found


def open_signer(source: Source, folder: Path, passphrase: bytes) -> Signer:
    """Return the signer of a key; relative paths start in ``folder``.

    ``secret_file`` holds a token's PIN, or the passphrase of a key file that ``passphrase`` does not open. Raises
    ``KeyFileError``, ``SignerRefusedError`` or ``OSError``.
    """
    reference = parse(source.key)
    if isinstance(reference, DaemonKey):
        from .remote import RemoteSigner

        return RemoteSigner(reference.socket, reference.name)
    held = None if source.secret_file is None else read_secret(folder / source.secret_file)
    if isinstance(reference, FileKey):
        return load_key(folder / reference.path, passphrase if held is None else held)
    if held is None:
        raise SignerRefusedError("a token is opened with a PIN; name the file that holds it as secret_file")
    from .pkcs11 import TokenSigner

    return TokenSigner(reference, held)


def close(signer: Signer) -> None:
    """Let go of a connection or a session, if the signer has one."""
    if isinstance(signer, Closing):
        signer.close()


def _parse_token(rest: str) -> TokenKey:
    """Parse what follows ``pkcs11:`` (RFC 7512 §2.3): attributes of the path, then those of the query."""
    path, _, query = rest.partition("?")
    found = _attributes(path, ";") | _attributes(query, "&")
    if found.keys() & {"pin-value", "pin-source"}:
        raise MalformedError("a reference holds no PIN; put it into a file, and name that as secret_file")
    unknown = found.keys() - {*_MATCHING, "object", "id", "type", "module-path"}
    if unknown:
        raise MalformedError(f"attributes of a pkcs11 reference that are not known here: {', '.join(sorted(unknown))}")
    if found.get("type", b"private") != b"private":
        raise MalformedError("a key that signs is of type=private")
    if "module-path" not in found or not found.keys() & {"object", "id"}:
        raise MalformedError("a pkcs11 reference names module-path, and the key by object, id or both")
    texts = {name: _text(value) for name, value in found.items() if name != "id"}
    token = tuple((name, texts[name]) for name in _MATCHING if name in texts)
    if not token:
        raise MalformedError("a pkcs11 reference names the token, by token, serial, manufacturer or model")
    return TokenKey(texts["module-path"], token, texts.get("object"), found.get("id"))


def _attributes(text: str, separator: str) -> dict[str, bytes]:
    pairs = [part.partition("=") for part in text.split(separator) if part]
    found = {name: unquote_to_bytes(value) for name, equals, value in pairs if equals and value}
    if len(found) != len(pairs):
        raise MalformedError("an attribute of a pkcs11 reference has no value, or stands twice")
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedError("an attribute of a pkcs11 reference is not UTF-8") from None
