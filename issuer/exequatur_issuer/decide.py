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


class Inputs(NamedTuple):
    """All that a decision follows from.

    ``salt`` and ``descriptor`` are what ``open_request`` accepted for the request. ``approvals`` are what the log holds
    for it, and ``above`` what the grants above it rest on.
    """

    request: Statement
    salt: bytes
    descriptor: Descriptor
    policy: InForce
    now: int
    approvals: Sequence[Statement] = ()
    above: Sequence[Statement] = ()

    @property
    def record(self) -> Request:
        """The record of the request."""
        record = self.request.record
        assert isinstance(record, Request)
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
    """Return what the policy in force says of a request at ``now`` (unix seconds), as ``decide_many`` does."""
    case = Inputs(request, salt, descriptor, policy, now, approvals, above)
    question = _question(case)
    answer = question if isinstance(question, Answer) else principals.ask(policy.engine, question)
    return _conclude(case, question, answer)


def decide_many(cases: Sequence[Inputs]) -> list[Decided]:
    """Return for each case what its policy says; all that is asked of one set is put to its engine together.

    Obligations come with an allow, and with "needs-approval", which policies that allow turn into when they ask for
    approvals. As many as are asked for turn that into an allow again. The decision links those of the request.
    """
    questions = [_question(case) for case in cases]
    answers = _answers(cases, questions)
    return list(map(_conclude, cases, questions, answers))


def _conclude(case: Inputs, question: tuple[Query, ...] | Answer, answer: Answer) -> Decided:
    obligations: Obligations | None = None
    counted = usable(case.request, case.approvals, case.now) if case.approvals else ()
    given = len(approvers((*counted, *case.above)))
    if answer.allowed:
        try:
            obligations = collect(answer.determining)
        except ObligationError as error:
            answer = refuse(str(error))
    outcome: str = answer.outcome
    if obligations is not None:
        wanted = max(obligations.approvals, case.policy.record.approvals)
        if wanted > obligations.approvals:
            obligations = obligations._replace(approvals=wanted)
        outcome = "allow" if given >= wanted else "needs-approval"
    asked = None if isinstance(question, Answer) else principals.encode(question)
    decision = Decision(
        links=(
            Link("request", case.request.id),
            Link("policy", case.policy.statement.id),
            *(Link("approval", approval.id) for approval in counted),
        ),
        outcome=outcome,
        reasons=answer.policy_ids,
        errors=tuple(_plain_words(answer)) if case.record.disclosed is not None else (),
        engine=Engine(case.policy.engine.name, case.policy.engine.version),
        query=None if asked is None else action.commitment(action.QUERY_TAG, case.salt, asked),
        now=case.now,
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


def _question(case: Inputs) -> tuple[Query, ...] | Answer:
    """Return what the engine is to be asked, or the denial of a request that there is no question for."""
    claims = case.record.claims
    try:
        user = principals.user_of(claims)
        query = build_query(
            case.descriptor,
            requester=case.request.claims.iss,
            claims=for_policy(claims),
            now=case.now,
            rules=case.policy.rules,
            entity_types=case.policy.engine.entity_types,
        )
    except MappingError as error:
        return refuse(error.detail)
    return principals.queries(query, user)


def _answers(cases: Sequence[Inputs], questions: Sequence[tuple[Query, ...] | Answer]) -> list[Answer]:
    answers: dict[int, Answer] = {}
    asked: dict[int, dict[int, tuple[Query, ...]]] = {}
    for number, question in enumerate(questions):
        if isinstance(question, Answer):
            answers[number] = question
        else:
            asked.setdefault(id(cases[number].policy.engine), {})[number] = question
    for alike in asked.values():
        engine = cases[next(iter(alike))].policy.engine
        answers |= zip(alike, principals.ask_many(engine, list(alike.values())), strict=True)
    return [answers[number] for number in range(len(cases))]


def _plain_words(answer: Answer) -> Iterator[str]:
    """Yield the engine's words in ASCII, so that they are text of the profile whatever they quote."""
    for text in answer.errors[:_MOST_ERRORS]:
        yield text.encode("ascii", "backslashreplace").decode()[:_ERROR_LENGTH]
