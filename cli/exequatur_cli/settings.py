"""``authority.toml``: the settings of the issuer's half of a home (decision 0006).

``trust.toml`` is what the runtime believes; this is what the authority says and to whom it says it:

    disclosure = "commitment"               # or "full": the plain action in the log, for ever
    policy_set = "urn:exequatur:policy:…"
    [authority]   iss                       # each role's name, as it is enrolled in the log
    [owner]       iss
    [requester]   iss
    [approver]    iss                       # not in every home: who approves here
    [runtimes.NAME]   id, key               # the runtimes that artifacts are issued for
    [keys.ROLE]       key, secret_file      # where a role's key is, if not in keys/ROLE.pem (specs/09 §9)
    [status]      list, period              # status lists: what their names begin with, and how long a version is good
                                            # (seconds); without it artifacts name none and cannot be revoked
    [modes.NAME]      actions, ttl, approvals    # observe, break-glass: what may be asked for although policy denies it
"""

import base64
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_issuer.modes import BREAK_GLASS, MODES, NO_MODES, Mode, Modes
from exequatur_issuer.signers import reference
from exequatur_issuer.signers.reference import Source
from exequatur_issuer.signers.roles import ROLES
from exequatur_verifier import note, shape
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.shape import record

from .files import replace

# Whose key may be elsewhere than in the home.
MOVABLE: Final = ROLES.keys() - {"runtime"}


class Role(NamedTuple):
    """Who signs in this role: the name that its key is enrolled for."""

    iss: str


class RuntimeEntry(NamedTuple):
    """A runtime: the audience of its artifacts, and the key that they are bound to."""

    id: str
    key: PublicKey


class StatusSettings(NamedTuple):
    """What the names of the authority's status lists begin with, and for how many seconds a version is good."""

    list: str
    period: int = 3600


class Settings(NamedTuple):
    """The settings of an authority."""

    disclosure: Any
    policy_set: str
    authority: Role
    owner: Role
    requester: Role
    runtimes: Mapping[str, RuntimeEntry]
    approver: Role | None = None
    keys: Mapping[str, Source] = {}
    status: StatusSettings | None = None
    modes: Modes = NO_MODES


def _key(value: Any) -> PublicKey:
    return PublicKey.from_cose(note.decode_base64(shape.text(value)))


def _keys(value: Any) -> Mapping[str, Source]:
    keys = _SOURCES(value)
    if not keys.keys() <= MOVABLE:
        raise MalformedError(
            f"keys are named for {', '.join(sorted(MOVABLE))}; the runtime's is a file of its own half of the home"
        )
    return keys


_SOURCES: Final = shape.mapping(
    record(Source, key=reference.text, secret_file=shape.Optional(shape.text)),
)


def _modes(value: Any) -> Modes:
    modes: Modes = _MODES(value)
    if not modes.keys() <= set(MODES):
        raise MalformedError(f"the modes are {' and '.join(MODES)}")
    if BREAK_GLASS in modes and not modes[BREAK_GLASS].approvals:
        raise MalformedError(f"mode {BREAK_GLASS} takes at least one approval")
    if any(not mode.ttl for mode in modes.values()):
        raise MalformedError("an artifact of a mode is good for at least a second")
    return modes


_MODES: Final = shape.mapping(
    record(
        Mode,
        actions=shape.many(shape.text, least=1),
        ttl=shape.Optional(shape.uint),
        approvals=shape.Optional(shape.uint),
    )
)


def _period(value: Any) -> int:
    seconds = shape.uint(value)
    if seconds < 2:
        raise MalformedError("a version of a status list is good for at least 2 seconds")
    return seconds


_ROLE: Final = record(Role, iss=shape.text)
_SETTINGS: Final = record(
    Settings,
    disclosure=shape.word("commitment", "full"),
    policy_set=shape.urn,
    authority=_ROLE,
    owner=_ROLE,
    requester=_ROLE,
    runtimes=shape.mapping(record(RuntimeEntry, id=shape.text, key=_key)),
    approver=shape.Optional(_ROLE),
    keys=shape.Optional(_keys),
    status=shape.Optional(record(StatusSettings, list=shape.urn, period=shape.Optional(_period))),
    modes=shape.Optional(_modes),
)


def read(path: Path) -> Settings:
    """Return the settings in a file; raise ``MalformedError`` that names the field."""
    try:
        return _SETTINGS(tomllib.loads(path.read_text()))
    except (MalformedError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"{path}: {error}") from None


def format(settings: Settings) -> str:
    """Return the file that ``read`` reads as these settings."""
    roles = {role: getattr(settings, role) for role in ("authority", "owner", "requester", "approver")}
    lines = [
        f'disclosure = "{settings.disclosure}"',
        f'policy_set = "{settings.policy_set}"',
        *(f'\n[{role}]\niss = "{named.iss}"' for role, named in roles.items() if named is not None),
        *(
            f'\n[runtimes.{name}]\nid = "{entry.id}"\nkey = "{text_of(entry.key)}"'
            for name, entry in settings.runtimes.items()
        ),
        *(f"\n[keys.{role}]\n{_spell(source)}" for role, source in settings.keys.items()),
    ]
    if settings.status is not None:
        lines.append(f'\n[status]\nlist = "{settings.status.list}"\nperiod = {settings.status.period}')
    for name, mode in settings.modes.items():
        actions = ", ".join(json.dumps(action, ensure_ascii=False) for action in mode.actions)
        lines.append(f"\n[modes.{name}]\nactions = [{actions}]\nttl = {mode.ttl}\napprovals = {mode.approvals}")
    return "\n".join(lines) + "\n"


def write(path: Path, settings: Settings) -> None:
    """Put these settings in place of those in a file, at once."""
    replace(path, format(settings).encode())


def _spell(source: Source) -> str:
    # A printable text has the same form in JSON and in TOML.
    lines = {name: text for name, text in source._asdict().items() if text is not None}
    return "\n".join(f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in lines.items())


def text_of(key: PublicKey) -> str:
    """Return a key as settings and trust policies spell it: base64 of its COSE_Key."""
    return base64.b64encode(key.encoded).decode()
