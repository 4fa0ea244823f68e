"""``exequatur observed``: what policy would have denied, and was let through in a mode."""

from collections.abc import Iterator
from typing import NamedTuple

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_issuer.modes import ENFORCE, reason_of
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import statement
from exequatur_verifier.records import Authorization, Decision, Kind, Request
from exequatur_verifier.statement import Statement


class Observed(NamedTuple):
    """An artifact of a mode, and what it was let through in spite of."""

    artifact: Statement
    mode: str
    action: str
    requester: str
    outcome: str
    code: str
    policies: tuple[str, ...]
    reason: str


@click.command("observed")
@with_home
@click.pass_context
def command(ctx: click.Context) -> None:
    """List what was let through in a mode: which policy would have denied it, how often, and for what reason."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home, BlockingLog.open(home.log_place) as log:
        found = list(_observed(log))
    groups: dict[tuple[str, str, str, tuple[str, ...], str], list[Observed]] = {}
    for one in found:
        groups.setdefault((one.mode, one.code, one.action, one.policies, one.requester), []).append(one)
    output.result(
        {
            "total": len(found),
            "observed": [
                {
                    "mode": mode,
                    "code": code,
                    "action": action,
                    "policies": list(policies),
                    "requester": requester,
                    "times": len(group),
                    "reasons": sorted({one.reason for one in group}),
                    "authorizations": [one.artifact.id for one in group],
                }
                for (mode, code, action, policies, requester), group in groups.items()
            ],
        }
    )
    if not found:
        output.text("nothing was let through that policy does not allow")
    for (mode, code, action, policies, requester), group in groups.items():
        output.text(f"{mode} {code}, {len(group)} time(s)", "name")
        reasons = "; ".join(sorted({ascii(one.reason) for one in group}))
        output.rows(
            [("action", action), ("by", ", ".join(policies) or "no policy permits it"), ("requester", requester)]
        )
        output.rows([("reasons", reasons)])


def _observed(log: BlockingLog) -> Iterator[Observed]:
    for entry in log.find(kind=Kind.AUTHORIZATION, limit=1 << 20):
        artifact = statement.parse(entry.statement)
        record = artifact.record
        assert isinstance(record, Authorization)
        if record.mode == ENFORCE:
            continue
        named = {link.relation: link.id for link in record.links}
        request, decision = (statement.parse(log.get(named[name]).statement) for name in ("request", "decision"))
        assert isinstance(request.record, Request)
        assert isinstance(decision.record, Decision)
        decided = decision.record
        yield Observed(
            artifact,
            record.mode,
            record.action.type,
            request.claims.iss,
            decided.outcome,
            decided.code or "APPROVAL_MISSING",
            decided.reasons,
            reason_of(request.record),
        )
