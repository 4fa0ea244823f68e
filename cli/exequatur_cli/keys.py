"""The life of a home's keys: enrolled, rotated, retired, revoked at a position of the log (specs/09 §9).

The log says what a key may sign, and where: every act is an enrolment that replaces the one before it for the same key.
``trust.toml`` follows it, with the ranges of former keys, so that what they signed verifies as before.

    enrol    a key for a role that has none in force       rotate   a new key begins, and the former's range ends here
    retire   the range ends here                            revoke   the range ended there, earlier in the log

An act that was interrupted is finished by the same act again. A private key whose range has ended is destroyed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_issuer.signers import reference
from exequatur_issuer.signers.reference import FileKey, Source
from exequatur_issuer.signers.roles import ENDORSEMENT, ROLES
from exequatur_log import genesis
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import statement
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.records import Enrolment, Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.trust import Issuer

from . import runtimes, settings, trusting
from .files import replace, sync
from .home import ACTIONS, Home, now, unique

CHANGING: Final = ("authority", "requester", "owner", "approver", "runtime")
_ACTING: Final = ("authority", "requester")


class KeyStateError(ExequaturError):
    """A key is not in the state that the act begins with: which, and what to do."""


class Known(NamedTuple):
    """A key as the log's newest enrolment of it has it, and where that stands."""

    key: PublicKey
    enrolment: Enrolment
    leaf_index: int

    def is_open(self, size: int) -> bool:
        """Say whether the key may sign the next entry of a log of that size."""
        until = self.enrolment.until
        return self.enrolment.since <= size and (until is None or size < until)


class Changed(NamedTuple):
    """What an act came to: all keys that the role has ever had, the one in force now, and those that were revoked."""

    role: str
    keys: tuple[Known, ...]
    later: PublicKey | None
    revoked: tuple[PublicKey, ...] = ()


def known(log: BlockingLog) -> dict[bytes, Known]:
    """Return the keys that a log has ever enrolled, by thumbprint, each with its newest enrolment."""
    found: dict[bytes, Known] = {}
    start = 0
    while entries := log.find(kind=Kind.ENROLMENT, start=start, limit=1024):
        for entry in entries:
            record = statement.parse(entry.statement).record
            assert isinstance(record, Enrolment)
            if record.form == "key" and record.key is not None:
                key = PublicKey(dict(record.key))
                found.pop(key.thumbprint, None)
                found[key.thumbprint] = Known(key, record, entry.leaf_index)
        start = entries[-1].leaf_index + 1
    return found


def name_of(home: Home, role: str) -> str:
    """Return the ``iss`` that a role's key is enrolled for."""
    if role == "runtime":
        return home.settings.runtimes["local"].id
    if role == "approver":
        return home.settings.authority.iss.replace(":authority:", ":approver:")
    found: settings.Role = getattr(home.settings, role)
    return found.iss


def enrol(home: Home, role: str, source: Source | None, algorithm: Algorithm) -> Changed:
    """Give a role a key that has none in force; raise ``KeyStateError``."""
    iss, size, every = name_of(home, role), home.log.head().size, known(home.log)
    standing = [one for one in every.values() if _is_of(one, iss) and one.is_open(size)]
    if standing and not _is_pending(home, role, source):
        raise KeyStateError(
            f"{role} has a key in force, {standing[0].key.thumbprint.hex()}; `exequatur keys rotate {role}` replaces it"
        )
    with _next(home, role, source, algorithm) as later:
        _check_new(later, iss, size, every)
        if any(one.key != later.public_key for one in standing):
            raise KeyStateError(f"{role} has another key in force; `exequatur keys rotate {role}` replaces it")
        if not standing:
            kinds = {Kind.APPROVAL if word == ENDORSEMENT else Kind(word) for word in ROLES[role]}
            actions = ACTIONS if role in _ACTING else ()
            _register(home, later.public_key, Enrolment((), "key", iss, None, tuple(kinds), actions, size))
        return _settle(home, role, source, later.public_key)


