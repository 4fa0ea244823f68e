"""``exequatur log rotate``: fresh keys for the log's receipts and checkpoints."""

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_cli.rotation import rotate


@click.command("rotate")
@with_home
@click.pass_context
def command(ctx: click.Context) -> None:
    """Put fresh keys for receipts and checkpoints in force, and retire those in use.

    Old receipts verify for ever with the old keys, which trust.toml keeps. Stop other processes that append to this log
    first, or they stop by themselves. It can be run again after an interruption.
    """
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        rotated = rotate(home)
    output.result(rotated._asdict())
    output.text("The log signs with fresh keys, and this home's trust.toml names them.")
    output.rows([("receipt key", rotated.receipt_key), ("checkpoint key", rotated.checkpoint_vkey)])
    output.text("Add both to the trust.toml of every runtime elsewhere, beside the old ones.", "quiet")
