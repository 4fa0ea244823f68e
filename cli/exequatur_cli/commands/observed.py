"""``exequatur observed``: what policy would have denied, and was let through in a mode."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from exequatur_cli.home import now, open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_cli.timing import DURATION
from exequatur_issuer.modes import ENFORCE, MODES, reason_of
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import statement
from exequatur_verifier.records import Authorization, Decision, Kind, Link, Request
from exequatur_verifier.statement import Statement


class Denial(NamedTuple):
    """What policy said, and of whom: the mode it was asked in, its outcome, the code and the policies behind that."""

    mode: str
    outcome: str
    code: str
    policies: tuple[str, ...]
    action: str
    requester: str


class Observed(NamedTuple):
    """An artifact of a mode: what it is of, why it was asked for, and how many executions began under it."""

    signed: Statement
    commitment: bytes
    reason: str
    runs: int


@click.command("observed")
@click.option("--mode", type=click.Choice(MODES), help="Only what was let through in this mode.")
@click.option("--since", type=DURATION, help="Only what was let through in so much time, as 1h, 7d.")
@with_home
@click.pass_context
def command(ctx: click.Context, mode: str | None, since: int | None) -> None:
    """List what was let through in a mode: which policy would have denied it, how often, why it was asked for.

    It is read from the log alone. `exequatur lineage RECORD` shows a case, `exequatur policy explain` what policy says.
    """
    output = output_of(ctx)
    groups: dict[Denial, list[Observed]] = {}
    with open_home(home_of(ctx)) as home, BlockingLog.open(home.log_place) as log:
        for signed, record in _authorizations(log, None if since is None else now() - since):
            if record.mode != ENFORCE and mode in (None, record.mode):
                denial, one = _read(log, signed, record)
                groups.setdefault(denial, []).append(one)
    output.result(
        {
            "total": sum(map(len, groups.values())),
            "observed": [_to_object(denial, found) for denial, found in groups.items()],
        }
    )
    if not groups:
        output.text("nothing was let through that policy does not allow")
    for denial, found in groups.items():
        output.text(f"{denial.mode} {denial.code}, {len(found)} time(s)", "name")
        output.rows(
            [
                ("policies", ", ".join(denial.policies) or "none permits it"),
                ("action", denial.action),
                ("requester", denial.requester),
                ("reasons", "; ".join(sorted({ascii(one.reason) for one in found}))),
            ]
        )
        output.rows(
            [(one.signed.id.hex(), str(one.signed.claims.iat), f"{one.runs} run(s)") for one in found], indent="    "
        )


def _authorizations(log: BlockingLog, since: int | None) -> Iterator[tuple[Statement, Authorization]]:
    start = 0
    while page := log.find(kind=Kind.AUTHORIZATION, since=since, start=start):
        for entry in page:
            signed = statement.parse(entry.statement)
            assert isinstance(signed.record, Authorization)
            yield signed, signed.record
        start = page[-1].leaf_index + 1


def _read(log: BlockingLog, signed: Statement, record: Authorization) -> tuple[Denial, Observed]:
    """Return what an artifact was let through in spite of, and what it is; all of it stands in the log."""
    named = {link.relation: link.id for link in record.links}
    asked, decided = (statement.parse(log.get(named[name]).statement) for name in ("request", "decision"))
    request, decision = asked.record, decided.record
    assert isinstance(request, Request)
    assert isinstance(decision, Decision)
    code = decision.code or "APPROVAL_MISSING"
    denial = Denial(record.mode, decision.outcome, code, decision.reasons, record.action.type, asked.claims.iss)
    begun = log.find(sub=signed.claims.sub, kind=Kind.VERIFICATION)
    here = Link("authorization", signed.id)
    runs = sum(here in statement.parse(one.statement).record.links for one in begun)
    return denial, Observed(signed, record.action.commitment, reason_of(request), runs)


def _to_object(denial: Denial, found: list[Observed]) -> dict[str, Any]:
    return {
        **denial._asdict(),
        "times": len(found),
        "reasons": sorted({one.reason for one in found}),
        "artifacts": [
            {
                "authorization": one.signed.id,
                "subject": one.signed.claims.sub,
                "commitment": one.commitment,
                "at": one.signed.claims.iat,
                "reason": one.reason,
                "runs": one.runs,
            }
            for one in found
        ],
    }
