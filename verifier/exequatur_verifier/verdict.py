"""Verdicts: what each step of the procedure found, and the codes of denial (specs/05 §3).

A verdict has no truth value. It says what would be admitted; only the gate's ``admit`` turns it into a permit to start.
"""

from enum import Enum
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
    """The deny codes, each with the condition it belongs to."""

    condition: Condition

    def __new__(cls, condition: Condition) -> "Code":
        """Make the code's name its value, so that every code is distinct although conditions repeat."""
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)
        member.condition = condition
        return member

    ARTIFACT_MISSING = Condition.ARTIFACT_MISSING
    ARTIFACT_TOO_LARGE = Condition.ARTIFACT_MISSING
    ARTIFACT_MALFORMED = Condition.ARTIFACT_MISSING
    KIND_MISMATCH = Condition.ARTIFACT_MISSING
    UNSUPPORTED = Condition.ARTIFACT_MISSING
    ISSUER_UNTRUSTED = Condition.SCOPE_INVALID
    SIGNATURE_INVALID = Condition.ARTIFACT_MISSING
    RECEIPT_MISSING = Condition.CONTINUITY_BROKEN
    LOG_UNTRUSTED = Condition.CONTINUITY_BROKEN
    RECEIPT_INVALID = Condition.CONTINUITY_BROKEN
    CHECKPOINT_INVALID = Condition.CONTINUITY_BROKEN
    WITNESS_QUORUM = Condition.CONTINUITY_BROKEN
    CHECKPOINT_STALE = Condition.CONTINUITY_BROKEN
    CONSISTENCY_MISSING = Condition.CONTINUITY_BROKEN
    LOG_FORK = Condition.CONTINUITY_BROKEN
    LOG_ROLLBACK = Condition.CONTINUITY_BROKEN
    NOT_YET_VALID = Condition.SCOPE_INVALID
    EXPIRED = Condition.SCOPE_INVALID
    CLOCK_ROLLBACK = Condition.CONTINUITY_BROKEN
    TIME_IN_FUTURE = Condition.CONTINUITY_BROKEN
    AUDIENCE_MISMATCH = Condition.RUNTIME_MISMATCH
    RUNTIME_MISMATCH = Condition.RUNTIME_MISMATCH
    ACTION_MISMATCH = Condition.RUNTIME_MISMATCH
    CONSTRAINT_VIOLATED = Condition.SCOPE_INVALID
    FACT_MISMATCH = Condition.RUNTIME_MISMATCH
    ENFORCEMENT_UNAVAILABLE = Condition.RUNTIME_MISMATCH
    POLICY_UNTRUSTED = Condition.POLICY_FAILS
    POLICY_STALE = Condition.POLICY_FAILS
    APPROVAL_MISSING = Condition.POLICY_FAILS
    APPROVAL_INVALID = Condition.POLICY_FAILS
    DELEGATION_INVALID = Condition.SCOPE_INVALID
    STATUS_STALE = Condition.CONTINUITY_BROKEN
    STATUS_ROLLBACK = Condition.CONTINUITY_BROKEN
    REVOKED = Condition.SCOPE_INVALID
    USES_EXHAUSTED = Condition.SCOPE_INVALID
    STATE_UNAVAILABLE = Condition.CONTINUITY_BROKEN
    SPOOL_STALE = Condition.CONTINUITY_BROKEN
    POLICY_FORBID = Condition.POLICY_FAILS
    POLICY_DEFAULT_DENY = Condition.POLICY_FAILS
    POLICY_ERROR = Condition.POLICY_FAILS
    POLICY_NO_DECISION = Condition.POLICY_FAILS
    INTERNAL_ERROR = Condition.CONTINUITY_BROKEN


class Denial(Exception):
    """A step's finding that ends in a denial: its code, what happened, and evidence of a log's misbehaviour if there is any."""

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


class Verdict(NamedTuple):
    """The result of ``verify``: every step in order, and what was learned. ``statement`` is the artifact, once it parses."""

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
