"""Founding a home: keys, genesis, enrolments, the first policy, trust, and the runtime's memory, in one go.

It makes a development home: one user, every role, everything embedded. The steps are those of a real deployment, where
each is another person's on another machine.
"""

import secrets
import uuid
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_issuer import policyset, publish
from exequatur_issuer.signer import create_key
from exequatur_issuer.starter import starter_policy
from exequatur_log import genesis
from exequatur_log.blocking import BlockingLog
from exequatur_log.storage import place
from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Kind

from . import settings
from .files import make_passphrase, write
from .home import ACTIONS, ROLES, Home, now, unique
from .runtimes import settle
from .settings import Role, RuntimeEntry, Settings, StatusSettings

_KINDS: Final = {
    "authority": (Kind.DECISION, Kind.AUTHORIZATION, Kind.STATUS, Kind.ENFORCEMENT, Kind.ENROLMENT),
    # A further owner's signature on a policy record is an approval of it.
    "owner": (Kind.POLICY, Kind.APPROVAL),
    "requester": (Kind.REQUEST,),
    "approver": (Kind.APPROVAL,),
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


def found(path: Path, *, leeway: int = 60, database: str | None = None) -> Founded:
    """Make a home at ``path``, which must not exist or be empty. An unfinished one is left to look at.

    ``database`` is the URL of the log's database, if that is not a file of the home; raises ``MalformedError``.
    """
    if database is not None:
        place.parse(database)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    if any(path.iterdir()):
        raise NotEmptyError(f"{path} is not empty; a home is founded in a directory of its own")
    name = secrets.token_hex(4)
    passphrase = _make_keys(path / "keys")
    if database is not None:
        write(path / "log.toml", f'database = "{database}"\n'.encode())
    with Home(path, passphrase) as home:
        first = _create_log(home, f"exequatur.local/{name}", now())
        _enrol_roles(home, name)
        policy = _publish_first(home, name)
        lists = home.status_lists()
        assert lists is not None
        lists.fresh([lists.first], now())
        runtime = home.settings.runtimes["local"]
        settle(home, path, runtime, leeway)
        return Founded(path, home.log.identity.origin, first, runtime.id, policy)


def _make_keys(directory: Path) -> bytes:
    passphrase = make_passphrase(directory)
    for role in ROLES:
        create_key(
            directory / f"{role}.pem", passphrase, Algorithm.ED25519 if role == "checkpoints" else Algorithm.ES256
        )
    return passphrase


def _create_log(home: Home, origin: str, time: int) -> bytes:
    """Create the log and return the record id of its genesis."""
    keys = home.log_keys(f"https://{origin}", origin)
    first = genesis.sign_genesis(home.signer("operator"), keys, now=time, unique=unique())
    BlockingLog.create(home.log_place, first, keys).close()
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
        Role(names["approver"]),
        status=StatusSettings(f"urn:exequatur:status:{name}"),
    )
    write(home.path / "authority.toml", settings.format(made).encode())
    folder = home.path / "policy"
    folder.mkdir(mode=0o700)
    for file, content in starter_policy(names["requester"]).items():
        write(folder / file, content)
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


def subject() -> str:
    """Return a fresh URN for one execution."""
    return uuid.uuid4().urn
