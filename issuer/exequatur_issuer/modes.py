"""Modes: artifacts for what policy does not allow, where the authority's settings permit them (specs/09 §12).

    observe       what would have been denied is let through for a while, and can be listed
    break-glass   what is denied is done all the same, with the approvals that the settings ask for, and is reported

Who asks says so in the claims of the request, with a reason, so an approver sees both and the log keeps them. Policy
does not see them: it is asked the same as ever, its decision is logged as it is, and where it allows, the artifact is
an ordinary one. What could not be decided is denied in every mode. Every runtime has to opt in by itself too (specs/06)
and denies otherwise.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from exequatur_verifier.records import Decision, Request

from .approvals import GRANT

ENFORCE: Final = "enforce"
OBSERVE: Final = "observe"
BREAK_GLASS: Final = "break-glass"
MODES: Final = (OBSERVE, BREAK_GLASS)
# Claims of a request that are for the authority and not for policy.
MODE_CLAIM: Final = "exequatur:mode"
REASON_CLAIM: Final = "exequatur:reason"
_MOST_REASON: Final = 512
_SPOKEN: Final = frozenset(("POLICY_FORBID", "POLICY_DEFAULT_DENY"))


class Mode(NamedTuple):
    """What the settings permit in a mode: for which types of action, for how long, with how many approvals."""

    actions: tuple[str, ...]
    ttl: int = 300
    approvals: int = 0


Modes = Mapping[str, Mode]
NO_MODES: Final[Modes] = {}


def mode_of(record: Request) -> str:
    """Return the mode that a request asks for."""
    return str(record.claims.get(MODE_CLAIM, ENFORCE))


def permitted(record: Request, modes: Modes) -> Mode | None:
    """Return what the settings say of the mode that a request asks for; ``None`` if they permit none to it."""
    return None if mode_of(record) == ENFORCE or fault(record, modes) is not None else modes[mode_of(record)]


def is_spoken(decision: Decision) -> bool:
    """Say whether a decision that does not allow is what policy said; an engine that failed has said nothing."""
    return decision.outcome == "needs-approval" or decision.code in _SPOKEN


def is_open(record: Request, decision: Decision, modes: Modes) -> bool:
    """Say whether approvals can still make something of a request that was decided so.

    They can where policy asks for them, and where it denies and a mode is asked for that is permitted; not in a mode
    that is permitted no more.
    """
    if fault(record, modes) is not None:
        return False
    return decision.outcome == "needs-approval" or (mode_of(record) != ENFORCE and is_spoken(decision))


def reason_of(record: Request) -> str:
    """Return why a request asks for a mode."""
    return str(record.claims.get(REASON_CLAIM, ""))


def for_policy(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return those claims of a request that policy is asked about."""
    return {name: value for name, value in claims.items() if name not in (MODE_CLAIM, REASON_CLAIM)}


def claims_of(mode: str, reason: str) -> dict[str, str]:
    """Return the claims by which a request asks for a mode."""
    return {MODE_CLAIM: mode, REASON_CLAIM: reason}


def fault(record: Request, modes: Modes) -> str | None:
    """Return why a request's mode is not permitted here; ``None`` if it is."""
    if MODE_CLAIM not in record.claims and REASON_CLAIM not in record.claims:
        return None
    mode, reason = record.claims.get(MODE_CLAIM), record.claims.get(REASON_CLAIM)
    if mode not in MODES:
        return f"the modes are {' and '.join(MODES)}; a request of the ordinary kind names none"
    if not isinstance(reason, str) or not reason.strip() or len(reason) > _MOST_REASON:
        return f"a request in mode {mode} says why, in at most {_MOST_REASON} characters"
    permitted = modes.get(mode)
    if permitted is None or record.action.type not in permitted.actions or record.action.type == GRANT:
        where = f"[modes.{mode}] of this authority's settings names the types of action that it is for"
        return f"mode {mode} is not permitted for {record.action.type}; {where}"
    return None
