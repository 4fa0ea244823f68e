"""The issuer's half of a command: a request for what was measured, and what an authority answers."""

from collections.abc import Mapping
from typing import Any, Final

import click

from exequatur_issuer.asked import Asked, RuntimeIdentity
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.replay import opened
from exequatur_issuer.request import sign_request
from exequatur_verifier import statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Decision, Head, Kind
from exequatur_verifier.statement import Statement

from . import remote
from .founding import subject
from .home import Home, now, unique
from .remote import Service
from .settings import RuntimeEntry


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
) -> Issued | Refused:
    """Ask an authority, as the home's requester, to permit an action on ``runtime``; return its answer.

    It is the home's own, or that behind ``service``. ``heads`` are tree heads that the runtime may remember, from which
    proofs are stapled. ``again`` is the record id of a request of this action that was made before, and is to be
    answered once approvals have come; the home's log and content store hold it.
    """
    time = now()
    if again is None:
        salt = unique()
        request = sign_request(
            descriptor,
            home.signer("requester"),
            iss=home.settings.requester.iss,
            audience=runtime.id,
            subject=subject(),
            unique=unique(),
            salt=salt,
            now=time,
            claims=claims,
            ttl=ttl,
            uses=uses,
            disclosure=home.settings.disclosure,
        )
    else:
        former = logged_request(home, again)
        request, (salt, _) = former.entry, opened(former, home.content)
    identity = RuntimeIdentity(runtime.id, runtime.key.encoded, heads)
    asked = Asked(request, salt, descriptor, facts, identity, ttl, uses)
    if service is not None:
        return remote.authorize(service, asked)
    return home.authority(time).authorize_many([asked], now=time)[0]


def waiting(home: Home) -> list[tuple[Statement, Statement]]:
    """Return the requests that wait for approvals, each with the decision that says so, the oldest first."""
    decisions = [(request, statement.parse(decided)) for request, decided in home.journal.undecided().items()]
    pending = [
        (logged_request(home, request), decision)
        for request, decision in decisions
        if isinstance(decision.record, Decision) and decision.record.outcome == "needs-approval"
    ]
    return sorted(pending, key=lambda item: (item[1].claims.iat, home.log.get(item[0].id).leaf_index))


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
