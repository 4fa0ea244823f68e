"""``exequatur policy``: check a policy set, and publish it as the next epoch."""

from pathlib import Path

import click

from exequatur_cli.home import now, open_home, unique
from exequatur_cli.main import EXIT_MALFORMED, home_of, output_of, with_home
from exequatur_cli.timing import DURATION


@click.group("policy")
@with_home
def command() -> None:
    """Check and publish the policies that the authority decides by."""


@command.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@with_home
@click.pass_context
def check(ctx: click.Context, directory: Path | None) -> int:
    """Check the policy set in DIRECTORY (default: the home's): schema, policies, entities, obligations."""
    from exequatur_issuer import policyset, publish

    output = output_of(ctx)
    if directory is None:
        with open_home(home_of(ctx)) as home:
            directory = home.path / "policy"
    try:
        found = policyset.read(directory)
        engine, _ = publish.load_set(found)
    except policyset.PolicySetError as error:
        output.result({"ok": False, "file": error.file, "line": error.line, "detail": error.detail})
        output.text(f"{output.paint('refused', 'deny')} {error}")
        return EXIT_MALFORMED
    output.result(
        {
            "ok": True,
            "engine": f"{engine.name} {engine.version}",
            "policies": [{"id": policy.id, "effect": policy.effect} for policy in engine.policies],
            "digests": found.digests(),
        }
    )
    output.text(
        f"{directory}: {len(engine.policies)} policies, valid under their schema ({engine.name} {engine.version})"
    )
    output.rows((policy.effect, policy.id, policy.annotations.get("doc", "")) for policy in engine.policies)
    return 0


@command.command("publish")
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--in", "delay", type=DURATION, help="Come into force only after this long, as 10m or 1d.")
@with_home
@click.pass_context
def publish_(ctx: click.Context, directory: Path | None, delay: int | None) -> None:
    """Sign the policy set in DIRECTORY (default: the home's) as the next epoch, and log it."""
    from exequatur_issuer import policyset, publish
    from exequatur_verifier import statement
    from exequatur_verifier.records import Policy

    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        newest = home.log.newest_policy(home.settings.policy_set)
        time = now()
        signed = publish.publish(
            policyset.read(directory or home.path / "policy"),
            home.signer("owner"),
            home.content,
            name=home.settings.policy_set,
            iss=home.settings.owner.iss,
            previous=None if newest is None else statement.parse(newest.statement),
            now=time,
            activation=time + (delay or 0),
            unique=unique(),
        )
        registered = home.log.register(signed)
    parsed = statement.parse(signed)
    assert isinstance(parsed.record, Policy)
    record = parsed.record
    output.result(
        {
            "record": parsed.id,
            "set": record.set,
            "epoch": record.epoch,
            "activation": record.activation,
            "index": registered.leaf_index,
        }
    )
    output.text(f"epoch {record.epoch} of {record.set}, in force " + (f"from {record.activation}" if delay else "now"))
    output.rows([("record", parsed.id.hex()), ("entry", str(registered.leaf_index))])
