"""Callers: the agent and the user that a credential names, and on whose behalf it may ask (specs/12 §4, §5).

    an agent's API key      the agent; the user is whom it names, of those it may speak for
    an OpenID token         the client that acts is the agent, the subject is the user; both are fixed by the token
    an approver's key       the approver, and nothing else
    a token of a user       also the approver that the settings have that user for

The agent is a requester: the name that one of the authority's request keys is enrolled for. It is the principal that
policy is asked about, and so is the user.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from exequatur_verifier.match import Matcher, Operator, matches

from .errors import CredentialError, EntitlementError
from .oidc import Token, Verifier, contract, expand

USER_TYPE: Final = "user"
AGENT_TYPE: Final = "agent"
_LEAST_KEY: Final = 16
_MOST_KEY: Final = 512


class Client(NamedTuple):
    """A client of a token issuer, by the id that its tokens have for it."""

    issuer: str
    id: str


class Agent(NamedTuple):
    """An agent as the settings have it.

    ``requester`` is the name that its requests are made under, ``key`` the key that signs them, ``runtime`` where its
    actions run. It is known by ``tokens`` (the SHA-256 of its API keys) and ``clients``. ``subjects`` are patterns of
    the ``type:id`` that its API keys may speak for, ``user`` the template of their names.
    """

    requester: str
    key: str
    runtime: str
    tokens: tuple[bytes, ...] = ()
    clients: tuple[Client, ...] = ()
    subjects: tuple[str, ...] = ()
    user: str = "{sub}"


class Approver(NamedTuple):
    """An approver as the settings have it: known by ``tokens``, or as a user of a token issuer."""

    iss: str
    tokens: tuple[bytes, ...] = ()
    users: tuple[str, ...] = ()


class Caller(NamedTuple):
    """Who asks. ``token`` is what an OpenID token says, and ``None`` for who has an API key."""

    agent: Agent | None = None
    approver: Approver | None = None
    token: Token | None = None

    def requester(self) -> Agent:
        """Return the agent that asks; raise ``EntitlementError`` where the credential names none."""
        if self.agent is None:
            raise EntitlementError("AGENT_UNKNOWN", "the credential names no agent that requests are made for here")
        return self.agent

    def user(self, kind: str, name: str) -> str | None:
        """Return the user to be asked about for a subject that is named by type and id, or ``None`` for none.

        Raises ``EntitlementError`` where the credential neither names that subject nor may speak for it.
        """
        agent = self.requester()
        names_agent = kind == AGENT_TYPE and name in self._agent_names(agent)
        if self.token is not None:
            # Whichever of the two is named, the token fixes both.
            user = self.token.user
            if names_agent or (kind == USER_TYPE and user is not None and name in (user, self.token.subject)):
                return user
        elif names_agent:
            return None
        elif _may_speak_for(agent, kind, name):
            try:
                return expand(agent.user, name)
            except CredentialError as error:
                raise EntitlementError("SUBJECT_MISMATCH", str(error)) from None
        raise EntitlementError("SUBJECT_MISMATCH", "the credential neither names this subject nor may speak for it")

    def check(self, requester: str, claimed: Any) -> None:
        """Check that a signed request's names are those of the credential; raise ``EntitlementError``.

        ``requester`` is its ``iss``, ``claimed`` the user in its claims.
        """
        agent = self.requester()
        if agent.requester != requester:
            raise EntitlementError("SUBJECT_MISMATCH", "the request is of another requester than the credential's")
        if self.token is not None:
            fits = claimed == self.token.user
        else:
            name = contract(agent.user, claimed) if isinstance(claimed, str) else None
            fits = claimed is None or (name is not None and _may_speak_for(agent, USER_TYPE, name))
        if not fits:
            raise EntitlementError("SUBJECT_MISMATCH", "the request names another user than the credential")

    def _agent_names(self, agent: Agent) -> tuple[str | None, ...]:
        return (agent.requester, self.token.client if self.token is not None else None)


class Credentials:
    """Everyone who is known, by whatever they show. Safe to use from several threads."""

    def __init__(self, verifier: Verifier, agents: Sequence[Agent], approvers: Sequence[Approver]) -> None:
        self._verifier = verifier
        self._agents = tuple(agents)
        self._approvers = tuple(approvers)

    def identify(self, authorization: str | None, now: int) -> Caller:
        """Return who sends this ``Authorization`` header at ``now``.

        Raises ``CredentialError`` and ``KeysUnavailableError``. A valid credential of nobody's agent or approver is
        a caller still, who may do nothing.
        """
        scheme, _, shown = (authorization or "").partition(" ")
        shown = shown.strip()
        if scheme.lower() != "bearer" or not shown:
            raise CredentialError("send an API key or a token as `Authorization: Bearer …`")
        if shown.count(".") == 2:
            return self._of_token(self._verifier.verify(shown, now))
        if not _LEAST_KEY <= len(shown) <= _MOST_KEY:
            raise CredentialError("this is no API key of anybody known here")
        # Digests are looked up, and give nothing away by how long that takes.
        digest = sha256(shown.encode()).digest()
        agent = next((one for one in self._agents if digest in one.tokens), None)
        approver = next((one for one in self._approvers if digest in one.tokens), None)
        if agent is None and approver is None:
            raise CredentialError("this is no API key of anybody known here")
        return Caller(agent, approver)

    def _of_token(self, token: Token) -> Caller:
        client = None if token.client is None else Client(token.issuer, token.client)
        agent = next((one for one in self._agents if client in one.clients), None)
        approver = next((one for one in self._approvers if token.user is not None and token.user in one.users), None)
        return Caller(agent, approver, token)


def _may_speak_for(agent: Agent, kind: str, name: str) -> bool:
    return any(matches(Matcher(Operator.GLOB, pattern), f"{kind}:{name}") for pattern in agent.subjects)
