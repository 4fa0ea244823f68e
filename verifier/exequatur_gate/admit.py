"""Admission: step 15 of the procedure, the only one that changes anything (specs/07 §3).

One transaction takes a use, signs the verification record, enters the reservation and remembers what was
learned, or does none of it. What it returns is a ``Permit``, which starts one execution, once. There is no
other way to one.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from exequatur_verifier import action, constraints
from exequatur_verifier import bundle as bundles
from exequatur_verifier.action import Descriptor
from exequatur_verifier.constraints import Facts, Terms
from exequatur_verifier.memory import Memory, Proof
from exequatur_verifier.records import Authorization
from exequatur_verifier.verdict import Code, Denial, Verdict

from . import memory, records, reservations, spool
from .limits import enforcement
from .locks import Lock
from .reservations import Reservation
from .spool import Author
from .state import State

Again = Callable[[Memory, tuple[Proof, ...]], Verdict]

_BY_ADMIT: Final = object()


class PermitUsedError(RuntimeError):
    """A permit starts one execution. Whoever wants another asks the gate again."""


class OvertakenError(Exception):
    """Memory has changed since the verdict, and under the new one the artifact is denied: ``verdict`` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("denied when verified again")
        self.verdict = verdict


class Presented(NamedTuple):
    """What was presented for admission: the bundle's bytes, the action that is about to run, what was measured."""

    bundle: bytes | None
    action: Descriptor
    facts: Facts


class Permit:
    """The right to start one execution, exactly as presented. ``take`` gives it up; ``close`` lets its lock go.

    While the lock is held its reservation is nobody's orphan, so it is closed only after the outcome.
    """

    def __init__(
        self, made_by: object, presented: Presented, salt: bytes, terms: Terms, reservation: Reservation, lock: Lock
    ) -> None:
        """For ``admit`` only."""
        if made_by is not _BY_ADMIT:
            raise TypeError("only admission makes a permit")
        self.presented: Final = presented
        # The bytes that were compared with the commitment; the descriptor itself is the caller's to change.
        self.encoded: Final = action.encode(presented.action)
        self.salt: Final = salt
        self.terms: Final = terms
        self._reservation: Reservation | None = reservation
        self._lock: Final = lock

    def take(self) -> Reservation:
        """Return the reservation, the first time; raise ``PermitUsedError`` from then on."""
        if self._reservation is None:
            raise PermitUsedError("this permit was used before")
        taken, self._reservation = self._reservation, None
        return taken

    def close(self) -> None:
        """Let the lock go. A reservation without outcome is an orphan from now on."""
        self._reservation = None
        self._lock.close()


class Admission(NamedTuple):
    """What admission gives: the permit, the verdict it rests on, the ids of the record and of the case."""

    permit: Permit
    verdict: Verdict
    verification: bytes
    subject: str


def admit(state: State, author: Author, presented: Presented, verdict: Verdict, verify_again: Again) -> Admission:
    """Admit what ``verdict`` would admit, in one transaction.

    If memory has changed since the verdict, ``verify_again`` makes a new one while nobody else can change it.
    Raise ``ValueError`` for a verdict that denies, or that was made without memory; ``OvertakenError``;
    ``Denial`` with ``USES_EXHAUSTED`` or ``SPOOL_STALE``; ``StateUnavailableError``. Then nothing is changed.
    """
    if verdict.code is not None or verdict.generation is None:
        raise ValueError("a denied verdict, or one without memory, is not admitted")
    held: Lock | None = None
    try:
        with state.transaction() as transaction:
            if memory.generation(transaction) != verdict.generation:
                verdict = verify_again(memory.load(transaction), memory.load_proofs(transaction))
                if verdict.code is not None:
                    raise OvertakenError(verdict)
            artifact, opened = verdict.statement, bundles.decode(presented.bundle or b"")
            assert artifact is not None
            assert isinstance(artifact.record, Authorization)
            now, subject = verdict.learned.clock.unix, artifact.claims.sub
            if spool.measure(transaction).is_stale(now):
                raise Denial(Code.SPOOL_STALE, "too many records, or too old ones, are in no log yet; flush them first")
            use = reservations.take_use(transaction, artifact.id, artifact.record.uses)
            memory.remember(transaction, verdict.learned, opened.proofs)
            terms = constraints.decode_terms(opened.terms)
            process, is_script = terms.constraints.process, "script" in presented.facts.measured
            holds = enforcement(terms.constraints.limits, process.image, process.script if is_script else None)
            record = records.verification(verdict, artifact.id, presented.facts, opened.salt, holds, use)
            verification = spool.append(transaction, author, record, subject, now)
            reservation = reservations.reserve(transaction, verification, subject)
            held = reservations.lock(state, reservation.number)
            if held is None:
                raise Denial(Code.STATE_UNAVAILABLE, f"the lock of reservation {reservation.number} is taken")
    except BaseException:
        if held is not None:
            held.close()
        raise
    permit = Permit(_BY_ADMIT, presented, opened.salt, terms, reservation, held)
    return Admission(permit, verdict, verification, subject)
