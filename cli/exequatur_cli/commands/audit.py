"""``exequatur audit``: consistency, completeness, every signature, every decision computed again; or only the last."""

from pathlib import Path

import click

from exequatur_cli.audit import audit, to_object
from exequatur_cli.main import EXIT_DENIED, home_of, output_of, with_home
from exequatur_gate.home import locate


@click.command("audit")
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replay", is_flag=True, help="Only compute the decisions again; nothing else is checked but the head.")
@with_home
@click.pass_context
def command(ctx: click.Context, directory: Path | None, replay: bool) -> int:
    """Audit the log of the home in DIRECTORY (default: --home, or the installed one), trusting only its trust.toml."""
    output = output_of(ctx)
    named = directory or home_of(ctx)
    path = Path(locate(None if named is None else str(named)))
    with output.progress("audit") as progress:
        report = audit(path, progress.stage, only_replay=replay)
    output.result(to_object(report))
    decisions = report.decisions
    output.text(f"{report.origin}: {report.size} entries, root {report.root.hex()}")
    equal = f"{decisions['equal']} of {decisions['total']} computed again and equal, by {report.engine}"
    rest = [
        ("orphaned", str(report.orphaned)),
        ("unflushed", str(report.unflushed)),
        *((kind, str(number)) for kind, number in report.entries.items()),
    ]
    output.rows(
        [
            ("consistent", _word(report.consistent)),
            ("complete", _word(report.complete)),
            ("decisions", equal),
            *([] if replay else rest),
        ]
    )
    for finding in report.findings:
        place = "" if finding.leaf_index is None else f" at entry {finding.leaf_index}"
        place += "" if finding.record is None else f", record {finding.record.hex()}"
        output.text(f"{output.paint(finding.code, 'deny')}{place}: {finding.detail}")
    output.text(output.paint("ok", "allow") if report.ok else output.paint("not ok", "deny"))
    return 0 if report.ok else EXIT_DENIED


def _word(value: bool | None) -> str:
    return "not asked" if value is None else "yes" if value else "no"
