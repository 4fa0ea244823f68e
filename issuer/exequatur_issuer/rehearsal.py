"""A question put to a policy set before anything is asked for: the very decision that would be made, unsigned.

Cases (``cases``), explanations (``explaining``) and comparisons (``compare``) go through ``decide``, like every
request: what they show is what the authority would do, obligations, approvals and all.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from exequatur_verifier import action
from exequatur_verifier.action import Descriptor
from exequatur_verifier.cose import Sign1
from exequatur_verifier.records import Action, Kind, Policy, Record, Request
from exequatur_verifier.statement import Claims, Statement

from .decide import Decided, InForce, decide
from .engine import PolicyEngine
from .policyset import PolicySet
from .rules import Rules

_SALT: Final = bytes(action.SALT_SIZE)
_SUBJECT: Final = "urn:exequatur:rehearsal"


class Question(NamedTuple):
    """Who wants to do what and when (unix seconds), and what conditions the requester vouches for."""

    descriptor: Descriptor
    requester: str
    now: int
    claims: Mapping[str, Any] = {}


def draft(policy_set: PolicySet, engine: PolicyEngine, rules: Rules, approvals: int = 0) -> InForce:
    """Return a loaded set as if it were in force; ``approvals`` is how many its record would demand of everything."""
    record = Policy((), _SUBJECT, 0, engine.name, **policy_set.digests(), activation=0, approvals=approvals)
    return InForce(_unsigned(Kind.POLICY, record, _SUBJECT, 0), engine, rules)


def decide_on(question: Question, policy: InForce) -> Decided:
    """Return the decision on a question. Raises ``MalformedError`` for a descriptor that is not one."""
    encoded = action.encode(question.descriptor)
    committed = Action(question.descriptor["type"], action.commitment(action.ACTION_TAG, _SALT, encoded))
    request = Request((), committed, _SUBJECT, question.claims)
    asked = _unsigned(Kind.REQUEST, request, question.requester, question.now)
    return decide(asked, _SALT, question.descriptor, policy, question.now)


def _unsigned(kind: Kind, record: Record, iss: str, now: int) -> Statement:
    message = Sign1(b"", {}, {}, b"", b"")
    made = sha256(repr(record).encode()).digest()
    return Statement(message, kind, 0, bytes(32), Claims(iss, _SUBJECT, now, bytes(16)), record, made, b"")
