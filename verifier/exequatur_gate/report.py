"""Reports: what became of a command, as the one JSON object that every seat's command line writes (specs/07 §10)."""

from typing import Any

from .run import Run


def describe(made: Run) -> dict[str, Any]:
    """Return what became of a command as the JSON object of every command that runs one."""
    decision, result = made.decision, made.result
    failure = decision.failure
    artifact = None if decision.verdict is None else decision.verdict.statement
    is_permitted = failure is None
    return {
        "exit_source": "gate" if result is None else "command",
        "code": None if failure is None or failure.code is None else failure.code.name,
        "condition": None if failure is None or failure.code is None else failure.code.condition.value,
        "step": None if failure is None else failure.number,
        "detail": made.problem if failure is None else failure.detail,
        "subject": decision.subject,
        "authorization": None if artifact is None else artifact.id.hex(),
        "verification": decision.record.hex() if is_permitted and decision.record else None,
        "denial": decision.record.hex() if not is_permitted and decision.record else None,
        "outcome": None if made.outcome is None else made.outcome.hex(),
        "status": None if result is None else result.status,
        "signal": None if result is None else result.signal,
        "violations": [] if result is None else list(result.violations),
        "unflushed": None if made.flushed is None else made.flushed.waiting,
    }
