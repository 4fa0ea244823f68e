"""``exequatur verify``: the offline verdict on a bundle, every step listed. It consumes nothing and writes nothing."""

from pathlib import Path

import click

from exequatur_cli.main import EXIT_DENIED, EXIT_MALFORMED, Unavailable, home_of, output_of, with_home
from exequatur_cli.output import show_verdict, verdict_object
from exequatur_cli.runtime import NO_ACTION, measure, read_action, verdict_on
from exequatur_gate import home as runtime_home
from exequatur_gate.state import State
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Memory, Proof
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust
from exequatur_verifier.verdict import Code


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    "trust_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A trust policy, and no memory.",
)
@click.option(
    "--action",
    "action_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The action, as a JSON file.",
)
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD…]")
@with_home
@click.pass_context
def command(
    ctx: click.Context, file: Path, trust_file: Path | None, action_file: Path | None, command_line: tuple[str, ...]
) -> int:
    """Say whether the bundle FILE would be admitted for CMD (or an action), step by step, without a network.

    CMD is measured, not run. A home lends its trust and its memory; with --trust nothing is remembered, and step 6 says
    so.
    """
    output = output_of(ctx)
    if action_file is not None and command_line:
        raise click.UsageError("name either a command after --, or an action with --action")
    bundle = file.read_bytes() if file.exists() else None
    trust, memory, proofs = _beliefs(home_of(ctx), trust_file)
    action, facts = NO_ACTION, Facts()
    if command_line:
        action, facts = measure(command_line)
    elif action_file is not None:
        action = read_action(action_file)
    verdict = verdict_on(bundle, action, facts, trust, memory, proofs)
    output.result(verdict_object(verdict))
    show_verdict(output, verdict)
    failure = verdict.failure
    if failure is None or verdict.code is None:
        output.text(f"{output.paint('would be admitted', 'allow')}; nothing was consumed")
        return 0
    if not command_line and action_file is None:
        output.text("no command was named after --, and no action: steps 9 and 10 compare with nothing", "quiet")
    output.text(f"{output.paint('denied', 'deny')} at step {failure.number} ({failure.name}): {verdict.code.name}")
    return EXIT_MALFORMED if verdict.code is Code.ARTIFACT_MALFORMED else EXIT_DENIED


def _beliefs(home: Path | None, trust_file: Path | None) -> tuple[Trust, Memory | None, tuple[Proof, ...]]:
    """Return trust, memory and kept proofs: of the home, or of a trust policy alone."""
    if trust_file is not None:
        if home is not None:
            raise click.UsageError("name either a home or a trust policy")
        return parse_trust(trust_file.read_bytes()), None, ()
    path = runtime_home.locate(None if home is None else str(home))
    runtime_home.check(path)
    trust = parse_trust(runtime_home.read(path, "trust.toml"))
    if not Path(path, "state.db").exists():
        raise Unavailable(f"{path} has no memory (state.db); name its trust.toml with --trust to verify without one")
    state = State.open(str(Path(path, "state.db")), trust.runtime.key.thumbprint)
    try:
        return trust, *state.recall()
    finally:
        state.close()
