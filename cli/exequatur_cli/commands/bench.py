"""``exequatur bench``: what this machine and the disk under the home's log let a log do."""

from pathlib import Path

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home


@click.command("bench")
@with_home
@click.pass_context
def command(ctx: click.Context) -> None:
    """Measure, for a few seconds, raw signatures, the disk under the home, and a temporary log on it.

    The home's own log is not touched, and nothing is left behind. A log in PostgreSQL is limited by that server's disk
    and the way to it, which are not measured here.
    """
    from exequatur_log.measure import measure

    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        place = home.log_place
        folder = place.parent if isinstance(place, Path) else home.path
    with output.progress("bench") as progress:
        found = measure(folder, lambda stage: progress.stage(stage, 0, 0))
    output.result(
        {
            "folder": str(folder),
            "cores": found.cores,
            "figures": [figure._asdict() for figure in found.figures],
            "limits": found.limits,
        }
    )
    output.text(f"{found.cores} cores, {folder}")
    output.rows(
        (
            figure.name,
            f"{figure.value:,.0f}" if figure.unit == "/s" else f"{figure.value:.3f}",
            figure.unit,
            "" if figure.ratio is None else f"{figure.ratio:6.2f} × {figure.of}",
        )
        for figure in found.figures
    )
    for what, why in (("a registration alone", "alone"), ("registrations in batches", "batches")):
        output.text(f"{what}: limited by {found.limits[why]}")
