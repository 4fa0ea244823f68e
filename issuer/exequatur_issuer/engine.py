"""What a policy engine is asked and what it answers, whatever the engine (specs/09 §2).

An engine is a pure function: the same policy set, schema, entities and ``Query`` give the same ``Answer``,
and time is a field of the query. So every logged decision can be computed again. Nothing here knows Cedar;
``cedar`` is the one engine of this build and ``conclude`` the one place where an engine's words become an
outcome:

    allow  :=  the engine said Allow, some policy determined it, all of those permit, and nothing went wrong

Everything else is a denial with a code of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from exequatur_verifier import cbor

Outcome = Literal["allow", "deny"]
Effect = Literal["permit", "forbid"]
Code = Literal["POLICY_FORBID", "POLICY_DEFAULT_DENY", "POLICY_ERROR", "POLICY_NO_DECISION"]


class Entity(NamedTuple):
    """A reference to an entity of the policy's world: its type and its id."""

    type: str
    id: str


class Query(NamedTuple):
    """One question: whether ``principal`` may do ``action`` on ``resource`` under ``context``.

    ``context`` holds booleans, integers within 64 signed bits, text in NFC, lists and dictionaries with text keys,
    in the form that the engine reads and the order of their encoding (``cbor.in_order``). Whoever builds a query from
    what an agent said does so with ``mapping.build_query``; the engine trusts it. Nobody changes the context once it
    is in a query.
    """

    principal: Entity
    action: Entity
    resource: Entity
    context: dict[str, object]

    def encode(self) -> bytes:
        """Return the deterministic CBOR of the query, whose salted digest a decision record carries."""
        return cbor.encode_again(
            {
                "action": list(self.action),
                "context": self.context,
                "resource": list(self.resource),
                "principal": list(self.principal),
            }
        )


class Policy(NamedTuple):
    """One policy of the set: its id, what it does when it applies, and its annotations.

    The id is the ``@id`` annotation, else the position in the set (``policy0``, ``policy1``, …).
    """

    id: str
    effect: Effect
    annotations: Mapping[str, str]


class Answer(NamedTuple):
    """A verdict with its reasons.

    ``code`` is None exactly when the outcome is ``allow``. ``determining`` is in the order of the policy set.
    ``errors`` are the engine's own words; they may quote the request, so they belong beside the descriptor
    and never into a public record.
    """

    outcome: Outcome
    code: Code | None
    determining: tuple[Policy, ...]
    errors: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether the outcome is ``allow``."""
        return self.outcome == "allow"

    @property
    def policy_ids(self) -> tuple[str, ...]:
        """The ids of the determining policies, in the order of the policy set."""
        return tuple(policy.id for policy in self.determining)

    def __bool__(self) -> bool:
        """Raise ``TypeError``: an answer is read by its fields, and no denial passes for something true."""
        raise TypeError("an Answer has no truth value; read its outcome")


class PolicyEngine(Protocol):
    """A loaded policy set that answers queries.

    What it decides is total and deterministic: it reads no clock, file or network, and what it cannot answer is a
    denial, never an exception. Its answers never change, and it may be asked from any thread.
    """

    @property
    def name(self) -> str:
        """The engine, as decision records name it."""

    @property
    def version(self) -> str:
        """The engine's version: a decision is replayed under the version that made it."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy, in the order of the set."""

    @property
    def entity_types(self) -> frozenset[str]:
        """The schema's entity types, by name without namespace: what no value from an agent may pass for."""

    def decide(self, query: Query) -> Answer:
        """Return the answer to ``query``."""

    def decide_many(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the answer to each query, as ``decide`` gives it; of many, in less time."""


def conclude(decision: str, determining: Sequence[Policy], errors: Sequence[str]) -> Answer:
    """Return what a decision (``Allow``, ``Deny`` or anything else), its reasons and its errors amount to.

    A policy that fails to evaluate does not apply, in Cedar and its kin, so a failed ``forbid`` beside a
    ``permit`` comes out as Allow: any error turns an Allow into a denial. A forbid that applied stands
    whatever else failed.
    """
    policies, problems = tuple(determining), tuple(errors)
    forbidden = any(policy.effect == "forbid" for policy in policies)
    if decision == "Allow" and policies and not forbidden and not problems:
        return Answer("allow", None, policies, ())
    code: Code
    if decision == "Deny" and forbidden:
        code = "POLICY_FORBID"
    elif decision not in ("Allow", "Deny"):
        code = "POLICY_NO_DECISION"
    elif problems:
        code = "POLICY_ERROR"
    elif decision == "Deny" and not policies:
        code = "POLICY_DEFAULT_DENY"
    else:
        code = "POLICY_NO_DECISION"
    return Answer("deny", code, policies, problems)


def refuse(detail: str) -> Answer:
    """Return the denial of a request for which there is no query, or whose obligations cannot be read."""
    return Answer("deny", "POLICY_ERROR", (), (detail,))
