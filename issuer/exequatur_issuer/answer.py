"""Answering: the decision on a request and the artifact it leads to, signed and kept before it is sent (specs/09 §7).

The first answer to a request stands. Asked again, at another time or by another process, the answerer returns
the bytes that it kept; and what replay will need is in the content store before the decision can be in a log.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.records import Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .artifact import make_authorization, make_claims, make_terms
from .asked import Case
from .content import ContentStore
from .decide import InForce, decide
from .journal import Journal, Signed
from .revoke import StatusLists


class Answer(NamedTuple):
    """What was signed for a request: the decision, and the artifact if it allows."""

    decision: Statement
    artifact: Statement | None


class Answerer:
    """An authority's key and stores, and the policy it decides under."""

    def __init__(
        self,
        *,
        iss: str,
        signer: Signer,
        content: ContentStore,
        journal: Journal,
        policy: InForce,
        status: StatusLists | None = None,
    ) -> None:
        self.iss: Final = iss
        self._status = status
        self.policy: Final = policy
        self._signer = signer
        self._content = content
        self._journal = journal

    def answer(self, cases: Sequence[Case], now: int) -> dict[bytes, Answer]:
        """Return the signed answer to each request by its record id, all of it on the disk.

        The preimages are there before the decision that rests on them can be in the log.
        """
        answers = {case.request.id: self._answered(case.request.id) for case in cases}
        contents: list[bytes] = []
        fresh: dict[bytes, Answer] = {}
        for case in cases:
            if answers[case.request.id] is None and case.request.id not in fresh:
                fresh[case.request.id] = self._decide(case, now, contents)
        if fresh:
            self._content.put_many(contents)
            kept = self._journal.keep({request: _bytes_of(answer) for request, answer in fresh.items()})
            for request, answer in fresh.items():
                # Another process may have answered meanwhile; the first answer stands.
                answers[request] = answer if kept[request] == _bytes_of(answer) else _parse(kept[request])
        return {request: answer for request, answer in answers.items() if answer is not None}

    def _answered(self, request: bytes) -> Answer | None:
        signed = self._journal.find(request)
        return None if signed is None else _parse(signed)

    def _decide(self, case: Case, now: int, contents: list[bytes]) -> Answer:
        """Return the signed answer to a request; append what has to be stored for it to ``contents``."""
        asked, request, leaf_index = case
        decided = decide(request, asked.salt, asked.descriptor, self.policy, now)
        claims = make_claims(Kind.DECISION, request, now, self.iss)
        decision = statement.parse(statement.sign(decided.record, claims, self._signer))
        contents.append(action.preimage(action.ACTION_TAG, asked.salt, action.encode(asked.descriptor)))
        if decided.obligations is None or decided.record.outcome != "allow":
            return Answer(decision, None)
        terms = make_terms(asked, decided.obligations)
        contents.append(action.preimage(action.TERMS_TAG, asked.salt, terms))
        status = None if self._status is None else self._status.assign(leaf_index)
        record, claims = make_authorization(
            asked, request, decision.id, self.policy, decided.obligations, now, self.iss, status
        )
        return Answer(decision, statement.parse(statement.sign(record, claims, self._signer)))


def _bytes_of(answer: Answer) -> Signed:
    return Signed(answer.decision.entry, None if answer.artifact is None else answer.artifact.entry)


def _parse(signed: Signed) -> Answer:
    artifact = None if signed.artifact is None else statement.parse(signed.artifact)
    return Answer(statement.parse(signed.decision), artifact)
