"""The authority: requests in, bundles or refusals out, and every step of it in the log (specs/09, specs/04 §4).

    1  open       the descriptor is what the request commits to, and the request is for this runtime
    2  request    is registered; by that the log has checked its signature and its key's enrolment
    3  sign       the decision and, if it allows, the artifact; both are kept in the journal before they are sent
    4  register   decision and artifact, in this order; denials too
    5  assemble   the bundle, at the head that the artifact's receipt was frozen for

A request is answered once. Whoever sends it again, after a crash or a lost answer, gets the same decision and
the same artifact: one request never yields two artifacts, each with its own uses. Only one that waits for
approvals is decided again, when it is sent again after them. Nothing is random here: ids derive from the
request, and the time is given with each call.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.records import Authorization, Decision, Enforcement, Kind, Link
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from . import approvals, grants
from .answer import Answer, Answerer
from .artifact import answers
from .asked import Asked, Case, Refused, RuntimeIdentity, open_asked
from .content import ContentError, ContentStore
from .decide import InForce, decide, explain
from .grants import GrantError
from .issue import Assembler, Granted, Issued, beside, lists_named
from .journal import Journal
from .lists import StatusLists
from .log import Log, Refusal, Registered, Standing
from .modes import BREAK_GLASS, ENFORCE, NO_MODES, Modes, mode_of, reason_of
from .reports import Reports

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
        approvers: frozenset[bytes] | None = None,
        modes: Modes = NO_MODES,
    ) -> None:
        """``status`` are the authority's status lists, ``None`` if its artifacts name none and cannot be revoked.

        ``approvers`` are the thumbprints of the keys whose approvals count, ``None`` for whoever the log lets approve;
        what a runtime trusts is for that to check. ``modes`` are those that requests may ask for.
        """
        self.policy: Final = policy
        self._answerer: Final = Answerer(
            iss=iss,
            signer=signer,
            content=content,
            journal=journal,
            policy=policy,
            status=status,
            approvers=approvers,
            modes=modes,
        )
        self._reports: Final = Reports(iss=iss, signer=signer, journal=journal, log=log)
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
        opened = [self.open(asked, now) for asked in batch]
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

    def open(self, asked: Asked, now: int) -> Case | Refused:
        """Step 1 for one request, with the grants above it, if it is delegated. Nothing is signed or logged."""
        case = open_asked(asked, self._answerer.modes)
        if isinstance(case, Refused) or not case.record.links:
            return case
        try:
            above = grants.open_chain(case.request, self._find, self._content, now)
            facts = grants.facts_below(above[0], asked.facts)
            grants.check_below(above[0], asked.descriptor, facts)
        except (GrantError, ContentError) as error:
            return Refused("DELEGATION_INVALID", str(error))
        return case._replace(
            asked=asked._replace(facts=facts), grants=above, above=approvals.above(case.request, self._find)
        )

    def _find(self, record_id: bytes) -> bytes | None:
        index = self._log.find(record_id)
        return None if index is None else self._log.entry(index)

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
        if not self._answerer.asks_consent(case.request):
            return case
        found = self._log.newest(Kind.APPROVAL, subject=case.request.claims.sub, most=_MOST_APPROVALS)
        return case._replace(approvals=tuple(statement.parse(item.statement) for item in found))

    def _settle(self, case: Case, signed: Answer, results: Mapping[bytes, Result], now: int) -> Granted | Refused:
        """Step 4 for one request: what its answer came to, once decision and artifact stand in the log."""
        decision = self._registered(signed.decision, results)
        if isinstance(decision, Refused):
            return decision
        if signed.artifact is None:
            return self._deny(case, signed, now)
        logged = self._registered(signed.artifact, results)
        if isinstance(logged, Refused):
            return logged._replace(decision=signed.decision.id)
        artifact, receipt = logged
        record = artifact.record
        assert isinstance(record, Authorization)
        terms = self._content.get(record.terms)[len(action.TERMS_TAG) + action.SALT_SIZE :]
        if not answers(artifact, terms, case):
            detail = "this request was answered before, for another runtime, other facts or a wider scope"
            return Refused("CONFLICT", f"{detail}; make a new request", signed.decision.id)
        if artifact.claims.exp is None or now >= artifact.claims.exp:
            detail = "this request was answered before, and its artifact has expired; make a new request"
            return Refused("EXPIRED", detail, signed.decision.id)
        if record.mode == BREAK_GLASS:
            self._report(case, signed.decision, artifact, now)
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

    def _report(self, case: Case, decision: Statement, artifact: Statement, now: int) -> None:
        """Have the use of break-glass reported, once for each artifact, before it is given out."""
        cause = Link("cause", artifact.id)
        self._reports.send()
        if any(cause in report.links for report in self._reports.about(case.request.claims.sub)):
            return
        record = decision.record
        assert isinstance(record, Decision)
        code = record.code or "APPROVAL_MISSING"
        report = Enforcement((cause,), 0, None, BREAK_GLASS, code, detail=reason_of(case.record))
        self._reports.keep(report, case.request.claims.sub, now)
        self._reports.send()

    def _deny(self, case: Case, signed: Answer, now: int) -> Refused:
        """Return the refusal for a logged decision that allows nothing, with the sentences behind it."""
        decision = signed.decision
        record = decision.record
        assert isinstance(record, Decision)
        linked = {link.id for link in record.links if link.relation == "approval"}
        behind = [item for item in case.approvals if item.id in linked]
        asked = case.asked
        again = decide(case.request, asked.salt, asked.descriptor, self.policy, record.now, behind, case.above)
        # Made earlier and under another policy, a decision is explained by what it names and nothing more.
        why = explain(again.answer) if again.record == record else tuple(f"policy {name}" for name in record.reasons)
        if self._answerer.waits(case.request, signed, now):
            return self._missing(case, decision, why, now)
        if record.outcome == "needs-approval":
            detail = "this request has waited for approvals for too long; make a new request"
            return Refused("EXPIRED", detail, decision.id, why)
        assert record.code is not None
        return Refused(record.code, _DENIED[record.code], decision.id, why)

    def _missing(self, case: Case, decision: Statement, why: tuple[str, ...], now: int) -> Refused:
        """Return the refusal for want of approvals: how many there are, and how many it takes."""
        _, _, sought, passed_over = self._answerer.decide(case, now)
        wanted, given = (1, 0) if sought is None else (sought.wanted, sought.given)
        # A mode is asked for where policy denies.
        what = "policy permits this" if mode_of(case.record) == ENFORCE else f"mode {mode_of(case.record)} is possible"
        detail = f"{what} with {wanted} approvals, and {given} of them are there"
        return Refused("APPROVAL_MISSING", detail, decision.id, (*why, *passed_over), case.request.id, wanted)


_DENIED: Final = {
    "POLICY_FORBID": "a policy forbids this",
    "POLICY_DEFAULT_DENY": "no policy permits this",
    "POLICY_ERROR": "policy could not be evaluated for this, so nothing is allowed",
    "POLICY_NO_DECISION": "this is no valid question to the policy, so nothing is allowed",
}
