"""Answering: the decision on a request and the artifact it leads to, signed and kept before it is sent (specs/09 §7).

The first answer to a request stands, but for one that waits for approvals: once they have come, it is decided again.
Asked again, at another time or by another process, the answerer returns the bytes that it kept; and what replay will
need is in the content store before the decision can be in a log.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.records import Decision, Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .artifact import make_authorization, make_claims, make_terms
from .asked import Case
from .content import ContentStore
from .decide import InForce, decide
from .journal import Journal, Signed
from .lists import StatusLists


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
        self._key = signer.public_key.thumbprint
        self._content = content
        self._journal = journal

    def answer(self, cases: Sequence[Case], now: int) -> dict[bytes, Answer]:
        """Return the signed answer to each request by its record id, all of it on the disk.

        The preimages are there before the decision that rests on them can be in the log.
        """
        answers = {case.request.id: self._answered(case.request.id) for case in cases}
        contents: list[bytes] = []
        fresh: dict[bytes, Answer] = {}
        former: dict[bytes, Signed] = {}
        for case in cases:
            name, standing = case.request.id, answers[case.request.id]
            if name in fresh:
                continue
            if standing is None:
                fresh[name] = self._decide(case, now, contents)
            elif is_pending(standing) and case.approvals:
                again = self._decide(case, now, contents)
                # Approvals that do not suffice change nothing.
                if not is_pending(again):
                    fresh[name], former[name] = again, _bytes_of(standing)
        if fresh:
            self._content.put_many(contents)
            kept = self._journal.keep({request: _bytes_of(answer) for request, answer in fresh.items()}, former)
            for request, answer in fresh.items():
                # Another process may have answered meanwhile; the first answer stands.
                answers[request] = answer if kept[request] == _bytes_of(answer) else _parse(kept[request])
        return {request: answer for request, answer in answers.items() if answer is not None}

    def asks_consent(self, request: bytes) -> bool:
        """Say whether the answer that stands for a request waits for approvals, or rests on them."""
        standing = self._answered(request)
        if standing is None:
            return False
        rests = any(link.relation == "approval" for link in standing.decision.record.links)
        return rests or is_pending(standing)

    def _answered(self, request: bytes) -> Answer | None:
        signed = self._journal.find(request)
        return None if signed is None else _parse(signed)

    def _decide(self, case: Case, now: int, contents: list[bytes]) -> Answer:
        """Return the signed answer to a request; append what has to be stored for it to ``contents``."""
        asked, request, leaf_index, approvals = case
        # An authority's own consent to what it decides counts for nothing.
        others = [item for item in approvals if item.key_id != self._key and item.claims.iss != self.iss]
        decided = decide(request, asked.salt, asked.descriptor, self.policy, now, others)
        claims = make_claims(Kind.DECISION, request, now, self.iss)
        decision = statement.parse(statement.sign(decided.record, claims, self._signer))
        contents.append(action.preimage(action.ACTION_TAG, asked.salt, action.encode(asked.descriptor)))
        if decided.obligations is None or decided.record.outcome != "allow":
            return Answer(decision, None)
        terms = make_terms(asked, decided.obligations)
        contents.append(action.preimage(action.TERMS_TAG, asked.salt, terms))
        linked = {link.id for link in decided.record.links if link.relation == "approval"}
        given = [item for item in others if item.id in linked]
        status = None if self._status is None else self._status.assign(leaf_index)
        record, claims = make_authorization(
            asked, request, decision.id, self.policy, decided.obligations, given, now, self.iss, status
        )
        return Answer(decision, statement.parse(statement.sign(record, claims, self._signer)))


def is_pending(answer: Answer) -> bool:
    """Say whether an answer waits for approvals."""
    record = answer.decision.record
    return isinstance(record, Decision) and record.outcome == "needs-approval"


def _bytes_of(answer: Answer) -> Signed:
    return Signed(answer.decision.entry, None if answer.artifact is None else answer.artifact.entry)


def _parse(signed: Signed) -> Answer:
    artifact = None if signed.artifact is None else statement.parse(signed.artifact)
    return Answer(statement.parse(signed.decision), artifact)
