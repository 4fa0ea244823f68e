"""Answering: the decision on a request and the artifact it leads to, signed and kept before it is sent (specs/09 §7).

The first answer to a request stands. Asked again, at another time or by another process, the answerer returns
the bytes that it kept; and what replay will need is in the content store before the decision can be in a log.
Only a request that waits for approvals is decided again, each time that it is sent; what comes of that is signed
once there are enough of them, or once policy denies it, and then stands too.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Kind, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .approvals import WAITING_S, Consents
from .artifact import make_authorization, make_claims, make_terms
from .asked import Awaited, Case
from .content import ContentStore
from .decide import Decided, InForce, decide
from .journal import Journal, Signed, Waiting
from .revoke import StatusLists


class Answer(NamedTuple):
    """What was signed for a request: the decision, and the artifact if it allows.

    ``former`` is the decision by which it waited before. ``awaited`` is what it waits for still.
    """

    decision: Statement
    artifact: Statement | None
    former: Statement | None = None
    awaited: Awaited | None = None

    @property
    def statements(self) -> list[Statement]:
        """All of them, in the order in which the log is to have them."""
        return [part for part in (self.former, self.decision, self.artifact) if part is not None]


class Answerer:
    """An authority's key and stores, the policy it decides under, and the approvals that it finds in its log."""

    def __init__(
        self,
        *,
        iss: str,
        signer: Signer,
        content: ContentStore,
        journal: Journal,
        policy: InForce,
        consents: Consents,
        status: StatusLists | None = None,
    ) -> None:
        self.iss: Final = iss
        self._status = status
        self.policy: Final = policy
        self._signer = signer
        self._content = content
        self._journal = journal
        self._consents = consents

    def answer(self, cases: Sequence[Case], now: int) -> dict[bytes, Answer]:
        """Return the signed answer to each request by its record id, all of it on the disk.

        The preimages are there before the decision that rests on them can be in the log.
        """
        answers: dict[bytes, Answer] = {}
        contents: list[bytes] = []
        first: dict[bytes, Case] = {}
        second: dict[bytes, Case] = {}
        for case in cases:
            request = case.request.id
            if request in answers:
                continue
            kept = self._kept(case, now)
            if kept is None:
                answers[request] = self._first(case, now, contents)
                first[request] = case
            elif kept.awaited is None:
                answers[request] = kept
            else:
                answers[request] = self._again(case, kept, kept.awaited, now, contents)
                if answers[request].former is not None:
                    second[request] = case
        if contents:
            self._content.put_many(contents)
        if first:
            waiting = [_waiting(awaited, now) for request in first if (awaited := answers[request].awaited) is not None]
            stand = self._journal.keep({request: _bytes_of(answers[request]) for request in first}, waiting)
            self._give_way(answers, first, stand, now)
        if second:
            stand = self._journal.settle({request: _bytes_of(answers[request]) for request in second})
            self._give_way(answers, second, stand, now)
        return answers

    def _give_way(
        self, answers: dict[bytes, Answer], cases: Mapping[bytes, Case], stand: Mapping[bytes, Signed], now: int
    ) -> None:
        """Take what stands where another process has answered meanwhile: the first answer is the one."""
        for request, case in cases.items():
            if stand[request] != _bytes_of(answers[request]):
                kept = self._kept(case, now)
                assert kept is not None
                answers[request] = kept

    def _kept(self, case: Case, now: int) -> Answer | None:
        """Return what was signed for a request before, with what it waits for unless that has taken too long."""
        request = case.request
        signed = self._journal.find(request.id)
        if signed is None:
            return None
        answer = _parse(signed)
        if answer.artifact is not None or answer.former is not None:
            return answer
        rows = self._journal.waiting(now, request.id)
        return answer._replace(awaited=_awaited(request, rows[0].wanted, 0, rows[0].expires)) if rows else answer

    def _first(self, case: Case, now: int, contents: list[bytes]) -> Answer:
        """Return the signed answer to a request; append what has to be stored for it to ``contents``."""
        asked, request, _ = case
        above = self._consents.above(request)
        decided = decide(request, asked.salt, asked.descriptor, self.policy, now, above=above)
        contents.append(action.preimage(action.ACTION_TAG, asked.salt, action.encode(asked.descriptor)))
        answer = self._sign(case, decided, now, contents)
        wanted = _wanted(decided)
        if wanted is None:
            return answer
        return answer._replace(awaited=_awaited(request, wanted, decided.given, request.claims.iat + WAITING_S))

    def _again(self, case: Case, kept: Answer, awaited: Awaited, now: int, contents: list[bytes]) -> Answer:
        """Return the second answer to a request that waited for approvals, or the first with what is still awaited."""
        asked, request, _ = case
        found = self._consents.of(request, PublicKey.from_cose(asked.runtime.key).thumbprint, now)
        above = self._consents.above(request)
        decided = decide(request, asked.salt, asked.descriptor, self.policy, now, found.counted, above)
        wanted = _wanted(decided)
        if wanted is None:
            return self._sign(case, decided, now, contents)._replace(former=kept.decision)
        if wanted != awaited.wanted:
            self._journal.want(request.id, wanted)
        still = awaited._replace(wanted=wanted, given=decided.given, passed_over=found.passed_over)
        return kept._replace(awaited=still)

    def _sign(self, case: Case, decided: Decided, now: int, contents: list[bytes]) -> Answer:
        asked, request, leaf_index = case
        claims = make_claims(Kind.DECISION, request, now, self.iss)
        decision = statement.parse(statement.sign(decided.record, claims, self._signer))
        if decided.obligations is None or decided.record.outcome != "allow":
            return Answer(decision, None)
        terms = make_terms(asked, decided.obligations)
        contents.append(action.preimage(action.TERMS_TAG, asked.salt, terms))
        status = None if self._status is None else self._status.assign(leaf_index)
        record, claims = make_authorization(
            asked,
            request,
            decision.id,
            self.policy,
            decided.obligations,
            now,
            self.iss,
            status,
            approvals=decided.approvals,
        )
        return Answer(decision, statement.parse(statement.sign(record, claims, self._signer)))


def _wanted(decided: Decided) -> int | None:
    """Return how many approvals a decision waits for; ``None`` if approvals have nothing to add to it."""
    if decided.obligations is None or decided.record.outcome != "needs-approval":
        return None
    return decided.obligations.approvals


def _awaited(request: Statement, wanted: int, given: int, expires: int) -> Awaited:
    record = request.record
    assert isinstance(record, Request)
    return Awaited(request.id, record.action.commitment, wanted, given, expires)


def _waiting(awaited: Awaited, now: int) -> Waiting:
    return Waiting(awaited.request, now, awaited.expires, awaited.wanted)


def _bytes_of(answer: Answer) -> Signed:
    artifact, former = (None if part is None else part.entry for part in (answer.artifact, answer.former))
    return Signed(answer.decision.entry, artifact, former)


def _parse(signed: Signed) -> Answer:
    decision, artifact, former = (None if part is None else statement.parse(part) for part in signed)
    assert decision is not None
    return Answer(decision, artifact, former)
