"""Revoking: an artifact, or what is revoked by name, for good or until it is resumed; published, then reported.

    1  lists     the next version of the status list says it; from then on a fresh bundle denies
    2  reports   an enforcement record says why, and how long that took

Repeating it completes what was interrupted, and does nothing where nothing is left to do (specs/09 §10).
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from exequatur_verifier.records import Authorization, Enforcement, Link, StatusEntry
from exequatur_verifier.statement import Statement

from .lists import StatusLists, Version
from .reports import Reports
from .status import REVOKED, SUSPENDED, VALID, Names, RevocationError

Verb = Literal["revoke", "suspend", "resume"]

_VALUES: Final[dict[Verb, int]] = {"revoke": REVOKED, "suspend": SUSPENDED, "resume": VALID}
_CODES: Final[dict[Verb, str]] = {"revoke": "REVOKED", "suspend": "SUSPENDED", "resume": "RESUMED"}
_LONGEST_REASON: Final = 1000


class Target(NamedTuple):
    """What is revoked: an artifact by its place in a list, or names. ``about`` says it, ``subject`` is the report's."""

    about: str
    subject: str
    cause: bytes | None = None
    entry: StatusEntry | None = None
    names: Names = Names()


class Revoked(NamedTuple):
    """The version of the list that says it, whether it had to be published, and the report's id if one was due.

    ``latency_us`` is from the start of the command to the registered receipt of the version.
    """

    version: Version
    published: bool
    report: bytes | None
    latency_us: int | None


def of_artifact(signed: Statement) -> Target:
    """Return an artifact or a grant as a target. Raises ``RevocationError`` for one that names no status list."""
    record = signed.record
    if not isinstance(record, Authorization):
        raise RevocationError(f"{signed.id.hex()} is a {signed.kind.value} record; name an authorization")
    if record.status is None:
        raise RevocationError(f"{signed.id.hex()} names no status list; it stands until {signed.claims.exp}")
    return Target(f"authorization {signed.id.hex()}", signed.claims.sub, signed.id, record.status)


def revoke(
    lists: StatusLists,
    reports: Reports,
    target: Target,
    verb: Verb,
    reason: str,
    *,
    now: int,
    elapsed_us: Callable[[], int],
) -> Revoked:
    """Publish that ``target`` is revoked, suspended or valid again, and report it with its reason.

    ``elapsed_us`` tells how long ago the command began. Raises ``RevocationError`` and what publishing raises;
    ``ReportError`` when it is published and the log refuses the report.
    """
    if not 0 < len(reason) <= _LONGEST_REASON or not reason.isprintable():
        raise RevocationError(f"a reason is one line of at most {_LONGEST_REASON} characters")
    last = _last(reports, target)
    if target.entry is not None:
        version = lists.put(target.entry, _VALUES[verb], now)
    else:
        if verb != "revoke" and lists.is_named(target.names) and last != "SUSPENDED":
            raise RevocationError(f"the {target.about} is revoked for good")
        version = lists.name(target.names, now, revoked=verb != "resume")
    published = version.receipt is not None
    latency = elapsed_us() if published else None
    if verb == "resume" and target.entry is None and _last(reports, target) == "REVOKED":
        lists.name(target.names, now, revoked=True)
        raise RevocationError(f"the {target.about} was revoked for good meanwhile, and stays so")
    report = None
    if published or last != _CODES[verb]:
        report = _report(reports, target, verb, reason, latency, now)
    reports.send()
    if verb != "resume" and target.entry is None and not lists.is_named(target.names):
        # Who resumed it meanwhile looked before this report stood, so it is on us to look after.
        version = lists.name(target.names, now, revoked=True)
    return Revoked(version, published, report, latency)


def _report(reports: Reports, target: Target, verb: Verb, reason: str, latency: int | None, now: int) -> bytes:
    report = Enforcement(
        links=() if target.cause is None else (Link("cause", target.cause),),
        seq=0,
        prev=None,
        action="revoke",
        code=_CODES[verb],
        detail=f"{target.about}: {reason}",
        latency_us=latency,
    )
    return reports.keep(report, target.subject, now)


def _last(reports: Reports, target: Target) -> str | None:
    """Return the code of the last report on a target that stands in the log."""
    for report in reports.about(target.subject):
        if report.action == "revoke" and (report.detail or "").startswith(f"{target.about}: "):
            return report.code
    return None
