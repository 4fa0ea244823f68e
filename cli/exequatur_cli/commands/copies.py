"""``exequatur log export`` and ``import``: a log in one file, and a log made of it again."""

from pathlib import Path

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_log.exporting import export_blocking
from exequatur_log.importing import import_blocking
from exequatur_log.storage import place as places

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_home
@click.pass_context
def export(ctx: click.Context, file: Path) -> None:
    """Write a copy of the log to FILE, of one moment, while others go on appending. It is a copy, and no log."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home, output.progress("export") as progress:
        head = export_blocking(home.log_place, file, progress.of)
    output.result({"file": str(file), "size": head.size, "root": head.root})
    output.text(f"{file}: {head.size} entries, root {head.root.hex()}")


@click.command("import")
@click.argument("file", type=_FILE)
@click.option(
    "--head", "heads", multiple=True, type=_FILE, help="A checkpoint that the log has published; the copy must hold it."
)
@click.option("--database", metavar="PLACE", help="Where the log is made, instead of where the home's log lies.")
@with_home
@click.pass_context
def import_(ctx: click.Context, file: Path, heads: tuple[Path, ...], database: str | None) -> None:
    """Make the home's log again from the copy in FILE, everything in it checked. There must be no log yet.

    A copy that is older than the log was would fork it. Show the newest checkpoints that can be found, with --head.
    """
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home, output.progress("import") as progress:
        place = home.log_place if database is None else places.parse(database)
        head = import_blocking(file, place, [each.read_bytes() for each in heads], progress.of)
    output.result({"place": str(place), "size": head.size, "root": head.root})
    output.text(f"{place}: {head.size} entries, root {head.root.hex()}")
