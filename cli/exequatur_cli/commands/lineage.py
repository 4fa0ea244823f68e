"""``exequatur lineage``: one case, from its request to its outcome."""

import sys

import click

from exequatur_cli.home import open_home
from exequatur_cli.lineage import FORMATS, collect, newest_subject, to_object, tree
from exequatur_cli.main import Unavailable, home_of, output_of, with_home
from exequatur_log.blocking import BlockingLog


@click.command("lineage")
@click.argument("case", required=False, metavar="[ID|URN]")
@click.option("--format", "form", type=click.Choice(["tree", "json", *FORMATS]), default="tree", show_default=True)
@with_home
@click.pass_context
def command(ctx: click.Context, case: str | None, form: str) -> None:
    """Show the records of one execution and their links: by its URN, by any record id of it, or the newest case."""
    from exequatur_cli.commands.log import entry_at

    output = output_of(ctx)._replace(json=output_of(ctx).json or form == "json")
    with open_home(home_of(ctx)) as home, BlockingLog.open(home.log_place) as log:
        if case is None:
            subject = newest_subject(log)
            if subject is None:
                raise Unavailable(f"{home.path} has no case yet; `exequatur run -- CMD` makes one")
        else:
            subject = case if case.startswith("urn:") else entry_at(log, case).sub
        found = collect(log, subject, home.content)
    if not found.nodes:
        raise Unavailable(f"no record of {subject} is in this log")
    if form in FORMATS:
        sys.stdout.write(FORMATS[form](found))
        return
    output.result(to_object(found))
    for line in tree(found):
        output.text(line)