def rotate(home: Home, role: str, source: Source | None, algorithm: Algorithm) -> Changed:
    """Put a new key of a role in force, and end the ranges of those before it; raise ``KeyStateError``."""
    iss, size, every = name_of(home, role), home.log.head().size, known(home.log)
    standing = [one for one in every.values() if _is_of(one, iss) and one.is_open(size)]
    if not standing:
        raise _none_in_force(role, iss, every)
    if role == "runtime":
        runtimes.check_at_rest(home)
    with _next(home, role, source, algorithm) as later:
        _check_new(later, iss, size, every)
        former = [one for one in standing if one.key != later.public_key]
        if not former and not _is_pending(home, role, source):
            raise KeyStateError(f"{later.public_key.thumbprint.hex()} is the key in force; name a new one with --key")
        if later.public_key.thumbprint not in every:
            _register(home, later.public_key, former[0].enrolment._replace(since=size, until=None))
        for one in former:
            _end(home, one)
        return _settle(home, role, source, later.public_key)


def retire(home: Home, role: str) -> Changed:
    """End the range of a role's key beyond everything that it has signed; raise ``KeyStateError``."""
    iss, size, every = name_of(home, role), home.log.head().size, known(home.log)
    standing = [one for one in every.values() if _is_of(one, iss) and one.is_open(size)]
    if not standing:
        raise _none_in_force(role, iss, every)
    for one in standing:
        _end(home, one)
    return _settle(home, role, None, None)


def revoke(home: Home, role: str, key_id: str, at: int) -> Changed:
    """End the range of a role's key at an index, which may be past; raise ``KeyStateError``.

    ``key_id`` is how the thumbprint of one of its keys begins in hexadecimal; the one in force, if it is empty.
    """
    iss, size, every = name_of(home, role), home.log.head().size, known(home.log)
    mine = [one for one in every.values() if _is_of(one, iss)]
    meant = [one for one in mine if (one.key.thumbprint.hex().startswith(key_id) if key_id else one.is_open(size))]
    if not meant and not key_id:
        raise _none_in_force(role, iss, every)
    if len(meant) != 1:
        raise KeyStateError(f"{len(meant)} keys of {role} begin with {key_id!r}; `exequatur keys list` shows them")
    (one,) = meant
    until = min(size, size if one.enrolment.until is None else one.enrolment.until)
    if not one.enrolment.since <= at <= until:
        raise KeyStateError(
            f"the range of {one.key.thumbprint.hex()} can be ended at an index from {one.enrolment.since} to {until},"
            f" and not at {at}"
        )
    _end(home, one, at)
    left = [other.key for other in mine if other is not one and other.is_open(size)]
    return _settle(home, role, None, left[0] if left else None, (one.key,))


def _is_of(one: Known, iss: str) -> bool:
    return one.enrolment.iss == iss


def _none_in_force(role: str, iss: str, every: dict[bytes, Known]) -> KeyStateError:
    ended = [one for one in every.values() if _is_of(one, iss)]
    if not ended:
        return KeyStateError(f"the log has no key of {role} ({iss}); `exequatur keys enrol {role}` enrols one")
    last = ended[-1]
    return KeyStateError(
        f"no key of {role} is in force: the range of {last.key.thumbprint.hex()} ended at {last.enrolment.until};"
        f" `exequatur keys enrol {role}` enrols another"
    )


def _register(home: Home, key: PublicKey, like: Enrolment) -> int:
    """Register an enrolment of ``key`` by the operator, with kinds, actions and range of ``like``; return its index."""
    assert like.iss is not None
    signed = genesis.sign_enrolment(
        home.signer("operator"),
        key,
        iss=like.iss,
        enroller=home.log.identity.iss,
        kinds=like.kinds,
        actions=like.actions,
        since=like.since,
        until=like.until,
        now=now(),
        unique=unique(),
    )
    return home.log.register(signed).leaf_index


def _end(home: Home, one: Known, at: int | None = None) -> None:
    """End a key's range: at an index that was named, else beyond everything that it has signed."""
    until = home.log.head().size if at is None else at
    while True:
        index = _register(home, one.key, one.enrolment._replace(until=until))
        if at is not None or not home.log.find(key_id=one.key.thumbprint, start=until, end=index, limit=1):
            return
        # Somebody registered a record by it meanwhile. From here on nobody can.
        until = index


