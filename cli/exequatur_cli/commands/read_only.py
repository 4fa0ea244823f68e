"""``exequatur log serve --read-only``: what is published of a log over HTTP, without its database."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from exequatur_cli.address import parse_address, url_of
from exequatur_cli.main import output_of, with_home
from exequatur_cli.store_options import store_of, with_store
from exequatur_log.publish.mirror import Mirror
from exequatur_verifier import note


@click.command("serve")
@click.option("--read-only", "source", required=True, metavar="DIR|s3://BUCKET[/PREFIX]", help="What to serve.")
@click.option("--listen", "address", default="127.0.0.1:8081", show_default=True, help="HOST:PORT; port 0 is any free.")
@click.option(
    "--vkey", "vkeys", multiple=True, help="The log's verifier key, from elsewhere; several after a rotation of keys."
)
@with_store
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    address: str,
    vkeys: tuple[str, ...],
    endpoint: str | None,
    region: str | None,
    credentials: Path | None,
) -> None:
    """Serve the tiles, entries and proofs of a published log, each proven first, until SIGTERM or Ctrl-C.

    A home is not needed. Without --vkey the signature of the checkpoint is for its readers to check.
    """
    import uvloop

    from exequatur_log.http import server

    output = output_of(ctx)
    store = store_of(source, endpoint, region, credentials)
    mirror = Mirror(store, [note.parse_key(vkey) for vkey in vkeys])
    host, port = parse_address(address)
    listener = server.listen(host, port)
    server.write_journal()
    url = url_of(listener)

    def started(_: Callable[[], None]) -> None:
        output.result({"url": url, "source": store.name})
        output.text(f"{store.name} at {url}")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve_published(mirror, listener, started))
