"""``signer.toml``: the keys that a signer daemon holds, by the names that its clients ask for (specs/09 §9).

[keys.authority]
key = "file:keys/authority.pem"         # relative to this file, or a pkcs11: reference
role = "authority"                      # what it signs; the name, where this is left out
secret_file = "keys/pin"                # a token's PIN, or this key file's own passphrase
uids = [1000]                           # who may use it, of those who may connect; all of them without this
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_verifier import shape
from exequatur_verifier.errors import MalformedError

from . import reference
from .daemon import Held
from .reference import DaemonKey, Source
from .roles import ROLES


class HeldKey(NamedTuple):
    """One key of a daemon, as its settings say."""

    key: str
    role: str | None = None
    secret_file: str | None = None
    uids: tuple[int, ...] | None = None


class _Document(NamedTuple):
    keys: Mapping[str, HeldKey]


def _key(value: Any) -> str:
    if isinstance(reference.parse(text := shape.text(value)), DaemonKey):
        raise MalformedError("a daemon holds its keys itself, and asks no other daemon")
    return text


_DOCUMENT: Final = shape.record(
    _Document,
    keys=shape.mapping(
        shape.record(
            HeldKey,
            key=_key,
            role=shape.Optional(shape.word(*sorted(ROLES))),
            secret_file=shape.Optional(shape.text),
            uids=shape.Optional(shape.many(shape.uint)),
        )
    ),
)


def read(path: Path) -> Mapping[str, HeldKey]:
    """Return the keys by name; raise ``MalformedError`` that names the field."""
    try:
        keys = _DOCUMENT(tomllib.loads(path.read_text())).keys
        for name, held in keys.items():
            if held.role is None and name not in ROLES:
                raise MalformedError(f"keys.{name} has no role, and its name is none of {', '.join(sorted(ROLES))}")
    except (MalformedError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"{path}: {error}") from None
    if not keys:
        raise MalformedError(f"{path} names no key")
    return keys


def format(keys: Mapping[str, HeldKey]) -> str:
    """Return the file that ``read`` reads as these keys."""
    lines: list[str] = []
    for name, held in keys.items():
        lines += [
            f"[keys.{name if name.isascii() and name.isidentifier() else _quoted(name)}]",
            f"key = {_quoted(held.key)}",
        ]
        lines += [] if held.role is None else [f"role = {_quoted(held.role)}"]
        lines += [] if held.secret_file is None else [f"secret_file = {_quoted(held.secret_file)}"]
        lines += [] if held.uids is None else [f"uids = {list(held.uids)}"]
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # A printable text has the same form in JSON and in TOML.
    return json.dumps(text, ensure_ascii=False)


def open_keys(keys: Mapping[str, HeldKey], folder: Path, passphrase: bytes) -> dict[str, Held]:
    """Return the keys, opened; raise what ``reference.open_signer`` raises."""
    return {
        name: Held(
            reference.open_signer(Source(held.key, held.secret_file), folder, passphrase),
            held.role or name,
            None if held.uids is None else frozenset(held.uids),
        )
        for name, held in keys.items()
    }
