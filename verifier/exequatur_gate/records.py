"""Records that a runtime signs: verification, outcome and enforcement, made from what the gate saw (specs/01 §2).

The functions here are pure; ``seq`` and ``prev`` are given by ``spool.append``, which signs. Nothing that an
action's commitment hides is written out: what was measured and what was put out stand as salted commitments,
and reasons stand as codes, because a reason in words would quote paths and arguments into a log for ever.
"""

import os
from typing import Final

from exequatur_verifier import action, cbor
from exequatur_verifier.constraints import Facts
from exequatur_verifier.records import Enforcement, Head, Link, Outcome, Verification
from exequatur_verifier.verdict import PASSED, StepResult, Verdict

from .execute import Result
from .output import Output
from .process import Cleanup

ADMIT_STEP: Final = 15
# This build runs everything under its own uid and confines no files, so whatever it runs can reach the home
# (G-01).
GATE: Final = "unprotected"

_UNSEQUENCED: Final = 0


def fresh_urn() -> str:
    """Return a random URN: the subject of records that belong to no authorized execution."""
    value = bytearray(os.urandom(16))
    value[6], value[8] = value[6] & 0x0F | 0x40, value[8] & 0x3F | 0x80  # RFC 9562 §5.4
    digits = value.hex()
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def verification(
    verdict: Verdict, authorization: bytes, facts: Facts, salt: bytes, enforcement: frozenset[str], use: int
) -> Verification:
    """Return the record of an admission: every check, what was measured, what was relied on, what will hold."""
    return Verification(
        (Link("authorization", authorization),),
        _UNSEQUENCED,
        None,
        (*((step.number, step.status) for step in verdict.steps), (ADMIT_STEP, PASSED)),
        action.commitment(action.FACTS_TAG, salt, cbor.encode(dict(facts.measured))),
        tuple(Head(head.origin, head.size, head.root) for head in verdict.learned.heads),
        verdict.trust,
        tuple(sorted(enforcement)),
        GATE,
        use,
    )


def outcome(verified: bytes, result: Result, salt: bytes) -> Outcome:
    """Return the record of an execution that ended while its gate stood by."""
    return Outcome(
        (Link("verification", verified),),
        _UNSEQUENCED,
        None,
        result.status,
        result.started_ms,
        result.ended_ms,
        result.code,
        result.signal,
        _commit("stdout", result.stdout, salt),
        _commit("stderr", result.stderr, salt),
        result.resources,
        result.violations,
        None if result.swept else "unknown",
    )


def failure(verified: bytes) -> Outcome:
    """Return the record of an execution of which nothing ran, because it could not be started."""
    return Outcome((Link("verification", verified),), _UNSEQUENCED, None, "failed")


def not_executed(verified: bytes) -> Outcome:
    """Return the record of an admission that its seat leaves at that, such as one that only records."""
    return Outcome((Link("verification", verified),), _UNSEQUENCED, None, "not-executed")


def orphan(verified: bytes, cleanup: Cleanup) -> Outcome:
    """Return the record of an execution whose gate is gone, and what became of what was left of it."""
    return Outcome((Link("verification", verified),), _UNSEQUENCED, None, "orphaned", detail=cleanup)


def denial(step: StepResult, artifact: bytes | None, *, logged: bool, times: int = 1) -> Enforcement:
    """Return the record of a denial. An artifact that is proven to be in a log is its cause, any other is named."""
    assert step.code is not None
    cause = (Link("cause", artifact),) if artifact is not None and logged else ()
    about = None if logged else artifact
    return Enforcement(cause, _UNSEQUENCED, None, "deny", step.code.name, step.number, times=times, about=about)


def gap(refused: bytes, code: str) -> Enforcement:
    """Return the record that names one which a log will never have, and the log's code."""
    return Enforcement((), _UNSEQUENCED, None, "gap", code, about=refused)


def _commit(stream: str, output: Output | None, salt: bytes) -> bytes | None:
    """Return the commitment to one stream's name, size and SHA-256."""
    if output is None:
        return None
    return action.commitment(action.OUTPUT_TAG, salt, cbor.encode([stream, output.size, output.digest]))
