"""The options of commands that work with a directory or a bucket. Keys are never among them."""

from pathlib import Path
from typing import Any

import click

from exequatur_cli.main import Unavailable
from exequatur_log.errors import StoreError
from exequatur_log.publish.store import Bucket, Store, open_store


def with_store(function: Any) -> Any:
    """Give a command the options that say how a bucket is reached."""
    endpoint = click.option("--endpoint", help="The bucket's endpoint, if it is not Amazon's; https, or this machine.")
    region = click.option("--region", help="The bucket's region, if the AWS environment does not name it.")
    credentials = click.option(
        "--credentials",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="A credentials file as the AWS tools keep it; else the AWS environment's, or the machine's role.",
    )
    return endpoint(region(credentials(function)))


def store_of(place: str, endpoint: str | None, region: str | None, credentials: Path | None) -> Store:
    """Return the store that a command line names; raise ``UsageError`` or ``Unavailable``."""
    try:
        return open_store(place, Bucket(endpoint, region, credentials))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except StoreError as error:
        raise Unavailable(str(error)) from None
