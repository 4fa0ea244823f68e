"""``exequatur log publish``: the home's log copied to a directory or a bucket, one round."""

import asyncio
from pathlib import Path

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import Unavailable, home_of, output_of, with_home
from exequatur_cli.output import Progress
from exequatur_cli.store_options import store_of, with_store
from exequatur_log.errors import StoreError
from exequatur_log.log import Log
from exequatur_log.publish.probe import probe
from exequatur_log.publish.publisher import Published, publish
from exequatur_log.publish.store import Store
from exequatur_log.storage.place import Place


@click.command("publish")
@click.argument("target", metavar="DIR|s3://BUCKET[/PREFIX]")
@with_store
@with_home
@click.pass_context
def command(
    ctx: click.Context, target: str, endpoint: str | None, region: str | None, credentials: Path | None
) -> None:
    """Copy the log's tiles, bundles and checkpoint to where any web server can serve them from.

    What is there already stays, and is never replaced, the checkpoint excepted. Interrupted, it goes on where it was.
    """
    output = output_of(ctx)
    store = store_of(target, endpoint, region, credentials)
    with open_home(home_of(ctx)) as home:
        place = home.log_place
    with output.progress("publish") as progress:
        try:
            done = asyncio.run(_round(place, store, progress))
        except StoreError as error:
            raise Unavailable(str(error)) from None
    output.result({"target": store.name, **done._asdict(), "note": done.note.decode()})
    output.text(f"{store.name}: {done.size:,} entries, {done.size - done.former_size:,} of them new")
    output.rows(
        [
            ("written", f"{done.objects:,} objects, {done.bytes:,} bytes, {done.seconds:.1f} s"),
            ("behind", f"{done.behind:,} entries, {done.lag:,} s"),
        ]
    )


async def _round(place: Place, store: Store, progress: Progress) -> Published:
    async with await Log.open(place) as log:
        await probe(store)
        head = await log.head()
        return await publish(log, store, head.note, progress=progress.of)
