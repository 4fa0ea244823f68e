"""The authority: requests in, bundles or refusals out, and every step of it in the log (specs/09, specs/04 §4).

    1  open       the descriptor is what the request commits to, and the request is for this runtime
    2  request    is registered; by that the log has checked its signature and its key's enrolment
    3  sign       the decision and, if it allows, the artifact; both are kept in the journal before they are sent
    4  register   decision and artifact, in this order; denials too
    5  assemble   the bundle, at the head that the artifact's receipt was frozen for

A request is answered once. Whoever sends it again, after a crash or a lost answer, gets the same decision and
the same artifact: one request never yields two artifacts, each with its own uses. Nothing is random here: ids
derive from the request, and the time is given with each call.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.records import Authorization, Decision, Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .answer import Answer, Answerer
from .artifact import answers
from .asked import Asked, Case, Refused, RuntimeIdentity, open_asked
from .content import ContentStore
from .decide import InForce, decide, explain
from .issue import Assembler, Granted, Issued, beside, lists_named
from .journal import Journal
from .lists import StatusLists
from .log import Log, Refusal, Registered, Standing

__all__ = ["Asked", "Authority", "Issued", "Refused", "RuntimeIdentity"]

# More than that of one execution are somebody's noise.
_MOST_APPROVALS: Final = 256

Result = Registered | Standing | Refusal


class _Logged(NamedTuple):
    """A statement as it stands in the log, with its frozen receipt."""

    statement: Statement
    receipt: bytes


class Authority:
    """An authority with its key, log and stores, under one policy. One object serves one thread.

    Every call may raise ``LogUnavailableError`` (repeat the call: what was signed is sent again),
    ``JournalError``, ``ContentError``, ``NotProvenError`` when the log contradicts what it said before, and
    ``OSError`` from the disk or the signer. None of them leaves a second answer to a request behind.
    """

    def __init__(
        self,
        *,
        iss: str,
        signer: Signer,
        log: Log,
        content: ContentStore,
        journal: Journal,
        policy: InForce,
        status: StatusLists | None = None,
    ) -> None:
        """``status`` are the authority's status lists, ``None`` if its artifacts name none and cannot be revoked."""
        self.policy: Final = policy
        self._answerer: Final = Answerer(
            iss=iss, signer=signer, content=content, journal=journal, policy=policy, status=status
        )
        self._assembler: Final = Assembler(log, journal, status, policy.statement)
        self._key: Final = signer.public_key
        self._log = log
        self._content = content

    def authorize(
        self,
        request: bytes,
        salt: bytes,
        descriptor: Descriptor,
        facts: Mapping[str, bytes | str],
        *,
        runtime: RuntimeIdentity,
        now: int,
        ttl: int | None = None,
        uses: int | None = None,
    ) -> Issued | Refused:
        """Answer one request at ``now`` (unix seconds); the arguments are those of ``Asked``."""
        return self.authorize_many([Asked(request, salt, descriptor, facts, runtime, ttl, uses)], now=now)[0]

    def authorize_many(self, batch: Sequence[Asked], *, now: int) -> list[Issued | Refused]:
        """Answer requests, in order: one registration of all requests, and one of all their answers."""
        if self.policy.record.activation > now:
            raise ValueError("the policy of this authority is not in force yet")
        opened = [open_asked(asked) for asked in batch]
        results = self._register(case.request.entry for case in opened if isinstance(case, Case))
        cases = [self._accept(case, results) if isinstance(case, Case) else case for case in opened]
        cases = [self._consented(case) if isinstance(case, Case) else case for case in cases]
        signed = self._answerer.answer([case for case in cases if isinstance(case, Case)], now)
        # Before the artifacts, so that the heads of their receipts have the lists.
        artifacts = [answer.artifact for answer in signed.values() if answer.artifact is not None]
        self._assembler.lists(lists_named(artifacts), now)
        results = self._register(part.entry for answer in signed.values() for part in answer if part is not None)
        granted = [
            self._settle(case, signed[case.request.id], results, now) if isinstance(case, Case) else case
            for case in cases
        ]
        issued = iter(self._assembler.assemble([item for item in granted if isinstance(item, Granted)], now))
        return [next(issued) if isinstance(item, Granted) else item for item in granted]

    def _register(self, statements: Iterable[bytes]) -> dict[bytes, Result]:
        """Return the log's answer to each statement; the same bytes are sent once."""
        unique = list(dict.fromkeys(statements))
        return dict(zip(unique, self._log.register(unique), strict=True)) if unique else {}

    def _accept(self, case: Case, results: Mapping[bytes, Result]) -> Case | Refused:
        """Step 2 for one request: whether it stands in the log, by whatever signature bytes."""
        match results[case.request.entry]:
            case Refusal(code, detail):
                return Refused(code, f"the log does not register the request: {detail}")
            case Standing(index):
                return case._replace(request=self._standing(index, case.request.id), leaf_index=index)
            case Registered(index, _):
                return case._replace(leaf_index=index)

    def _consented(self, case: Case) -> Case:
        """Return a case that waits for approvals, or rests on them, with those that the log holds of it."""
        if not self._answerer.asks_consent(case.request.id):
            return case
        found = self._log.newest(Kind.APPROVAL, subject=case.request.claims.sub, most=_MOST_APPROVALS)
        return case._replace(approvals=tuple(statement.parse(item.statement) for item in found))

    def _settle(self, case: Case, signed: Answer, results: Mapping[bytes, Result], now: int) -> Granted | Refused:
        """Step 4 for one request: what its answer came to, once decision and artifact stand in the log."""
        decision = self._registered(signed.decision, results)
        if isinstance(decision, Refused):
            return decision
        if signed.artifact is None:
            return self._deny(case, signed.decision)
        logged = self._registered(signed.artifact, results)
        if isinstance(logged, Refused):
            return logged._replace(decision=signed.decision.id)
        artifact, receipt = logged
        record = artifact.record
        assert isinstance(record, Authorization)
        terms = self._content.get(record.terms)[len(action.TERMS_TAG) + action.SALT_SIZE :]
        if not answers(artifact, terms, case.asked):
            detail = "this request was answered before, for another runtime, other facts or a wider scope"
            return Refused("CONFLICT", f"{detail}; make a new request", signed.decision.id)
        if artifact.claims.exp is None or now >= artifact.claims.exp:
            detail = "this request was answered before, and its artifact has expired; make a new request"
            return Refused("EXPIRED", detail, signed.decision.id)
        return Granted(case, artifact, signed.decision.id, receipt, terms, beside(case, artifact))

    def _registered(self, sent: Statement, results: Mapping[bytes, Result]) -> _Logged | Refused:
        """Return a statement of ours as it stands in the log, or why the log refused it.

        The same record under other signature bytes stands for ours: a key with random signatures made them
        before, and the journal of that time is lost.
        """
        result = results[sent.entry]
        if isinstance(result, Standing):
            sent = self._standing(result.leaf_index, sent.id)
            statement.verify(sent, self._key)
            result = self._register([sent.entry])[sent.entry]
        match result:
            case Registered(_, receipt):
                return _Logged(sent, receipt)
            case Refusal(code, detail):
                return Refused(code, f"the log does not register the {sent.kind.value}: {detail}")
            case Standing():
                raise NotProvenError(f"{self._log.origin} refuses the very bytes that it holds of {sent.id.hex()}")

    def _standing(self, index: int, record_id: bytes) -> Statement:
        standing = statement.parse(self._log.entry(index))
        if standing.id != record_id:
            raise NotProvenError(f"entry {index} of {self._log.origin} is not the record {record_id.hex()}")
        return standing

    def _deny(self, case: Case, decision: Statement) -> Refused:
        """Return the refusal for a logged decision that allows nothing, with the sentences behind it."""
        record = decision.record
        assert isinstance(record, Decision)
        again = decide(case.request, case.asked.salt, case.asked.descriptor, self.policy, record.now)
        # Made earlier and under another policy, a decision is explained by what it names and nothing more.
        why = explain(again.answer) if again.record == record else tuple(f"policy {name}" for name in record.reasons)
        if record.outcome == "needs-approval":
            wanted = 0 if again.obligations is None else again.obligations.approvals
            detail = (
                f"policy permits this with {wanted or 'more'} approvals, and {len(case.approvals)} stand in the log"
            )
            return Refused("APPROVAL_MISSING", detail, decision.id, why, case.request.id, wanted)
        assert record.code is not None
        return Refused(record.code, _DENIED[record.code], decision.id, why)


_DENIED: Final = {
    "POLICY_FORBID": "a policy forbids this",
    "POLICY_DEFAULT_DENY": "no policy permits this",
    "POLICY_ERROR": "policy could not be evaluated for this, so nothing is allowed",
    "POLICY_NO_DECISION": "this is no valid question to the policy, so nothing is allowed",
}
