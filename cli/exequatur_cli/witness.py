"""The directory of a witness: its keys and its memory, made once (specs/11 §5).

witness.db         what it must not lose      keys/ed25519.pem, keys/ml-dsa-44.pem   what it cosigns with
witness.lock                                  keys/passphrase                        made by ``init``
"""

import secrets
import time
from pathlib import Path
from typing import Final

from exequatur_gate import home as runtime_home
from exequatur_issuer.signer import create_key, load_key
from exequatur_log.witness.cosigner import Cosigner, Cosigning, cosigning
from exequatur_log.witness.memory import Memory
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import NoteKey

from .files import make_passphrase

_FILES: Final = {Algorithm.ED25519: "ed25519.pem", Algorithm.ML_DSA_44: "ml-dsa-44.pem"}


class NotEmptyError(FileExistsError):
    """A witness is made in a directory of its own."""


def found(path: Path, name: str | None = None) -> tuple[NoteKey, ...]:
    """Make a witness at ``path``, which must not exist or be empty, and return its keys.

    Both are new and its own: an Ed25519 cosignature does not say whose it is (tlog-cosignature). Without a ``name``
    it gets one. Raises ``MalformedError`` for a name that a note cannot hold.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    if any(path.iterdir()):
        raise NotEmptyError(f"{path} is not empty; a witness is made in a directory of its own")
    name = name or f"witness.local/{secrets.token_hex(4)}"
    passphrase = make_passphrase(path / "keys")
    keys = tuple(
        cosigning(name, create_key(path / "keys" / file, passphrase, algorithm)).key
        for algorithm, file in _FILES.items()
    )
    # Last, so that a memory is only where everything else is.
    Memory.create(path / "witness.db", name, keys).close()
    return keys


def open_memory(path: Path) -> Memory:
    """Open the memory of the witness at ``path``; raise ``MemoryUnavailableError`` or ``HomeRefusedError``."""
    runtime_home.check(str(path.absolute()))
    return Memory.open(path / "witness.db")


def open_cosigner(path: Path, memory: Memory, passphrase_file: Path | None = None) -> Cosigner:
    """Return the witness at ``path``, ready to cosign; raise ``KeyFileError`` or ``UnfitError``."""
    if passphrase_file is not None:
        passphrase = runtime_home.read_private(str(passphrase_file)).rstrip(b"\r\n")
    else:
        passphrase = runtime_home.find_passphrase(str(path.absolute()))
    return Cosigner(memory, _load_keys(path, memory.name, passphrase), lambda: int(time.time()))


def _load_keys(path: Path, name: str, passphrase: bytes) -> tuple[Cosigning, ...]:
    return tuple(
        cosigning(name, load_key(path / "keys" / file, passphrase, algorithm)) for algorithm, file in _FILES.items()
    )
