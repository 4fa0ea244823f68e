"""Who is asked about: the requester, and the user on whose behalf it asks, both of whom must be allowed (specs/12 §5).

A request whose claims name a ``user`` is put to the engine twice, with everything but the principal the same:

    Requester::iss     the agent, by the name that its key is enrolled for
    User::user         the person behind it

Only if both are allowed is the request, so neither lends the other what it may not do itself. The obligations of
all permits hold. A name in the claims gains nothing by itself, since it can only forbid; that it is the right one
is for whoever takes the request in to see to.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exequatur_verifier import cbor

from .engine import Answer, Entity, PolicyEngine, Query
from .mapping import MappingError

USER: Final = "user"
_ONLY_THE_USER: Final = "the requester is allowed this, and its user is not"


def user_of(claims: Mapping[str, Any]) -> str | None:
    """Return the user whom the claims of a request name. Raises ``MappingError`` for one that is not a name."""
    user = claims.get(USER)
    if user is None:
        return None
    if not isinstance(user, str) or not user:
        raise MappingError("the user in the claims is not a name")
    return user


def queries(query: Query, user: str | None) -> tuple[Query, ...]:
    """Return what is to be asked: ``query``, and the same about the user, if there is one."""
    return (query,) if user is None else (query, query._replace(principal=Entity("User", user)))


def encode(asked: tuple[Query, ...]) -> bytes:
    """Return the encoding of what was asked, whose salted digest a decision record carries."""
    return asked[0].encode() if len(asked) == 1 else cbor.encode([query.encode() for query in asked])


def ask(engine: PolicyEngine, asked: tuple[Query, ...]) -> Answer:
    """Return the answer to all queries of a question together: an allow if each is allowed, else their denials."""
    return _together(engine, [engine.decide(query) for query in asked])


def ask_many(engine: PolicyEngine, questions: Sequence[tuple[Query, ...]]) -> list[Answer]:
    """Return the answer to each question."""
    answers = iter(engine.decide_many([query for asked in questions for query in asked]))
    return [_together(engine, [next(answers) for _ in asked]) for asked in questions]


def _together(engine: PolicyEngine, answers: Sequence[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    denials = [answer for answer in answers if not answer.allowed]
    found = {policy.id for answer in denials or answers for policy in answer.determining}
    determining = tuple(policy for policy in engine.policies if policy.id in found)
    if not denials:
        return Answer("allow", None, determining, ())
    # A forbid is the stronger word, whomever it is about.
    denials.sort(key=lambda answer: answer.code != "POLICY_FORBID")
    errors = tuple(dict.fromkeys(error for answer in denials for error in answer.errors))
    more = (_ONLY_THE_USER,) if answers[0].allowed else ()
    return Answer("deny", denials[0].code, determining, (*errors, *more))
