"""The issuer's half of a command: a request for what was measured, and the authority's answer."""

from collections.abc import Mapping
from typing import Any

from exequatur_issuer.asked import Asked, RuntimeIdentity
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.request import sign_request
from exequatur_verifier.action import Descriptor
from exequatur_verifier.records import Head

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
    service: Service | None = None,
) -> Issued | Refused:
    """Ask an authority, as the home's requester, to permit an action on ``runtime``; return its answer.

    It is the home's own, or that behind ``service``. ``heads`` are tree heads that the runtime may remember, from
    which proofs are stapled.
    """
    time, salt = now(), unique()
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
    identity = RuntimeIdentity(runtime.id, runtime.key.encoded, heads)
    asked = Asked(request, salt, descriptor, facts, identity, ttl, uses)
    if service is not None:
        return remote.authorize(service, asked)
    return home.authority(time).authorize_many([asked], now=time)[0]
