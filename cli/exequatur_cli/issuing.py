"""The issuer's half of a command: a request for what was measured, and the authority's answer."""

from collections.abc import Mapping
from typing import Any

import click

from exequatur_issuer.asked import RuntimeIdentity
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.replay import opened
from exequatur_issuer.request import sign_request
from exequatur_verifier import statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Head, Kind
from exequatur_verifier.statement import Statement

from .founding import subject
from .home import Home, now, unique
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
) -> Issued | Refused:
    """Ask the home's authority, as the home's requester, to permit an action on ``runtime``; return its answer.

    ``heads`` are tree heads that the runtime may remember, from which proofs are stapled. ``again`` is the record id of
    a request of this action that was made before, and is to be answered once approvals have come.
    """
    time = now()
    identity = RuntimeIdentity(runtime.id, runtime.key.encoded, heads)
    if again is not None:
        former = logged_request(home, again)
        salt, _ = opened(former, home.content)
        return home.authority(time).authorize(
            former.entry, salt, descriptor, facts, runtime=identity, now=time, ttl=ttl, uses=uses
        )
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
    return home.authority(time).authorize(
        request, salt, descriptor, facts, runtime=identity, now=time, ttl=ttl, uses=uses
    )


def logged_request(home: Home, record_id: bytes) -> Statement:
    """Return a request of the home's log; raise ``MalformedError`` if that is none."""
    found = home.log.get(record_id)
    request = statement.parse(found.statement)
    if request.kind is not Kind.REQUEST:
        raise MalformedError(f"{record_id.hex()} is a {request.kind.value} record, no request")
    return request


class RequestId(click.ParamType[bytes]):
    """A record id in hexadecimal."""

    name = "request"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Return the bytes, or fail as click wants it."""
        if isinstance(value, bytes):
            return value
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        if len(found) != 32:
            self.fail("a request is named by its record id: 64 hexadecimal digits", param, ctx)
        return found
