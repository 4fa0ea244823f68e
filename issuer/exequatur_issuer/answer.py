"""Answering: the decision on a request and the artifact it leads to, signed and kept before it is sent (specs/09 §7).

The first answer to a request stands, but for one that waits for approvals: once they have come, it is decided again.
What waits is what policy permits with approvals, and what it denies and a mode permits with them. Asked again, at
another time or by another process, the answerer returns the bytes that it kept; and what replay will need is in the
content store before the decision can be in a log.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Decision, Kind, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .approvals import WAITING_S, Concerned, fault
from .artifact import make_authorization, make_claims, make_terms, narrow
from .asked import Case
from .content import ContentStore
from .decide import Decided, InForce, decide
from .journal import Journal, Signed
from .lists import StatusLists
from .modes import ENFORCE, NO_MODES, Modes, is_open, is_spoken, mode_of, permitted
from .obligations import Obligations


class Answer(NamedTuple):
    """What was signed for a request: the decision, and the artifact if it allows."""

    decision: Statement
    artifact: Statement | None


class Sought(NamedTuple):
    """What a decision comes to: the ceiling of an artifact, and its mode, or how many approvals that wants."""

    ceiling: Obligations
    mode: str
    wanted: int
    given: int

    @property
    def is_met(self) -> bool:
        """Whether there are enough approvals."""
        return self.given >= self.wanted


class Settled(NamedTuple):
    """A decision before it is signed: the approvals behind it, what it comes to, and why other approvals do not count.

    ``sought`` is ``None`` where it comes to nothing.
    """

    decided: Decided
    approvals: tuple[Statement, ...]
    sought: Sought | None
    passed_over: tuple[str, ...]


class Answerer:
    """An authority's key and stores, the policy it decides under, and the modes that its settings permit.

    ``approvers`` are the keys of those whose approvals count, ``None`` for whoever the log lets approve.
    """

    def __init__(
        self,
        *,
        iss: str,
        signer: Signer,
        content: ContentStore,
        journal: Journal,
        policy: InForce,
        status: StatusLists | None = None,
        approvers: frozenset[bytes] | None = None,
        modes: Modes = NO_MODES,
    ) -> None:
        self.iss: Final = iss
        self.modes: Final = modes
        self._approvers = approvers
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
                fresh[name] = self._sign(case, self.decide(case, now), now, contents)
            elif self.waits(case.request, standing, now):
                settled = self.decide(case, now)
                # Approvals that do not suffice change nothing, and nothing is signed for them.
                if settled.sought is None or settled.sought.is_met:
                    fresh[name], former[name] = self._sign(case, settled, now, contents), _bytes_of(standing)
        if fresh:
            self._content.put_many(contents)
            kept = self._journal.keep({request: _bytes_of(answer) for request, answer in fresh.items()}, former)
            for request, answer in fresh.items():
                # Another process may have answered meanwhile; the first answer stands.
                answers[request] = answer if kept[request] == _bytes_of(answer) else _parse(kept[request])
        return {request: answer for request, answer in answers.items() if answer is not None}

    def waits(self, request: Statement, standing: Answer, now: int) -> bool:
        """Say whether the answer that stands for a request waits for approvals, and has not waited for too long."""
        return self._is_pending(request, standing) and now < request.claims.iat + WAITING_S

    def asks_consent(self, request: Statement) -> bool:
        """Say whether the answer that stands for a request waits for approvals, or rests on them."""
        standing = self._answered(request.id)
        if standing is None:
            return False
        rests = any(link.relation == "approval" for link in standing.decision.record.links)
        return rests or self._is_pending(request, standing)

    def decide(self, case: Case, now: int) -> Settled:
        """Return what is decided on a case now, with the approvals that it comes with. Nothing is signed or kept."""
        concerned = Concerned(
            frozenset((self._key, PublicKey.from_cose(case.holder).thumbprint)), frozenset((self.iss,)), self._approvers
        )
        faults = {item.id: fault(case.request, item, now, concerned) for item in case.approvals}
        given = [item for item in case.approvals if faults[item.id] is None]
        asked = case.asked
        decided = decide(case.request, asked.salt, asked.descriptor, self.policy, now, given, case.above)
        linked = {link.id for link in decided.record.links if link.relation == "approval"}
        passed_over = tuple(
            f"the approval by {item.claims.iss} does not count: {faults[item.id]}"
            for item in case.approvals
            if faults[item.id] is not None
        )
        approvals = tuple(item for item in given if item.id in linked)
        return Settled(decided, approvals, self._sought(case, decided), passed_over)

    def _sought(self, case: Case, decided: Decided) -> Sought | None:
        """Return what a decision comes to, ``None`` for a denial. A mode counts only where policy does not allow."""
        obligations, mode = decided.obligations, permitted(case.record, self.modes)
        if mode is None or not is_spoken(decided.record):
            return None if obligations is None else Sought(obligations, ENFORCE, obligations.approvals, decided.given)
        # Every artifact under a policy record needs what that demands; what a permit obliges to holds in a mode too.
        wanted = max(mode.approvals, self.policy.record.approvals)
        obliged = obligations or Obligations()
        ttl = mode.ttl if obliged.ttl is None else min(mode.ttl, obliged.ttl)
        ceiling = obliged._replace(ttl=ttl, uses=1, approvals=wanted)
        return Sought(ceiling, mode_of(case.record), wanted, decided.given)

    def _is_pending(self, request: Statement, answer: Answer) -> bool:
        record, asked = answer.decision.record, request.record
        assert isinstance(record, Decision)
        assert isinstance(asked, Request)
        return answer.artifact is None and is_open(asked, record, self.modes)

    def _answered(self, request: bytes) -> Answer | None:
        signed = self._journal.find(request)
        return None if signed is None else _parse(signed)

    def _sign(self, case: Case, settled: Settled, now: int, contents: list[bytes]) -> Answer:
        """Return the signed answer to a request; append what has to be stored for it to ``contents``."""
        asked, request, sought = case.asked, case.request, settled.sought
        claims = make_claims(Kind.DECISION, request, now, self.iss)
        decision = statement.parse(statement.sign(settled.decided.record, claims, self._signer))
        contents.append(action.preimage(action.ACTION_TAG, asked.salt, action.encode(asked.descriptor)))
        if sought is None or not sought.is_met:
            return Answer(decision, None)
        ceiling = narrow(case, sought.ceiling, now)
        contents.append(action.preimage(action.TERMS_TAG, asked.salt, make_terms(asked, ceiling)))
        status = None if self._status is None else self._status.assign(case.leaf_index)
        record, claims = make_authorization(
            asked,
            request,
            decision.id,
            self.policy,
            ceiling,
            settled.approvals,
            now,
            self.iss,
            status,
            mode=sought.mode,
        )
        return Answer(decision, statement.parse(statement.sign(record, claims, self._signer)))


def _bytes_of(answer: Answer) -> Signed:
    return Signed(answer.decision.entry, None if answer.artifact is None else answer.artifact.entry)


def _parse(signed: Signed) -> Answer:
    artifact = None if signed.artifact is None else statement.parse(signed.artifact)
    return Answer(statement.parse(signed.decision), artifact)
