"""The gate: the one call under every seat (specs/07).

    with Gate(home, source=…, sink=…) as gate:
        decision = gate.decide(bundle, descriptor, facts)
        if decision.permit is not None:
            …                                       # only a permit starts anything

A gate arms itself: it does not exist unless its state could be opened with the runtime's own key and it has
just seen a denial, and by then the orphans of gates that died have been cleared up. Whatever goes wrong later
is a denial with a code.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from exequatur_verifier import verify
from exequatur_verifier.action import Descriptor
from exequatur_verifier.constraints import Facts
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.memory import Clock, Memory, Proof
from exequatur_verifier.records import Outcome
from exequatur_verifier.verdict import FAILED, PASSED, Code, Denial, StepResult, Verdict

from . import clock as clocks
from . import memory, reservations, spool
from .admit import OvertakenError, Permit, Presented, admit
from .flush import Flushed, Sink, flush
from .home import Home
from .records import ADMIT_STEP
from .reservations import Reservation
from .spool import Author
from .state import State, StateUnavailableError

# How often proofs are asked for again because other processes have meanwhile remembered a larger head.
_ATTEMPTS: Final = 8


class NotArmedError(ExequaturError):
    """The gate did not deny what must be denied, so it does not open."""


class ProofSource(Protocol):
    """Where consistency proofs come from that a bundle lacks: a log, its tiles, a mirror, an authority."""

    def prove(self, origin: str, size1: int, size2: int) -> Proof | None:
        """Return the proof between two sizes of a log with the roots it leads from and to; ``None`` if there is none.

        It may be wrong, for it is checked; it raises nothing because of an outage.
        """
        ...


class Decision(NamedTuple):
    """The answer of the gate. ``permit`` is there, or ``failure`` says which step denied and why.

    ``record`` is the id of the verification record, or of the denial's, ``None`` where that was only counted
    or could not be written. ``subject`` is the URN that groups the records of this case.
    """

    verdict: Verdict | None
    failure: StepResult | None
    permit: Permit | None
    record: bytes | None
    subject: str | None

    def __bool__(self) -> bool:
        """Refuse: a decision is an object whatever it says."""
        raise TypeError("a decision has no truth value; ask whether it holds a permit")


class Gate:
    """An armed gate. It belongs to one thread; close it, or use it as a context manager."""

    def __init__(
        self,
        home: Home,
        *,
        source: ProofSource | None = None,
        sink: Sink | None = None,
        clock: Callable[[], Clock] = clocks.read,
        logged_seq: int = 0,
    ) -> None:
        """Open the home's state, test, and clear up; raise ``StateUnavailableError`` or ``NotArmedError``.

        ``logged_seq`` is the number of the last record of this runtime's key in a log, where the caller can
        tell: a state that is behind it is an old copy.
        """
        self.home: Final = home
        self.trust: Final = home.trust
        self.author: Final = Author(home.trust.runtime.id, home.signer)
        self.clock: Final = clock
        self._source: Final = source
        self._sink: Final = sink
        self.state: Final = State.open(home.state_path, home.trust.runtime.key.thumbprint)
        try:
            self.state.check_not_behind(logged_seq)
            self._test()
            self.orphaned: Final = reservations.recover(self.state, self.author, clock().unix)
        except BaseException:
            self.state.close()
            raise

    def __enter__(self) -> Self:
        """Return the gate, which is armed already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gate."""
        self.close()

    def close(self) -> None:
        """Close the state. Permits that are still out become orphans when they are closed."""
        self.state.close()

    def decide(self, bundle: bytes | None, action: Descriptor, facts: Facts, unmeasured: str | None = None) -> Decision:
        """Verify a bundle for the action about to run and, if nothing is against it, admit it.

        It never raises because of what is presented or of the state: that is a denial. ``action`` and
        ``facts`` are measured by the seat; ``unmeasured`` says why they could not be, which denies.
        """
        try:
            return self._decide(Presented(bundle, action, facts), unmeasured)
        except (StateUnavailableError, OSError) as error:
            return _unrecorded(Code.STATE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - the outermost edge: whatever was not foreseen is a denial
            return _unrecorded(Code.INTERNAL_ERROR, f"{type(error).__name__} while admitting; please report it")

    def flush(self) -> Flushed:
        """Send what waits in the spool to the sink, in order; raise ``StateUnavailableError``."""
        return flush(self.state, self.author, self._sink, self.clock().unix)

    def settle(self, reservation: Reservation, outcome: Outcome) -> bytes:
        """Record the outcome of a reservation that was taken from a permit, and return the record's id."""
        return reservations.settle(self.state, self.author, reservation, outcome, self.clock().unix)

    def _decide(self, presented: Presented, unmeasured: str | None) -> Decision:
        now = self.clock()

        def judge(known: Memory, proofs: tuple[Proof, ...]) -> Verdict:
            return verify(presented.bundle, presented.action, presented.facts, self.trust, known, proofs, now)

        verdict = self._judge_with_proofs(judge)
        for _ in range(_ATTEMPTS):
            failure = self._failure(verdict, unmeasured)
            if failure is not None:
                return self._deny(verdict, failure, now)
            try:
                admission = admit(self.state, self.author, presented, verdict, judge)
            except OvertakenError as overtaken:
                verdict = overtaken.verdict
                if verdict.code is Code.CONSISTENCY_MISSING:
                    verdict = self._judge_with_proofs(judge)
            except Denial as denial:
                result = StepResult(ADMIT_STEP, "admit", FAILED, denial.detail, denial.code)
                return self._deny(verdict, result, now)
            else:
                permit, verdict, record, subject = admission
                return Decision(verdict, None, permit, record, subject)
        busy = "other processes kept changing the memory; try again"
        return self._deny(verdict, StepResult(ADMIT_STEP, "admit", FAILED, busy, Code.STATE_UNAVAILABLE), now)

    def _judge_with_proofs(self, judge: Callable[[Memory, tuple[Proof, ...]], Verdict]) -> Verdict:
        """Return a verdict, having asked the source for the proofs that the bundle and the state lack."""
        known, proofs = self.state.recall()
        verdict = judge(known, proofs)
        if verdict.code is not Code.CONSISTENCY_MISSING or self._source is None:
            return verdict
        for head in verdict.learned.heads:
            other = known.heads.get(head.origin)
            if other is not None and other.size != head.size:
                proof = self._source.prove(head.origin, *sorted((other.size, head.size)))
                proofs += () if proof is None else (proof,)
        return judge(known, proofs)

    def _failure(self, verdict: Verdict, unmeasured: str | None) -> StepResult | None:
        """Return what denies, be it the verdict or what the kernel cannot know."""
        failure = verdict.failure
        # Of an action that could not be measured, steps 9 and 10 say nothing; those before them do.
        if unmeasured is not None and (failure is None or failure.number >= 9):
            return StepResult(10, "facts", FAILED, unmeasured, Code.FACT_MISMATCH)
        if failure is None and self.trust.enforcement.protected_home:
            detail = "trust asks for a home out of the governed process's reach, which this build does not give"
            return StepResult(10, "facts", FAILED, detail, Code.ENFORCEMENT_UNAVAILABLE)
        return failure

    def _deny(self, verdict: Verdict, failure: StepResult, now: Clock) -> Decision:
        """Record a denial, and keep the evidence against a log if there is any."""
        artifact = verdict.statement
        passed = {step.number for step in verdict.steps if step.status == PASSED}
        # A link leads to a record of the log that this one goes to; one in a history that was not proven to
        # continue ours may be in no log at all, and gets no say in which case this belongs to.
        is_logged = artifact is not None and passed >= {4, 6}
        record = None
        subject = artifact.claims.sub if artifact is not None and is_logged else None
        try:
            with self.state.transaction() as transaction:
                if verdict.evidence is not None:
                    memory.remember_fork(transaction, verdict.evidence)
                artifact_id = None if artifact is None else artifact.id
                subject, record = spool.append_denial(transaction, self.author, failure, artifact_id, subject, now.unix)
        except (StateUnavailableError, OSError) as error:
            # The denial stands; that it left no record is said where it is read.
            failure = failure._replace(detail=f"{failure.detail} (not recorded: {error})")
        return Decision(verdict, failure, None, record, subject)

    def _test(self) -> None:
        """See a denial, of nothing at all, and see that nobody is admitted on it."""
        known, proofs = self.state.recall()
        nothing = Presented(None, {}, Facts())
        verdict = verify(None, {}, Facts(), self.trust, known, proofs, self.clock())
        if verdict.code is Code.ARTIFACT_MISSING:
            try:
                admit(self.state, self.author, nothing, verdict, lambda *_: verdict)
            except ValueError:
                return
        raise NotArmedError("this gate has not denied an action without a bundle; it admits nothing")


def _unrecorded(code: Code, detail: str) -> Decision:
    return Decision(None, StepResult(ADMIT_STEP, "admit", FAILED, detail, code), None, None, None)
