"""``exequatur enrol``: a runtime elsewhere, for ``authorize --for``."""

from pathlib import Path

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_cli.runtimes import enrol


@click.command("enrol")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@with_home
@click.pass_context
def command(ctx: click.Context, name: str, directory: Path) -> None:
    """Make the home of a runtime NAME in DIRECTORY, to be carried to where it runs.

    It holds a key, trust and memory, and nothing of the authority. `exequatur authorize --for NAME` issues for it, and
    `python -m exequatur_gate run --bundle FILE --home DIRECTORY -- CMD` needs the base install only.
    """
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        try:
            entry = enrol(home, name, directory.absolute())
        except (ValueError, FileExistsError) as error:
            raise click.UsageError(str(error)) from None
    output.result({"name": name, "id": entry.id, "key": entry.key.thumbprint, "home": str(directory)})
    output.text(f"runtime {name} in {directory}")
    output.rows([("id", entry.id), ("key", entry.key.thumbprint.hex())])
    output.text("Its records wait in its own state.db until a log is in reach.", "quiet")
