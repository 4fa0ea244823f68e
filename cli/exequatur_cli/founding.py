"""Founding a home: keys, genesis, enrolments, the first policy, trust, and the runtime's memory, in one go.

It makes a development home: one user, every role, everything embedded. The steps are those of a real deployment, where
each is another person's on another machine.
"""

import os
import secrets
import uuid
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_gate.state import State
from exequatur_issuer import policyset, publish
from exequatur_issuer.signer import create_key
from exequatur_issuer.starter import starter_policy
from exequatur_log import genesis
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import note, statement
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.memory import KnownHead
from exequatur_verifier.records import Kind
from exequatur_verifier.trust import parse as parse_trust

from . import settings
from .home import ROLES, Home, now, unique
from .settings import Role, RuntimeEntry, Settings

# The types of action that a home's requester may ask for; what is permitted is policy's to say.
ACTIONS: Final = ("http.request", "mcp.tool", "process.exec", "python.call")
_KINDS: Final = {
    "authority": (Kind.DECISION, Kind.AUTHORIZATION, Kind.STATUS, Kind.ENFORCEMENT, Kind.ENROLMENT),
    "owner": (Kind.POLICY,),
    "requester": (Kind.REQUEST,),
    "runtime": (Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT),
}
_ACTING: Final = ("authority", "requester")


class Founded(NamedTuple):
    """What ``found`` made."""

    path: Path
    origin: str
    genesis: bytes
    runtime: str
    policy: bytes


class NotEmptyError(FileExistsError):
    """A home is founded in a directory of its own."""


def found(path: Path, *, leeway: int = 60) -> Founded:
    """Make a home at ``path``, which must not exist or be empty. An unfinished one is left to look at."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    if any(path.iterdir()):
        raise NotEmptyError(f"{path} is not empty; a home is founded in a directory of its own")
    name = secrets.token_hex(4)
    passphrase = _make_keys(path / "keys")
    with Home(path, passphrase) as home:
        first = _create_log(home, f"exequatur.local/{name}", now())
        _enrol_roles(home, name)
        policy = _publish_first(home, name)
        head = home.log.head()
        runtime = home.signer("runtime").public_key
        trust = _trust(home, name, first, leeway).encode()
        _write(path / "trust.toml", trust)
        start = KnownHead(
            home.log.identity.origin,
            head.size,
            head.root,
            head.iat,
            head.protected,
            head.signature,
            parse_trust(trust).digest,
            head.note,
        )
        State.create(str(path / "state.db"), runtime.thumbprint, [start]).close()
        return Founded(path, home.log.identity.origin, first, f"urn:exequatur:runtime:{name}", policy)


def _make_keys(directory: Path) -> bytes:
    directory.mkdir(mode=0o700)
    passphrase = secrets.token_hex(32).encode()
    _write(directory / "passphrase", passphrase + b"\n")
    for role in ROLES:
        create_key(
            directory / f"{role}.pem", passphrase, Algorithm.ED25519 if role == "checkpoints" else Algorithm.ES256
        )
    return passphrase


def _create_log(home: Home, origin: str, time: int) -> bytes:
    """Create the log and return the record id of its genesis."""
    keys = home.log_keys(f"https://{origin}", origin)
    first = genesis.sign_genesis(home.signer("operator"), keys, now=time, unique=unique())
    BlockingLog.create(home.log_path, first, keys).close()
    return statement.parse(first).id


def _enrol_roles(home: Home, name: str) -> None:
    operator, enroller = home.signer("operator"), home.log.identity.iss
    for role, kinds in _KINDS.items():
        entry = genesis.sign_enrolment(
            operator,
            home.signer(role).public_key,
            iss=f"urn:exequatur:{role}:{name}",
            enroller=enroller,
            kinds=kinds,
            actions=ACTIONS if role in _ACTING else (),
            now=now(),
            unique=unique(),
        )
        home.log.register(entry)


def _publish_first(home: Home, name: str) -> bytes:
    """Write the settings and the starter policy, publish it as epoch 1, and return its record id."""
    names = {role: f"urn:exequatur:{role}:{name}" for role in _KINDS}
    made = Settings(
        "commitment",
        f"urn:exequatur:policy:{name}",
        Role(names["authority"]),
        Role(names["owner"]),
        Role(names["requester"]),
        {"local": RuntimeEntry(names["runtime"], home.signer("runtime").public_key)},
    )
    _write(home.path / "authority.toml", settings.format(made).encode())
    folder = home.path / "policy"
    folder.mkdir(mode=0o700)
    for file, content in starter_policy(names["requester"]).items():
        _write(folder / file, content)
    (home.path / "content").mkdir(mode=0o700)
    policy = publish.publish(
        policyset.read(folder),
        home.signer("owner"),
        home.content,
        name=made.policy_set,
        iss=names["owner"],
        previous=None,
        now=now(),
        unique=unique(),
    )
    home.log.register(policy)
    return statement.parse(policy).id


def _trust(home: Home, name: str, first: bytes, leeway: int) -> str:
    """Return the trust policy of a home's runtime: its own log, authority and policy owner."""
    log = home.log.identity

    def spell(role: str) -> str:
        return settings.text_of(home.signer(role).public_key)

    vkeys = ", ".join(f'"{note.format_key(key)}"' for key in log.checkpoint_keys)
    actions = ", ".join(f'"{action}"' for action in ACTIONS)
    return f"""\
# What this runtime believes (specs/06). Every key stands here; an unknown field is an error.
leeway = {leeway}                       # seconds that clocks may differ

[runtime]
id = "urn:exequatur:runtime:{name}"
key = "{spell("runtime")}"

[[issuers]]
iss = "urn:exequatur:authority:{name}"
keys = ["{spell("authority")}"]
actions = [{actions}]

[[logs]]
iss = "{log.iss}"
origin = "{log.origin}"
genesis = "{first.hex()}"
receipt_keys = ["{spell("receipts")}"]
checkpoint_vkeys = [{vkeys}]
max_age = 86400                   # seconds that a head may be old

[receipts]
k = 1                             # from how many of the logs above

[policy]
owners = ["{spell("owner")}"]
"""


def _write(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def subject() -> str:
    """Return a fresh URN for one execution."""
    return uuid.uuid4().urn
