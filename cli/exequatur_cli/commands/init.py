"""``exequatur init``: a working home with everything embedded."""

from pathlib import Path

import click

from exequatur_cli.main import home_of, output_of, with_home
from exequatur_gate.home import locate


@click.command("init")
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--leeway", default=60, show_default=True, type=click.IntRange(0, 3600), help="Seconds that clocks may differ."
)
@click.option(
    "--database", metavar="URL", help="Where the log lies instead: postgresql://USER@HOST/NAME, an empty database."
)
@with_home
@click.pass_context
def command(ctx: click.Context, directory: Path | None, leeway: int, database: str | None) -> None:
    """Make a home in DIRECTORY: keys, log, policy, trust and memory. Without one, the home that commands look for."""
    from exequatur_cli import founding

    output = output_of(ctx)
    named = directory or home_of(ctx)
    made = founding.found(Path(locate(None if named is None else str(named))), leeway=leeway, database=database)
    output.result(
        {
            "home": str(made.path),
            "origin": made.origin,
            "genesis": made.genesis,
            "runtime": made.runtime,
            "policy": made.policy,
        }
    )
    output.text(f"A home in {made.path}")
    output.rows(
        [
            ("log", f"{made.origin}, genesis {made.genesis.hex()}"),
            ("runtime", made.runtime),
            ("policy", f"{made.policy.hex()}, epoch 1, from {made.path / 'policy'}"),
            ("passphrase", f"in {made.path / 'keys' / 'passphrase'}, for all keys"),
        ]
    )
    output.text("This is a development home: one user holds every role, and what runs could reach it.", "quiet")
    output.text(
        "The starter policy is broad: any command of this home's requester but shred. "
        "Narrow it in policy/starter.cedar, then `exequatur policy publish`.",
        "quiet",
    )
