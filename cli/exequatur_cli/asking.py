"""Options of the commands that ask for something: under a grant, or in a mode."""

from pathlib import Path
from typing import Any

import click

from exequatur_issuer.modes import MODES, claims_of

from .home import Home
from .issuing import Under, hold


def with_grant(function: Any) -> Any:
    """Give a command ``--parent`` and ``--key``: the grant that it asks under, and its holder's key."""
    parent = click.option(
        "--parent",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="GRANT.exq",
        help="Ask under this grant, which `exequatur delegate` made, with --key.",
    )
    key = click.option(
        "--key",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The key file that the grant is bound to. A file `passphrase` beside it opens it, else the home's does.",
    )
    return parent(key(function))


def with_mode(function: Any) -> Any:
    """Give a command ``--mode`` and ``--reason``."""
    mode = click.option(
        "--mode",
        type=click.Choice(MODES),
        help="Ask for it although policy denies it, where settings and trust permit that; with --reason.",
    )
    reason = click.option("--reason", metavar="TEXT", help="Why that is asked for; it is kept in the log.")
    return mode(reason(function))


def check_again(again: bytes | None, parent: Path | None, mode: str | None = None) -> None:
    """Refuse a grant or a mode beside ``--request``, which names a request that says so itself."""
    if again is not None and (parent, mode) != (None, None):
        raise click.UsageError(
            "the request that --request names says under which grant, or in which mode; leave it out"
        )


def grant_of(home: Home, parent: Path | None, key: Path | None) -> Under | None:
    """Return the grant to ask under, if one is named."""
    if (parent is None) != (key is None):
        raise click.UsageError("--parent names the grant, and --key the key that it is bound to; name both")
    return None if parent is None or key is None else hold(home, parent, key)


def mode_claims(mode: str | None, reason: str | None) -> dict[str, str]:
    """Return the claims of a request for a mode, none if none is named."""
    if (mode is None) != (reason is None):
        raise click.UsageError("--mode comes with --reason")
    return {} if mode is None or reason is None else claims_of(mode, reason)
