"""``exequatur policy``: the life of a policy set, from the editor to the log. Here: check, and list."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exequatur_cli.commands import policy_cases, policy_diff, policy_explain, policy_publish
from exequatur_cli.home import now, open_home
from exequatur_cli.main import EXIT_DENIED, EXIT_MALFORMED, home_of, output_of, with_home

if TYPE_CHECKING:
    from exequatur_cli.output import Output
    from exequatur_issuer.epochs import Epoch
    from exequatur_issuer.lint import Finding


@click.group("policy")
@with_home
def command() -> None:
    """Check, try, compare and publish the policies that the authority decides by."""


_PARTS = (
    policy_cases.test,
    policy_explain.explain,
    policy_diff.diff,
    policy_publish.publish,
    policy_publish.endorse,
    policy_publish.rollback,
)
for _part in _PARTS:
    command.add_command(_part)


@command.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@with_home
@click.pass_context
def check(ctx: click.Context, directory: Path | None, strict: bool) -> int:
    """Check the policy set in DIRECTORY (default: the home's).

    Schema, policies, entities, obligations; and policies that are unreachable, shadowed, overruled, too broad or
    unexplained.
    """
    from exequatur_issuer import lint, policyset, publish

    output = output_of(ctx)
    if directory is None:
        with open_home(home_of(ctx)) as home:
            directory = home.path / "policy"
    try:
        found = policyset.read(directory)
        engine, _ = publish.load_set(found)
    except policyset.PolicySetError as error:
        findings = [_finding_object(lint.refused(error))]
        output.result(
            {"ok": False, "file": error.file, "line": error.line, "detail": error.detail, "findings": findings}
        )
        output.text(f"{output.paint('refused', 'deny')} {error}")
        return EXIT_MALFORMED
    findings_found = lint.lint(engine)
    errors = sum(finding.level == "error" for finding in findings_found)
    ok = not errors and not (strict and findings_found)
    output.result(
        {
            "ok": ok,
            "engine": f"{engine.name} {engine.version}",
            "policies": [{"id": policy.id, "effect": policy.effect} for policy in engine.policies],
            "digests": found.digests(),
            "findings": [_finding_object(finding) for finding in findings_found],
        }
    )
    output.text(
        f"{directory}: {len(engine.policies)} policies, valid under their schema ({engine.name} {engine.version})"
    )
    output.rows((policy.effect, policy.id, policy.annotations.get("doc", "")) for policy in engine.policies)
    _show_findings(output, findings_found)
    if ok:
        return 0
    return EXIT_MALFORMED if errors else EXIT_DENIED


@command.command("list")
@with_home
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List the epochs of the home's policy set: who stands behind each, and which is in force."""
    from exequatur_issuer import epochs

    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        name, trust = home.settings.policy_set, home.trust.policy
        found = epochs.epochs(home.policy_records(), name, now(), trust)
    states = _states(found, trust.threshold)
    output.result(
        {
            "set": name,
            "threshold": trust.threshold,
            "epochs": [_epoch_object(epoch, state) for epoch, state in zip(found, states, strict=True)],
        }
    )
    output.text(f"{name}: {len(found)} epoch(s)")
    output.rows(
        (
            str(epoch.record.epoch),
            epoch.statement.id.hex()[:16],
            time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(epoch.record.activation)),
            f"{len(epoch.owners)} of {trust.threshold} owners",
            output.paint(state, "allow") if state == "in force" else state,
        )
        for epoch, state in zip(found, states, strict=True)
    )


def _states(found: "Sequence[Epoch]", threshold: int) -> list[str]:
    """Return what each epoch is, the highest first: at most one is in force."""
    states: list[str] = []
    settled = False
    for epoch in found:
        if settled:
            states.append("superseded")
        elif epoch.was_in_force:
            settled = True
            states.append("in force" if epoch.is_in_force else "endorsements expired, nothing is in force")
        elif len(epoch.owners) < threshold:
            states.append(f"waits for {threshold - len(epoch.owners)} more owners")
        else:
            states.append("waits for its activation")
    return states


def _epoch_object(epoch: "Epoch", state: str) -> dict[str, object]:
    return {
        "epoch": epoch.record.epoch,
        "record": epoch.statement.id,
        "activation": epoch.record.activation,
        "signed_by": epoch.statement.key_id,
        "endorsements": [
            {"record": one.id, "owner": one.key_id, "expires": one.claims.exp} for one in epoch.endorsements
        ],
        "owners": sorted(epoch.owners),
        "state": state,
        "in_force": state == "in force",
    }


def _finding_object(finding: "Finding") -> dict[str, object]:
    return {"level": finding.level, **finding._asdict()}


def _show_findings(output: "Output", findings: "Sequence[Finding]") -> None:
    for finding in findings:
        tone = "deny" if finding.level == "error" else "name"
        output.text(f"{output.paint(finding.level, tone)} {finding.code} {finding.place}: {finding.policy}")
        output.text(f"  {finding.detail} {finding.advice}")
