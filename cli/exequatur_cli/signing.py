"""A signer daemon's directory, and the daemon over it (specs/09 §9).

    signer.toml       which keys, for whom          keys/*.pem, keys/passphrase    those that are files

``hand_over`` moves keys there from a home. Whatever interrupts it, each key is in a place that works, and running it
again ends with the home asking the daemon.
"""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exequatur_gate import home as runtime_home
from exequatur_issuer.signer import load_key
from exequatur_issuer.signers import daemon, reference
from exequatur_issuer.signers import settings as signer_settings
from exequatur_issuer.signers.daemon import Daemon
from exequatur_issuer.signers.journal import Journal
from exequatur_issuer.signers.reference import Source
from exequatur_issuer.signers.settings import HeldKey
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.keys import PublicKey

from . import settings
from .files import make_passphrase, replace, sync
from .home import Home

SETTINGS: Final = "signer.toml"


class HandOverError(ExequaturError):
    """The keys were not handed over: why, and what to do."""


def hand_over(home: Home, path: Path, roles: tuple[str, ...], socket: str) -> dict[str, PublicKey]:
    """Move the keys of these roles out of ``home`` into the daemon's directory; return their public halves.

    From then on the home asks the daemon at ``socket``. Raises ``HandOverError``, ``KeyFileError`` or ``OSError``.
    """
    unknown = set(roles) - settings.MOVABLE
    if unknown:
        movable = ", ".join(sorted(settings.MOVABLE))
        raise HandOverError(f"{', '.join(sorted(unknown))}: a daemon can hold {movable}, and no other key of a home")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (path / "keys").exists():
        make_passphrase(path / "keys")
    passphrase = runtime_home.find_passphrase(str(path))
    held = dict(signer_settings.read(path / SETTINGS)) if (path / SETTINGS).exists() else {}
    moved = {role: _move(home, path / "keys" / f"{role}.pem", role, passphrase) for role in roles}
    held |= {role: HeldKey(f"file:keys/{role}.pem") for role in roles}
    replace(path / SETTINGS, signer_settings.format(held).encode())
    asked = {role: Source(f"daemon:{socket}#{role}") for role in roles}
    settings.write(home.path / "authority.toml", home.settings._replace(keys={**home.settings.keys, **asked}))
    for role in roles:
        (home.path / "keys" / f"{role}.pem").unlink(missing_ok=True)
    sync(home.path / "keys")
    return moved


def _move(home: Home, target: Path, role: str, passphrase: bytes) -> PublicKey:
    """Copy a role's key, unless an interrupted call has; the original goes when everything else is in place."""
    original = home.path / "keys" / f"{role}.pem"
    if not target.exists():
        if not original.exists():
            raise HandOverError(f"there is no {original} to hand over; `exequatur keys list` says where the key is")
        home.copy_key(role, target, passphrase)
    key = load_key(target, passphrase).public_key
    if original.exists() and home.load_key(original).public_key != key:
        raise HandOverError(f"{target} is another key than {original}; move the one that is wrong away, and try again")
    return key


def serve(
    path: Path,
    socket: Path,
    uids: frozenset[int],
    *,
    passphrase_file: Path | None,
    journal: Path | int,
    started: Callable[[tuple[str, ...]], None],
) -> None:
    """Serve the keys of the directory at ``socket`` until SIGTERM or SIGINT; ``started`` is called when it answers."""
    runtime_home.check(str(path))
    # What lies in this process's memory is not to lie in a file of the system's choice.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if passphrase_file is not None:
        passphrase = runtime_home.read_private(str(passphrase_file)).rstrip(b"\r\n")
    else:
        passphrase = runtime_home.find_passphrase(str(path))
    keys = signer_settings.open_keys(signer_settings.read(path / SETTINGS), path, passphrase)
    kept = Journal(journal)
    try:
        # Asked before anyone else asks: a key that cannot be opened is the operator's to see, and not a client's.
        for held in keys.values():
            held.signer.public_key  # noqa: B018
        serving = Daemon(keys, uids, kept)
        with daemon.listening(socket, uids) as listener:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: serving.stop())
            started(tuple(keys))
            serving.serve(listener)
    finally:
        for held in keys.values():
            reference.close(held.signer)
        kept.close()


def own_uid() -> frozenset[int]:
    """Return the uids that may use a daemon when none is named: this user's."""
    return frozenset((os.geteuid(),))
