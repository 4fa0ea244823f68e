"""Deciding: from a request and its opened descriptor to the decision record, and nothing else (specs/09 §2).

Pure, so that an auditor with the same inputs computes the same record, bit for bit (``replay``). The inputs
are the request statement, the descriptor behind its commitment, the policy record in force with the loaded
set that it names, and the time. The signature on the request and whether its key may make requests are the
log's to check, before the decision is registered behind it.

A record names policies and codes, and the question that was put by its salted digest: unsalted, whoever
guesses an action could confirm the guess from the log. The words of the engine can quote the whole request,
so they are logged only if the request itself is laid open there; who asked is told them in any case.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Decision, Engine, Link, Policy, Request
from exequatur_verifier.statement import Statement

from . import principals
from .approvals import approvers, usable
from .engine import Answer, PolicyEngine, Query, refuse
from .mapping import MappingError, build_query
from .modes import for_policy
from .obligations import ObligationError, Obligations, collect
from .rules import Rules

# Of the engine's words, where they are logged: enough to find the fault, and far from the limit of a statement.
_MOST_ERRORS: Final = 8
_ERROR_LENGTH: Final = 1000


class RequestMismatchError(ExequaturError):
    """The descriptor and salt that came with a request are not what it commits to."""


class InForce(NamedTuple):
    """A policy record, as logged, with the loaded set that it names by digest (``publish.load``).

    ``endorsements`` are the approvals by which further owners signed the record, as far as they count now.
    """

    statement: Statement
    engine: PolicyEngine
    rules: Rules
    endorsements: tuple[Statement, ...] = ()

    @property
    def record(self) -> Policy:
        """The policy record."""
        record = self.statement.record
        assert isinstance(record, Policy)
        return record


class Decided(NamedTuple):
    """A decision: the record, the engine's answer behind it, and what an allowed action is obliged to.

    ``given`` is how many have approved, those of the grants above included.
    """

    record: Decision
    answer: Answer
    obligations: Obligations | None
    given: int = 0


def open_request(request: Statement, salt: bytes, descriptor: Descriptor) -> Request:
    """Return the request's record if the descriptor under that salt is what it commits to.

    Raises ``MalformedError`` for another kind of statement and for a descriptor that is not one, and
    ``RequestMismatchError``.
    """
    record = request.record
    if not isinstance(record, Request):
        raise MalformedError(f"a {request.kind.value} record is no request")
    encoded = action.encode(descriptor)
    committed = action.commitment(action.ACTION_TAG, salt, encoded)
    if (descriptor["type"], committed) != record.action:
        raise RequestMismatchError("the request commits to another action than the one that came with it")
    if record.disclosed is not None and record.disclosed != (salt, encoded):
        raise RequestMismatchError("the request discloses another action than the one it commits to")
    return record


def decide(
    request: Statement,
    salt: bytes,
    descriptor: Descriptor,
    policy: InForce,
    now: int,
    approvals: Sequence[Statement] = (),
    above: Sequence[Statement] = (),
) -> Decided:
    """Return what the policy in force says of a request at ``now`` (unix seconds).

    ``salt`` and ``descriptor`` are what ``open_request`` accepted for this request. Obligations come with an allow, and
    with "needs-approval", which policies that allow turn into when they ask for approvals. ``approvals`` are what the
    log holds for this request, and ``above`` what the grants above it rest on; as many as are asked for turn that into
    an allow again. The decision links those of the request.
    """
    record = request.record
    assert isinstance(record, Request)
    answer, asked = _ask(request.claims.iss, record, descriptor, policy, now)
    obligations: Obligations | None = None
    counted = usable(request, approvals, now)
    given = len(approvers((*counted, *above)))
    if answer.allowed:
        try:
            obligations = collect(answer.determining)
        except ObligationError as error:
            answer = refuse(str(error))
    outcome: str = answer.outcome
    if obligations is not None:
        wanted = max(obligations.approvals, policy.record.approvals)
        obligations = obligations._replace(approvals=wanted)
        outcome = "allow" if given >= wanted else "needs-approval"
    decision = Decision(
        links=(
            Link("request", request.id),
            Link("policy", policy.statement.id),
            *(Link("approval", approval.id) for approval in counted),
        ),
        outcome=outcome,
        reasons=answer.policy_ids,
        errors=tuple(_plain_words(answer)) if record.disclosed is not None else (),
        engine=Engine(policy.engine.name, policy.engine.version),
        query=None if asked is None else action.commitment(action.QUERY_TAG, salt, principals.encode(asked)),
        now=now,
        code=answer.code,
    )
    return Decided(decision, answer, obligations, given)


def explain(answer: Answer) -> tuple[str, ...]:
    """Return the sentences that say why: each determining policy with its ``@doc``, then the engine's words.

    They can quote the request: they are for who asked, and for nobody's log.
    """
    policies = tuple(
        f"{policy.effect} {policy.id}: {policy.annotations.get('doc', 'no @doc explains it.')}"
        for policy in answer.determining
    )
    nothing = ("No policy permits this.",) if answer.code == "POLICY_DEFAULT_DENY" else ()
    return (*policies, *nothing, *answer.errors)


def _ask(
    requester: str, record: Request, descriptor: Descriptor, policy: InForce, now: int
) -> tuple[Answer, tuple[Query, ...] | None]:
    try:
        user = principals.user_of(record.claims)
        query = build_query(
            descriptor,
            requester=requester,
            claims=for_policy(record.claims),
            now=now,
            rules=policy.rules,
            entity_types=policy.engine.entity_types,
        )
    except MappingError as error:
        return refuse(error.detail), None
    asked = principals.queries(query, user)
    return principals.ask(policy.engine, asked), asked


def _plain_words(answer: Answer) -> Iterator[str]:
    """Yield the engine's words in ASCII, so that they are text of the profile whatever they quote."""
    for text in answer.errors[:_MOST_ERRORS]:
        yield text.encode("ascii", "backslashreplace").decode()[:_ERROR_LENGTH]
