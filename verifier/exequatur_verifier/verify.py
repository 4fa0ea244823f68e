"""The verification procedure: one numbered list of steps, the same in specs/05 §2 and here.

    verify(bundle, action, facts, trust, memory, proofs, now) -> Verdict

It is pure: bytes and values in, a verdict out; no file, network, clock or randomness. It never raises on input, it
performs every step that can be performed, and the first failure decides. Step 15, which reserves a use and remembers
what was learned, is the gate's ``admit``, and nothing runs on a verdict alone.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from . import checks, consent, delegation, status, transparency
from .action import Descriptor
from .case import Case
from .constraints import Facts
from .memory import Clock, Memory, Proof
from .trust import Trust
from .verdict import FAILED, NO_MEMORY, NOT_EVALUATED, PASSED, Code, Denial, Evidence, Learned, StepResult, Verdict


class Step(NamedTuple):
    """A step of the procedure: its number, its name, what it does, and the steps without which it means nothing."""

    number: int
    name: str
    check: Callable[[Case], str]
    needs: frozenset[int]


_AUTHENTIC: Final = frozenset((0, 1, 2, 3))
_LOGGED: Final = _AUTHENTIC | {4}

# After a failed step 3 the artifact is a stranger's, and no costly step runs on it (specs/05 §2).
PROCEDURE: Final = (
    Step(0, "presence", checks.check_presence, frozenset()),
    Step(1, "form", checks.check_form, frozenset((0,))),
    Step(2, "kind", checks.check_kind, frozenset((0, 1))),
    Step(3, "issuer", checks.check_issuer, frozenset((0, 1, 2))),
    Step(4, "receipts", transparency.check_receipts, _AUTHENTIC),
    Step(5, "checkpoint", transparency.check_checkpoints, _LOGGED),
    Step(6, "continuity", transparency.check_continuity, _LOGGED),
    Step(7, "time", checks.check_time, _AUTHENTIC),
    Step(8, "audience", checks.check_audience, _AUTHENTIC),
    Step(9, "action", checks.check_action, _AUTHENTIC),
    Step(10, "facts", checks.check_facts, _AUTHENTIC),
    Step(11, "policy", checks.check_policy, _LOGGED),
    # What stands beside the artifact is proven by its heads, and who asked may be asked of both.
    Step(12, "approvals", consent.check_approvals, _LOGGED | {11}),
    Step(13, "delegation", delegation.check_delegation, _LOGGED),
    Step(14, "status", status.check_status, _LOGGED),
)


def verify(
    bundle: bytes | None,
    action: Descriptor,
    facts: Facts,
    trust: Trust,
    memory: Memory | None,
    proofs: Sequence[Proof],
    now: Clock,
) -> Verdict:
    """Return the verdict on a bundle for the action about to run.

    ``action`` and ``facts`` are what was measured, never what the bundle says. ``memory`` is what this runtime
    remembers; with ``None`` step 6 is reported as "no memory". ``proofs`` are consistency proofs from elsewhere.
    ``now`` is the clock.

    Not checked here: whether uses remain, and whether unflushed records are within bounds (both step 15).
    """
    case = Case(bundle, action, facts, trust, memory, proofs, now)
    results: list[StepResult] = []
    passed: set[int] = set()
    evidence: Evidence | None = None
    for step in PROCEDURE:
        if not passed.issuperset(step.needs):
            results.append(StepResult(step.number, step.name, NOT_EVALUATED, "an earlier step failed"))
            continue
        try:
            detail = step.check(case)
        except Denial as denial:
            results.append(StepResult(step.number, step.name, FAILED, denial.detail, denial.code))
            evidence = evidence or denial.evidence
        except Exception as error:  # noqa: BLE001 - the outermost edge: whatever was not foreseen is a denial
            detail = f"{type(error).__name__} in this step; please report it"
            results.append(StepResult(step.number, step.name, FAILED, detail, Code.INTERNAL_ERROR))
        else:
            status = NO_MEMORY if step.number == 6 and memory is None else PASSED
            results.append(StepResult(step.number, step.name, status, detail))
            passed.add(step.number)
    return Verdict(
        tuple(results),
        case.statement,
        _learned(case),
        None if memory is None else memory.generation,
        trust.digest,
        tuple(case.ignored),
        evidence,
    )


def _learned(case: Case) -> Learned:
    """Return what an admitted artifact teaches: heads, the latest signed time, the policy."""
    heads, floor = tuple(case.heads.values()), max(case.signed_times, default=0)
    return Learned(heads, floor, case.policy, case.now, tuple(case.versions.items()))
