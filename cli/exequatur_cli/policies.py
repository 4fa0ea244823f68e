"""A policy set as a command names it: a directory, an epoch of the home's set, a record id, or what is in force."""

import re
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_issuer import epochs, policyset, publish, rehearsal
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.decide import InForce
from exequatur_issuer.epochs import Epoch
from exequatur_issuer.policyset import PolicySet
from exequatur_verifier.statement import Statement

from .home import Home, now, open_home
from .main import Unavailable

IN_FORCE: Final = "in-force"
DIRECTORY: Final = "policy"

_EPOCH: Final = re.compile(r"[1-9][0-9]{0,8}")
_ID: Final = re.compile(r"[0-9a-f]{64}")


class Chosen(NamedTuple):
    """A loaded policy set: how to call it, its parts, the engine, and the set as decisions take it."""

    label: str
    policy_set: PolicySet
    engine: CedarEngine
    policy: InForce


def of_directory(directory: Path) -> Chosen:
    """Return the set that lies in a directory; raise ``PolicySetError``."""
    found = policyset.read(directory)
    engine, rules = publish.load_set(found)
    return Chosen(str(directory), found, engine, rehearsal.draft(found, engine, rules))


def choose(reference: str | None, named: Path | None) -> Chosen:
    """Return the set that a text names; without one, what lies in the home's ``policy`` directory.

    A directory is read without any home. Raises ``PolicySetError``, ``NoPolicyError``, ``ContentError``, and
    ``Unavailable`` for what there is not.
    """
    if reference is not None and not is_published(reference):
        if not Path(reference).is_dir():
            raise Unavailable(f"{reference} is no directory, no epoch, no record id and not {IN_FORCE!r}")
        return of_directory(Path(reference))
    with open_home(named) as home:
        return in_home(home, reference)


def in_home(home: Home, reference: str | None) -> Chosen:
    """As ``choose``, in a home that is open."""
    if reference is None:
        return of_directory(home.path / DIRECTORY)
    if reference == IN_FORCE:
        found = epochs.in_force(home.policy_records(), home.settings.policy_set, now(), home.trust.policy)
        return of_record(home, found.statement)
    if is_published(reference):
        return of_record(home, find(home, reference).statement)
    return choose(reference, home.path)


def of_record(home: Home, policy: Statement) -> Chosen:
    """Return the set that a policy record names, from the content store."""
    loaded = publish.load(policy, home.content)
    parts = publish.parts(policy, home.content)
    engine = loaded.engine
    assert isinstance(engine, CedarEngine)
    return Chosen(f"epoch {loaded.record.epoch}", parts, engine, loaded)


def is_published(reference: str) -> bool:
    """Say whether a text names what is in the log, and not a directory."""
    return reference == IN_FORCE or bool(_EPOCH.fullmatch(reference) or _ID.fullmatch(reference))


def find(home: Home, reference: str) -> Epoch:
    """Return the epoch that a number or a record id names; raise ``Unavailable``."""
    known = epochs.epochs(home.policy_records(), home.settings.policy_set, now(), home.trust.policy)
    for epoch in known:
        if reference in (str(epoch.record.epoch), epoch.statement.id.hex()):
            return epoch
    listed = ", ".join(str(epoch.record.epoch) for epoch in reversed(known)) or "none"
    raise Unavailable(f"no epoch {reference} of {home.settings.policy_set} in this log; it has {listed}")


def requester(named: Path | None) -> str:
    """Return the name under which a home's requester asks; raise what ``open_home`` raises."""
    with open_home(named) as home:
        return home.settings.requester.iss
