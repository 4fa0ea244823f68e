"""``exequatur demo``: the six phases on this machine's own commands, and every way to be denied."""

import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from exequatur_cli.audit import to_object
from exequatur_cli.main import output_of, with_home


@click.command("demo")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Make the home here and keep it.")
@with_home
@click.pass_context
def command(ctx: click.Context, keep: Path | None) -> int:
    """Govern a real command, then provoke each of the five fail-closed conditions, and audit what happened."""
    from exequatur_cli import demo

    output = output_of(ctx)
    with ExitStack() as stack:
        place = (
            keep.absolute()
            if keep is not None
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exequatur-")))
        )
        argv = demo.command_of_this_machine()
        output.text("A home is founded: keys, log, policy, trust, memory.", "name")
        # With --json stdout is the report's, so what the commands say goes where the story goes.
        stage = demo.Stage.build(place / "home", stdout=2 if output.json else 1)
        output.text()
        output.text(f"A permitted command: {shlex.join(argv)}", "name")
        subject = demo.show_permitted(stage, argv, output)
        denials = {}
        for scene in demo.scenes(argv):
            output.text()
            output.text(scene.text, "name")
            denied = scene.play(stage)
            if denied.code != scene.code:
                raise demo.DemonstrationError(f"expected {scene.code}, but it ended in {denied}")
            denials[scene.code] = denied._asdict()
            output.text(f"  {output.paint('denied', 'deny')} {denied.code}  ({denied.condition})")
            output.text(f"  {denied.detail}", "quiet")
        output.text()
        output.text("The permitted case, from request to outcome", "name")
        demo.show_lineage(stage, subject, output)
        output.text()
        output.text("An audit of the whole log: every leaf, signature, link, sequence and decision again", "name")
        report = stage.audit()
        output.rows(
            [
                ("entries", str(report.size)),
                ("consistent", str(report.consistent).lower()),
                ("complete", str(report.complete).lower()),
                ("decisions", f"{report.decisions['equal']} of {report.decisions['total']} computed again and equal"),
            ]
        )
        if not report.ok:
            raise demo.DemonstrationError(f"the audit found {report.findings}")
        output.text("ok", "allow")
        output.result({"case": subject, "denials": denials, "audit": to_object(report)})
    return 0
