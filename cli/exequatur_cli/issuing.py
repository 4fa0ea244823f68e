"""The issuer's half of a command: a request for what was measured, and what an authority answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from exequatur_gate.home import read_private
from exequatur_issuer.approvals import WAITING_S
from exequatur_issuer.asked import Asked, RuntimeIdentity
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.modes import is_open
from exequatur_issuer.replay import opened
from exequatur_issuer.request import sign_request
from exequatur_issuer.signer import load_key
from exequatur_verifier import bundle, constraints, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.constraints import Constraints
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Authorization, Decision, Enrolment, Head, Kind, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from . import remote
from .founding import subject
from .home import Home, now, unique
from .remote import Service
from .settings import RuntimeEntry


class Under(NamedTuple):
    """A grant that something is asked under, by its record id, with its holder's key and name, and its limits."""

    grant: bytes
    holder: Signer
    iss: str
    limits: Constraints


def authorize(
    home: Home,
    descriptor: Descriptor,
    facts: Mapping[str, bytes | str],
    *,
    runtime: RuntimeEntry,
    claims: Mapping[str, Any] | None = None,
    ttl: int | None = None,
    uses: int | None = None,
    heads: tuple[Head, ...] = (),
    again: bytes | None = None,
    service: Service | None = None,
    under: Under | None = None,
) -> Issued | Refused:
    """Ask an authority, as the home's requester, to permit an action on ``runtime``; return its answer.

    With ``under`` whoever holds a grant asks instead.

    It is the home's own, or that behind ``service``. ``heads`` are tree heads that the runtime may remember, from which
    proofs are stapled. ``again`` is the record id of a request of this action that was made before, and is to be
    answered once approvals have come; the home's log and content store hold it.
    """
    time = now()
    if again is None:
        salt = unique()
        request = sign_request(
            descriptor,
            home.signer("requester") if under is None else under.holder,
            iss=home.settings.requester.iss if under is None else under.iss,
            audience=runtime.id,
            subject=subject(),
            unique=unique(),
            salt=salt,
            now=time,
            claims=claims,
            ttl=ttl,
            uses=uses,
            disclosure=home.settings.disclosure,
            parent=None if under is None else under.grant,
        )
    else:
        former = logged_request(home, again)
        request, (salt, _) = former.entry, opened(former, home.content)
    identity = RuntimeIdentity(runtime.id, runtime.key.encoded, heads)
    asked = Asked(request, salt, descriptor, facts, identity, ttl, uses)
    if service is not None:
        return remote.authorize(service, asked)
    return home.authority(time).authorize_many([asked], now=time)[0]


def hold(home: Home, grant: Path, key: Path) -> Under:
    """Return what it takes to ask under the grant in a bundle, with the key in a file; raise ``MalformedError``.

    The holder asks in its own name, if the log knows its key, and else in that of who asked for the grant.
    """
    try:
        parts = bundle.decode(grant.read_bytes())
        parsed, _ = statement.parse_transparent(parts.artifact)
        limits = constraints.decode_terms(parts.terms).constraints
        asked = None if parts.request is None else statement.parse(parts.request.statement)
    except MalformedError as error:
        raise MalformedError(f"{grant} is no bundle of a grant: {error}") from None
    record = parsed.record
    if not isinstance(record, Authorization) or record.form != "grant":
        raise MalformedError(f"{grant} is no grant; `exequatur delegate` makes one")
    holder = load_own(home, key)
    name = enrolled_as(home, holder.public_key.thumbprint)
    if name is None:
        if asked is None:
            asked = logged_request(home, next(link.id for link in record.links if link.relation == "request"))
        name = asked.claims.iss
    return Under(parsed.id, holder, name, limits)


def load_own(home: Home, key: Path) -> Signer:
    """Return the signer of somebody's own key file: under the passphrase beside it, or the home's."""
    beside = key.parent / "passphrase"
    if beside.exists():
        return load_key(key, read_private(str(beside)).rstrip(b"\r\n"))
    return home.load_key(key)


def enrolled_as(home: Home, key_id: bytes) -> str | None:
    """Return the name that the log knows a key by, or ``None``."""
    entry = home.log.enrolment(key_id)
    record = None if entry is None else statement.parse(entry.statement).record
    return record.iss if isinstance(record, Enrolment) else None


def waiting(home: Home) -> list[tuple[Statement, Statement]]:
    """Return the requests that wait for approvals, each with the decision that says so, the oldest first."""
    time = now()
    decisions = [(request, statement.parse(decided)) for request, decided in home.journal.undecided().items()]
    asked = [(logged_request(home, request), decision) for request, decision in decisions]
    pending = [
        (request, decision)
        for request, decision in asked
        if _waits(home, request, decision) and time < request.claims.iat + WAITING_S
    ]
    return sorted(pending, key=lambda item: (item[1].claims.iat, home.log.get(item[0].id).leaf_index))


def _waits(home: Home, request: Statement, decision: Statement) -> bool:
    record = request.record
    assert isinstance(record, Request)
    assert isinstance(decision.record, Decision)
    return is_open(record, decision.record, home.settings.modes)


def logged_request(home: Home, record_id: bytes) -> Statement:
    """Return a request of the home's log, for ``LAST`` the newest that waits; raise ``MalformedError`` if none."""
    if record_id == LAST:
        pending = waiting(home)
        if not pending:
            raise MalformedError("no request waits for approvals")
        return pending[-1][0]
    found = home.log.get(record_id)
    request = statement.parse(found.statement)
    if request.kind is not Kind.REQUEST:
        raise MalformedError(f"{record_id.hex()} is a {request.kind.value} record, no request")
    return request


# What ``last`` on a command line stands for; no record has this id.
LAST: Final = b""


class RequestId(click.ParamType[bytes]):
    """A record id in hexadecimal, or ``last``: the newest request that waits for approvals."""

    name = "request"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Return the bytes, or fail as click wants it."""
        if isinstance(value, bytes):
            return value
        if value == "last":
            return LAST
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        if len(found) != 32:
            self.fail("a request is named by its record id: 64 hexadecimal digits, or last", param, ctx)
        return found
