"""Verdicts: what each step of the procedure found, and the codes of denial (specs/05 §3).

A verdict has no truth value. It says what would be admitted; only the gate's ``admit`` turns it into a permit to start.
"""

from enum import Enum, auto
from typing import Final, NamedTuple

from .memory import Clock, KnownHead, KnownPolicy
from .statement import Statement


class Condition(Enum):
    """The five conditions on which execution fails closed."""

    ARTIFACT_MISSING = "artifact missing"
    POLICY_FAILS = "policy validation fails"
    RUNTIME_MISMATCH = "runtime conditions mismatch"
    SCOPE_INVALID = "scope invalid"
    CONTINUITY_BROKEN = "governance continuity broken"


class Code(Enum):
    """The deny codes."""

    ARTIFACT_MISSING = auto()
    ARTIFACT_TOO_LARGE = auto()
    ARTIFACT_MALFORMED = auto()
    KIND_MISMATCH = auto()
    UNSUPPORTED = auto()
    ISSUER_UNTRUSTED = auto()
    SIGNATURE_INVALID = auto()
    RECEIPT_MISSING = auto()
    LOG_UNTRUSTED = auto()
    RECEIPT_INVALID = auto()
    CHECKPOINT_INVALID = auto()
    WITNESS_QUORUM = auto()
    CHECKPOINT_STALE = auto()
    CONSISTENCY_MISSING = auto()
    LOG_FORK = auto()
    LOG_ROLLBACK = auto()
    NOT_YET_VALID = auto()
    EXPIRED = auto()
    CLOCK_ROLLBACK = auto()
    TIME_IN_FUTURE = auto()
    AUDIENCE_MISMATCH = auto()
    RUNTIME_MISMATCH = auto()
    ACTION_MISMATCH = auto()
    CONSTRAINT_VIOLATED = auto()
    FACT_MISMATCH = auto()
    ENFORCEMENT_UNAVAILABLE = auto()
    POLICY_UNTRUSTED = auto()
    POLICY_STALE = auto()
    APPROVAL_MISSING = auto()
    APPROVAL_INVALID = auto()
    DELEGATION_INVALID = auto()
    STATUS_STALE = auto()
    STATUS_ROLLBACK = auto()
    REVOKED = auto()
    USES_EXHAUSTED = auto()
    STATE_UNAVAILABLE = auto()
    SPOOL_STALE = auto()
    POLICY_FORBID = auto()
    POLICY_DEFAULT_DENY = auto()
    POLICY_ERROR = auto()
    POLICY_NO_DECISION = auto()
    INTERNAL_ERROR = auto()

    @property
    def condition(self) -> Condition:
        """The condition on which this denies."""
        return _CONDITION_OF[self]


_CODES: Final = {
    Condition.ARTIFACT_MISSING: (
        Code.ARTIFACT_MISSING,
        Code.ARTIFACT_TOO_LARGE,
        Code.ARTIFACT_MALFORMED,
        Code.KIND_MISMATCH,
        Code.UNSUPPORTED,
        Code.SIGNATURE_INVALID,
    ),
    Condition.POLICY_FAILS: (
        Code.POLICY_UNTRUSTED,
        Code.POLICY_STALE,
        Code.APPROVAL_MISSING,
        Code.APPROVAL_INVALID,
        Code.POLICY_FORBID,
        Code.POLICY_DEFAULT_DENY,
        Code.POLICY_ERROR,
        Code.POLICY_NO_DECISION,
    ),
    Condition.RUNTIME_MISMATCH: (
        Code.AUDIENCE_MISMATCH,
        Code.RUNTIME_MISMATCH,
        Code.ACTION_MISMATCH,
        Code.FACT_MISMATCH,
        Code.ENFORCEMENT_UNAVAILABLE,
    ),
    Condition.SCOPE_INVALID: (
        Code.ISSUER_UNTRUSTED,
        Code.NOT_YET_VALID,
        Code.EXPIRED,
        Code.CONSTRAINT_VIOLATED,
        Code.DELEGATION_INVALID,
        Code.REVOKED,
        Code.USES_EXHAUSTED,
    ),
    Condition.CONTINUITY_BROKEN: (
        Code.RECEIPT_MISSING,
        Code.LOG_UNTRUSTED,
        Code.RECEIPT_INVALID,
        Code.CHECKPOINT_INVALID,
        Code.WITNESS_QUORUM,
        Code.CHECKPOINT_STALE,
        Code.CONSISTENCY_MISSING,
        Code.LOG_FORK,
        Code.LOG_ROLLBACK,
        Code.CLOCK_ROLLBACK,
        Code.TIME_IN_FUTURE,
        Code.STATUS_STALE,
        Code.STATUS_ROLLBACK,
        Code.STATE_UNAVAILABLE,
        Code.SPOOL_STALE,
        Code.INTERNAL_ERROR,
    ),
}
_CONDITION_OF: Final = {code: condition for condition, codes in _CODES.items() for code in codes}


class Denial(Exception):  # noqa: N818 - named for what it is: no error, but a step's finding
    """A finding that ends in a denial: its code, what happened, and evidence against a log if there is any."""

    def __init__(self, code: Code, detail: str, evidence: "Evidence | None" = None) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail
        self.evidence = evidence


class Evidence(NamedTuple):
    """Two signed heads of one log that no append-only history holds together."""

    remembered: KnownHead
    presented: KnownHead


PASSED: Final = "passed"
FAILED: Final = "failed"
NOT_EVALUATED: Final = "not evaluated"
NO_MEMORY: Final = "no memory"


class StepResult(NamedTuple):
    """One step's result: ``status`` is passed, failed, not evaluated or no memory."""

    number: int
    name: str
    status: str
    detail: str
    code: Code | None = None


class Learned(NamedTuple):
    """What a runtime that admits the artifact is to remember."""

    heads: tuple[KnownHead, ...] = ()
    floor: int = 0
    policy: KnownPolicy | None = None
    clock: Clock = Clock(0)
    statuses: tuple[tuple[str, int], ...] = ()


class Verdict(NamedTuple):
    """What ``verify`` found: every step in order, and what was learned.

    ``statement`` is the artifact, once it parses.
    """

    steps: tuple[StepResult, ...]
    statement: Statement | None
    learned: Learned
    generation: int | None
    trust: bytes
    ignored: tuple[str, ...] = ()
    evidence: Evidence | None = None

    @property
    def failure(self) -> StepResult | None:
        """The first step that failed, or ``None`` when the artifact would be admitted."""
        return next((step for step in self.steps if step.status == FAILED), None)

    @property
    def code(self) -> Code | None:
        """The code of the first failure, which decides; ``None`` when the artifact would be admitted."""
        return None if self.failure is None else self.failure.code

    def __bool__(self) -> bool:
        """Refuse: ``if verify(…)`` would read a denial as an allow, since a verdict is an object."""
        raise TypeError("a verdict has no truth value; ask for its code, and let the gate admit")
