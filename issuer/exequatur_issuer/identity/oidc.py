"""Tokens of OpenID issuers (RFC 7519, RFC 9068), checked under rules that a token cannot choose (specs/12 §4).

    form        three parts, at most 8 KiB, no ``crit``, a type that is an access or identity token's
    issuer      one of the settings, and named by the token's ``iss``
    algorithm   on the issuer's list, which holds asymmetric ones only, and of the key if that names one
    key         by its id, of the issuer's published keys
    signature   by that key
    audience    this service is among those that the token is for
    times       ``exp``, ``nbf`` and ``iat``, with one leeway
    names       ``sub``, and who acts for it: ``act.sub``, else ``client_id``, else ``azp``

An issuer's ``sub`` becomes a name of this authority by the template of the settings. Nothing here logs, keeps or quotes
a token.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from joserfc import jws, jwt
from joserfc.errors import JoseError

from exequatur_verifier import shape
from exequatur_verifier.errors import MalformedError

from .errors import CredentialError
from .keys import IssuerKeys

ALGORITHMS: Final = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "Ed25519")
MAX_TOKEN: Final = 8192
LEEWAY: Final = 60
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class Provider(NamedTuple):
    """An issuer as the settings have it.

    ``user`` is the template of its users' names, with ``{sub}`` in it; ``leeway`` is in seconds. Of its keys, ``jwks``
    is the address or the file, ``max_age`` and ``stale`` are as ``IssuerKeys`` takes them.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    jwks: str
    user: str
    leeway: int = LEEWAY
    max_age: int = 300
    stale: int = 3600


class Token(NamedTuple):
    """What a valid token says: its issuer, the name of its user, and the client that acts.

    ``user`` is ``None`` where the client acts for itself, and ``client`` where the token names none.
    """

    issuer: str
    subject: str
    user: str | None
    client: str | None


class Verifier:
    """The issuers that are trusted, each with its keys. Safe to use from several threads."""

    def __init__(self, providers: Mapping[str, tuple[Provider, IssuerKeys]]) -> None:
        """``providers`` are by their issuers."""
        self._providers = providers

    def verify(self, token: str, now: int) -> Token:
        """Return what a token says at ``now``; raise ``CredentialError`` or ``KeysUnavailableError``."""
        if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:
            raise CredentialError("the token is no signed JWT of at most 8 KiB")
        try:
            return self._verify(token, now)
        except JoseError:
            # joserfc's words may hold parts of the token.
            raise CredentialError("the token is no JWT, or its signature does not hold") from None
        except (ValueError, TypeError, RecursionError):
            raise CredentialError("the token is no JWT") from None

    def _verify(self, token: str, now: int) -> Token:
        # What the token says of itself chooses rules and key here, and proves nothing until the signature does.
        said = jws.extract_compact(token.encode())
        provider, keys = self._provider(said.payload)
        header = said.headers()
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in provider.algorithms:
            raise CredentialError("the token is signed by an algorithm that its issuer is not trusted with")
        if "crit" in header or str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise CredentialError("the token is of a type, or has a critical header, that is not known here")
        if not isinstance(kid, str) or not 0 < len(kid) <= 256:
            raise CredentialError("the token does not say which key it is signed with")
        key = keys.find(kid, now)
        if key.alg not in (None, algorithm):
            raise CredentialError("the token is signed by an algorithm that is not its key's")
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return _read(jwt.decode(token, key, [algorithm], registry=registry).claims, provider, now)

    def _provider(self, payload: bytes) -> tuple[Provider, IssuerKeys]:
        claims = json.loads(payload)
        issuer = claims.get("iss") if isinstance(claims, dict) else None
        if not isinstance(issuer, str) or issuer not in self._providers:
            raise CredentialError("the token's issuer is not trusted here")
        return self._providers[issuer]


def _read(claims: Mapping[str, Any], provider: Provider, now: int) -> Token:
    if claims.get("iss") != provider.issuer:
        raise CredentialError("the token's issuer is not trusted here")
    audience = claims.get("aud")
    if provider.audience not in (audience if isinstance(audience, list) else [audience]):
        raise CredentialError("the token is not for this service")
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None or issued is None:
        raise CredentialError("the token does not say when it was issued, or when it expires")
    if now >= expires + provider.leeway:
        raise CredentialError("the token has expired")
    if max(issued, begins or issued) > now + provider.leeway:
        raise CredentialError("the token is not valid yet, or from the future")
    subject = _name(claims.get("sub"), "subject")
    actor = claims.get("act")
    if actor is not None:
        client: str | None = _name(actor.get("sub") if isinstance(actor, dict) else None, "actor")
    else:
        named = claims.get("client_id", claims.get("azp"))
        client = None if named is None else _name(named, "client")
    # A client with a token of its own acts for nobody else (RFC 9068 §2.2).
    alone = actor is None and client == subject
    return Token(provider.issuer, subject, None if alone else expand(provider.user, subject), client)


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < 2**53:
        raise CredentialError(f"the token's {name} is no time")
    return float(value)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise CredentialError(f"the token names no {what}")
    return value


def expand(template: str, name: str) -> str:
    """Return a template's name for whom somebody else calls ``name``; raise ``CredentialError`` if that is too long.

    What is no letter, digit or one of ``-._~@`` is percent-encoded, so that a name cannot spell another template's.
    """
    found = template.replace("{sub}", quote(name, safe="@"))
    try:
        return shape.text(found)
    except MalformedError:
        raise CredentialError("the subject's name is too long") from None


def contract(template: str, expanded: str) -> str | None:
    """Return the name that a template makes ``expanded`` of, or ``None`` if there is none."""
    before, _, after = template.partition("{sub}")
    name = unquote(expanded[len(before) : len(expanded) - len(after)])
    return name if name and template.replace("{sub}", quote(name, safe="@")) == expanded else None
