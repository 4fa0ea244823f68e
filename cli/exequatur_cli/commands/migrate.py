"""``exequatur log migrate``: bring the tables of a log to the format of this build."""

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_log.migration import migrate_blocking


@click.command("migrate")
@with_home
@click.pass_context
def command(ctx: click.Context) -> None:
    """Bring the log's tables to the format of this build. Stop what appends, and keep a copy, before you do."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        former, newest = migrate_blocking(home.log_place)
    output.result({"from": former, "to": newest})
    output.text(f"format {newest} already" if former == newest else f"migrated from format {former} to {newest}")
