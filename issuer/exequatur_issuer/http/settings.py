"""``service.toml``: who may ask the authority over HTTP, for whom, and what AuthZEN's words mean here (specs/12 §6).

queue = 256                                    # requests that may wait; beyond that they are refused 429

[[providers]]                                  # issuers of OpenID tokens
issuer, audience, algorithms, jwks             # jwks: an https address, or a file beside this one
user = "urn:example:user:{sub}"                # what the subject of such a token is called here

[[agents]]                                     # who asks, and whose requests are signed here
requester, key, runtime                        # its name in the log, its key file, where its actions run
tokens = ["<SHA-256 of an API key>"]           # how it is known: by API keys,
clients = [{issuer = "…", id = "…"}]           # or as a client in tokens
subjects = ["user:*"]                          # for whom its API keys may speak
user = "{sub}"                                 # what they are called here

[[approvers]]                                  # who sees what waits for approval
iss, tokens, users

[authzen]
url = "https://pdp.example"
[authzen.resources.document]                   # by the type of the resource; what is not declared is denied
type = "mcp.tool"                              # of the action
args = "context.arguments"                     # all of it, or a table: each argument and where it is found
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from exequatur_issuer.identity import keys, oidc, subject
from exequatur_issuer.identity.keys import IssuerKeys
from exequatur_issuer.identity.oidc import Provider, Verifier
from exequatur_issuer.identity.subject import Agent, Approver, Client, Credentials
from exequatur_verifier import shape
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.shape import Optional, record

from .evaluation import ROOTS, Resource

MOST_WAITING: Final = 4096


class AuthZen(NamedTuple):
    """The decision point's own address, and what the resources of each type are."""

    url: str
    resources: Mapping[str, Resource] = {}


class Settings(NamedTuple):
    """The settings of a service; without a file nobody is known, and there is no AuthZEN."""

    queue: int = 256
    providers: tuple[Provider, ...] = ()
    agents: tuple[Agent, ...] = ()
    approvers: tuple[Approver, ...] = ()
    authzen: AuthZen | None = None


def _template(value: Any) -> str:
    text = shape.text(value)
    if text.count("{sub}") != 1:
        raise MalformedError("a template has {sub} in it, once")
    return text


def _hex(value: Any) -> bytes:
    try:
        return shape.digest(bytes.fromhex(shape.text(value)))
    except (MalformedError, ValueError):
        raise MalformedError("not a SHA-256 in 64 hexadecimal digits") from None


def _path(value: Any) -> str:
    path = shape.text(value)
    root, _, rest = path.partition(".")
    if root not in ROOTS or not rest:
        raise MalformedError(f"a path begins with {', '.join(sorted(ROOTS))} and goes on with a dot")
    return path


def _arguments(value: Any) -> str | Mapping[str, str]:
    return shape.mapping(_path)(value) if isinstance(value, dict) else _path(value)


def _address(value: Any) -> str:
    address = shape.text(value)
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.netloc or address != f"https://{parts.netloc}":
        raise MalformedError("the decision point is an https address with a host and nothing behind it")
    return address


def _between(least: int, most: int) -> shape.Shape[int]:
    def parse(value: Any) -> int:
        if not least <= shape.uint(value) <= most:
            raise MalformedError(f"not between {least} and {most}")
        return int(value)

    return parse


_TOKENS: Final = Optional(shape.many(_hex))
_SECONDS: Final = Optional(_between(1, 86_400))
_PROVIDER: Final = record(
    Provider,
    issuer=shape.text,
    audience=shape.text,
    algorithms=shape.many(shape.word(*oidc.ALGORITHMS), least=1),
    jwks=shape.text,
    user=_template,
    leeway=Optional(_between(0, 600)),
    max_age=_SECONDS,
    stale=_SECONDS,
)
_AGENT: Final = record(
    Agent,
    requester=shape.text,
    key=shape.text,
    runtime=shape.text,
    tokens=_TOKENS,
    clients=Optional(shape.many(record(Client, issuer=shape.text, id=shape.text))),
    subjects=Optional(shape.many(shape.text)),
    user=Optional(_template),
)
_RESOURCE: Final = record(Resource, type=Optional(shape.text), args=_arguments)
_SETTINGS: Final = record(
    Settings,
    queue=Optional(_between(1, MOST_WAITING)),
    providers=Optional(shape.many(_PROVIDER)),
    agents=Optional(shape.many(_AGENT)),
    approvers=Optional(
        shape.many(record(Approver, iss=shape.text, tokens=_TOKENS, users=Optional(shape.many(shape.text))))
    ),
    authzen=Optional(record(AuthZen, url=_address, resources=Optional(shape.mapping(_RESOURCE)))),
)


def parse(text: str) -> Settings:
    """Return the settings that a file holds; raise ``MalformedError`` that says what is wrong with which field."""
    try:
        settings: Settings = _SETTINGS(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise MalformedError(str(error)) from None
    _check_once("issuer of tokens", (one.issuer for one in settings.providers))
    _check_once("template of users", (one.user for one in settings.providers))
    known_by = (one.tokens for group in (settings.agents, settings.approvers) for one in group)
    _check_once("API key", (digest for tokens in known_by for digest in tokens))
    _check_once("client", (client for one in settings.agents for client in one.clients))
    _check_once("user who approves", (user for one in settings.approvers for user in one.users))
    known = {one.issuer for one in settings.providers}
    for client in (client for one in settings.agents for client in one.clients):
        if client.issuer not in known:
            raise MalformedError(f"the client {client.id!r} is of {client.issuer!r}, which is none of the providers")
    return settings


def credentials(settings: Settings, folder: Path) -> Credentials:
    """Return everyone whom the settings know; key files are looked for in ``folder``. Raises ``MalformedError``."""
    providers = {
        one.issuer: (one, IssuerKeys(keys.reader(one.jwks, folder), max_age=one.max_age, stale=one.stale))
        for one in settings.providers
    }
    return subject.Credentials(Verifier(providers), settings.agents, settings.approvers)


def _check_once(what: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            shown = value.hex() if isinstance(value, bytes) else value
            raise MalformedError(f"the {what} {shown} stands twice; it can mean one only")
        seen.add(value)
