"""Rotating the keys that a home's log signs its heads with (specs/03 §9): three acts, each of which can be repeated.

    1  a record names the keys in use and the next ones       keys/receipts.next.pem, keys/checkpoints.next.pem
    2  trust learns the next keys, and they become the keys    keys/receipts.pem, keys/checkpoints.pem
    3  a record names the new keys alone

Whatever interrupts it, the log can be opened, and running it again ends with new keys in force.
"""

from pathlib import Path
from typing import Final, NamedTuple

from exequatur_log.genesis import sign_log_keys
from exequatur_log.head import LogKeys
from exequatur_verifier import note
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.trust_file import parse as parse_trust

from . import settings
from .files import replace, sync
from .home import Home, now, unique

_ALGORITHMS: Final = {"receipts": Algorithm.ES256, "checkpoints": Algorithm.ED25519}


class RotationError(ExequaturError):
    """The keys were not rotated: why, and what to do."""


class Rotated(NamedTuple):
    """What is in force now, as ``trust.toml`` spells it. Runtimes elsewhere need both lines beside the old ones."""

    receipt_key: str
    checkpoint_vkey: str


def rotate(home: Home) -> Rotated:
    """Put fresh keys in force in the home's log; raise ``RotationError``, or what the log raises.

    The home's own trust keeps the old keys, so that old bundles verify; the old private keys are gone.
    """
    elsewhere = [role for role in _ALGORITHMS if role in home.sources]
    if elsewhere:
        raise RotationError(
            f"the key {elsewhere[0]} is {home.sources[elsewhere[0]].key}, where this command makes none; take it back"
            " into keys/ of the home, rotate, and hand it over again"
        )
    identity = home.log.identity
    former = home.log_keys(identity.iss, identity.origin)
    signers = {
        role: home.signer(name) if _path(home, name).exists() else home.create_key(name, algorithm)
        for role, algorithm in _ALGORITHMS.items()
        for name in (f"{role}.next",)
    }
    later = LogKeys(signers["receipts"], signers["checkpoints"], identity.iss, identity.origin)
    _register(home, former, later)
    rotated = Rotated(settings.text_of(later.receipt.public_key), note.format_key(later.note_key))
    _extend_trust(home.path / "trust.toml", former, rotated)
    home.close()
    for role in _ALGORITHMS:
        _path(home, f"{role}.next").replace(_path(home, role))
    sync(home.path / "keys")
    _register(home, later)
    return rotated


def _path(home: Home, name: str) -> Path:
    return home.path / "keys" / f"{name}.pem"


def _register(home: Home, *keys: LogKeys) -> None:
    """Register the record that these keys are in force from now on."""
    home.log.register(
        sign_log_keys(
            home.signer("operator"),
            [each.receipt.public_key for each in keys],
            [each.note_key for each in keys],
            iss=keys[0].iss,
            now=now(),
            unique=unique(),
        )
    )


def _extend_trust(path: Path, former: LogKeys, rotated: Rotated) -> None:
    """Name the new keys before the former ones, and leave everything else of the file as its owner wrote it."""
    text = path.read_text()
    for old, new in (
        (settings.text_of(former.receipt.public_key), rotated.receipt_key),
        (note.format_key(former.note_key), rotated.checkpoint_vkey),
    ):
        if new in text:
            continue
        if text.count(f'"{old}"') != 1:
            raise RotationError(f"{path} does not name {old} just once; add {new} beside it, then rotate again")
        text = text.replace(f'"{old}"', f'"{new}", "{old}"')
    trusted = parse_trust(text.encode()).logs[former.origin]
    if rotated.receipt_key not in map(settings.text_of, trusted.receipt_keys):
        raise RotationError(f"{path} could not be extended; add {rotated.receipt_key} to the log's receipt_keys")
    replace(path, text.encode())
