"""``exequatur policy explain``: what would be decided, by which policies, and what is missing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exequatur_cli.main import EXIT_DENIED, home_of, output_of, with_home

if TYPE_CHECKING:
    from exequatur_issuer.explaining import Explanation


@click.command("explain")
@click.option("--action", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An action, as JSON.")
@click.option("--policies", "reference", help="A directory, an epoch, a record id. Default: what is in force.")
@click.option("--requester", metavar="ISS", help="Who asks. Default: the home's requester.")
@click.option("--claim", "claims", multiple=True, metavar="NAME", help="A condition that is vouched for.")
@click.option("--at", metavar="TIME", help="When, as 2026-01-01T12:00:00Z. Default: now.")
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD…]")
@with_home
@click.pass_context
def explain(
    ctx: click.Context,
    action: Path | None,
    reference: str | None,
    requester: str | None,
    claims: tuple[str, ...],
    at: str | None,
    command_line: tuple[str, ...],
) -> int:
    """Say what would be decided about CMD (measured here) or an action, by which policies, and what is missing.

    Nothing is asked for, signed or logged.
    """
    from exequatur_cli import policies
    from exequatur_cli.home import now
    from exequatur_cli.runtime import measure, read_action
    from exequatur_issuer import explaining
    from exequatur_issuer.cases import read_time
    from exequatur_issuer.rehearsal import Question
    from exequatur_verifier.host import CommandNotFoundError

    output = output_of(ctx)
    if (action is None) == (not command_line):
        raise click.UsageError("name either a command after --, or an action with --action")
    try:
        time = now() if at is None else read_time(at)
        descriptor = measure(command_line)[0] if action is None else read_action(action)
    except (ValueError, CommandNotFoundError) as error:
        raise click.UsageError(str(error)) from None
    chosen = policies.choose(reference or policies.IN_FORCE, home_of(ctx))
    asking = requester or policies.requester(home_of(ctx))
    question = Question(descriptor, asking, time, dict.fromkeys(claims, True))
    found = explaining.explain(question, chosen.policy, chosen.engine)
    record = found.decided.record
    output.result({"policies": chosen.label, **_explanation_object(found)})
    code = f" {record.code}" if record.code else ""
    tone = "allow" if record.outcome == "allow" else "deny"
    output.text(f"{output.paint(record.outcome, tone)}{code} under {chosen.label}")
    for source in found.determining:
        doc = source.policy.annotations.get("doc", "no @doc explains it.")
        output.text(f"  {source.policy.effect} {source.policy.id} ({source.place}): {doc}")
    for words in found.decided.answer.errors:
        output.text(f"  error: {words}")
    for near in found.near:
        output.text(f"  {near.sentence()} ({near.source.place})")
    if record.outcome == "deny" and not found.determining and not found.near and not found.decided.answer.errors:
        output.text("  no permit is about this action")
    return 0 if record.outcome == "allow" else EXIT_DENIED


def _explanation_object(found: "Explanation") -> dict[str, Any]:
    return {
        "outcome": found.decided.record.outcome,
        "code": found.decided.record.code,
        "errors": found.decided.answer.errors,
        "determining": [
            {
                "id": source.policy.id,
                "effect": source.policy.effect,
                "place": source.place,
                "doc": source.policy.annotations.get("doc"),
            }
            for source in found.determining
        ],
        "near": [
            {
                "id": near.source.policy.id,
                "place": near.source.place,
                "unmet": [one._asdict() for one in near.unmet],
                "sentence": near.sentence(),
            }
            for near in found.near
        ],
    }