def _path(home: Home, name: str) -> Path:
    return home.path / "keys" / f"{name}.pem"


def _is_pending(home: Home, role: str, source: Source | None) -> bool:
    return _path(home, f"{role}.next").exists() if source is None else home.sources.get(role) != source


@contextmanager
def _next(home: Home, role: str, source: Source | None, algorithm: Algorithm) -> Iterator[Signer]:
    """Open the key that is to be in force: the one that was named, or a new one, or an interrupted act's."""
    if source is None:
        yield _made(home, role, algorithm)
        return
    if role == "runtime":
        raise KeyStateError("the runtime's key is a file of its own half of the home; leave --key out")
    place = reference.parse(source.key)
    if isinstance(place, FileKey) and (home.path / place.path).resolve() == _path(home, role).resolve():
        raise KeyStateError(f"{source.key} is where the key of {role} is now; leave --key out for a new one there")
    named = home.open_key(source)
    try:
        yield named
    finally:
        reference.close(named)


def _made(home: Home, role: str, algorithm: Algorithm) -> Signer:
    if role in home.sources:
        raise KeyStateError(
            f"the key of {role} is {home.sources[role].key}, where this command makes none; make one there, and name"
            " it with --key"
        )
    path = _path(home, f"{role}.next")
    return home.load_key(path) if path.exists() else home.create_key(f"{role}.next", algorithm)


def _check_new(later: Signer, iss: str, size: int, every: Mapping[bytes, Known]) -> None:
    """Refuse a key that is another's, another role's, or has had its time."""
    found = every.get(later.public_key.thumbprint)
    if found is not None and (found.enrolment.iss != iss or found.key != later.public_key or not found.is_open(size)):
        raise KeyStateError(
            f"the key {found.key.thumbprint.hex()} is enrolled already: for {found.enrolment.iss}, as"
            f" {found.key.algorithm.name}, up to {found.enrolment.until}; a new key is one that nobody has used"
        )


def _settle(
    home: Home, role: str, source: Source | None, later: PublicKey | None, revoked: tuple[PublicKey, ...] = ()
) -> Changed:
    """Bring trust, settings and files after the log, in an order in which each step can be repeated."""
    every = [one for one in known(home.log).values() if _is_of(one, name_of(home, role))]
    _follow(home, role, every, later, revoked)
    if role == "runtime" and later is not None:
        runtimes.begin_anew(home, later)
    if source is not None:
        settings.write(home.path / "authority.toml", home.settings._replace(keys={**home.settings.keys, role: source}))
    if source is not None or later is None:
        _path(home, role).unlink(missing_ok=True)
    elif _path(home, f"{role}.next").exists():
        _path(home, f"{role}.next").replace(_path(home, role))
    sync(home.path / "keys")
    return Changed(role, tuple(every), later, revoked)


def _follow(
    home: Home, role: str, every: Sequence[Known], later: PublicKey | None, revoked: tuple[PublicKey, ...]
) -> None:
    """Write into ``trust.toml`` what the log says of a role's keys."""
    path = home.path / "trust.toml"
    text = path.read_text()
    changed = text
    if role in trusting.TABLES:
        changed = trusting.with_ranges(text, trusting.TABLES[role], [trusted(one) for one in every])
    elif role == "owner":
        changed = trusting.with_owners(text, () if later is None else (later,), revoked)
    if changed != text:
        replace(path, changed.encode())


def trusted(one: Known) -> Issuer:
    """Return a key with its range as a trust policy has it."""
    assert one.enrolment.iss is not None
    actions = one.enrolment.actions or ACTIONS
    return Issuer(one.enrolment.iss, (one.key,), actions, one.enrolment.since, one.enrolment.until)


def of_roles(home: Home, log: BlockingLog) -> list[tuple[str, Known]]:
    """Return every enrolled key of the home's roles, with its role, in the order of the roles."""
    every = known(log).values()
    return [(role, one) for role in CHANGING for one in every if _is_of(one, name_of(home, role))]
