"""``exequatur serve``: the home's log over HTTP, and its authority beside it."""

import asyncio
from pathlib import Path

import click

from exequatur_cli.address import parse_address, url_of
from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home


@click.command("serve")
@click.option("--listen", "address", default="127.0.0.1:8080", show_default=True, help="HOST:PORT; port 0 is any free.")
@click.option("--quota", type=float, help="Statements a second that each key may register, ten seconds' worth at once.")
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with the SHA-256 of an operator's token, in hexadecimal, on each line; they alone read /metrics.",
)
@click.option(
    "--ready-age",
    type=click.IntRange(1, 86_400),
    help="Seconds beyond which a head is too old for /readyz; an idle log without witnesses grows old.",
)
@click.option("--no-authority", is_flag=True, help="Serve the log alone, also where the home has an authority's key.")
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    address: str,
    quota: float | None,
    tokens: Path | None,
    ready_age: int | None,
    no_authority: bool,
) -> None:
    """Serve the home's transparency log and its authority on one port, until SIGTERM or Ctrl-C.

    The log: SCRAPI, C2SP tiles, proofs and lookup. Where it lies, who witnesses it and where it is published to is said
    by log.toml in the home. The authority: requests, dry runs, approvals and AuthZEN. Who may ask for whom is said by
    service.toml in the home. Other commands go on working in the home meanwhile, and so may other servers of a log in
    PostgreSQL. TLS is a reverse proxy's.
    """
    import uvloop

    from exequatur_cli.office import beside, read_settings
    from exequatur_log.http import server
    from exequatur_log.http.health import Settings
    from exequatur_log.log import now
    from exequatur_log.publish.preparation import preparing
    from exequatur_log.quota import Rate

    output = output_of(ctx)
    host, port = parse_address(address)
    if quota is not None and not 0 < quota < 1e6:
        raise click.UsageError("a quota is a number of statements a second above 0")
    settings = Settings(frozenset() if tokens is None else read_tokens(tokens), ready_age)
    with open_home(home_of(ctx)) as home:
        names = home.log.identity
        keys = home.log_keys(names.iss, names.origin)
        place = home.log_place
        prepare = preparing(home.log_settings, home.path, now)
        path, authority = home.path, None
        around: server.Around = server.alone
        if not no_authority and (path / "keys" / "authority.pem").exists():
            around = beside(path, read_settings(path), lambda: open_home(path))
            authority = home.settings.authority.iss
    listener = server.listen(host, port)
    server.write_journal()
    url = url_of(listener)

    def started(running: server.Running) -> None:
        origin = running.log.identity.origin
        output.result({"url": url, "origin": origin, "authority": authority})
        output.text(f"{origin}{'' if authority is None else f' and {authority}'} at {url}")

    rate = None if quota is None else Rate(quota, max(1.0, quota * 10))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            server.serve(place, keys, listener, started, settings=settings, rate=rate, prepare=prepare, around=around)
        )


def read_tokens(path: Path) -> frozenset[bytes]:
    """Return the digests in a file of operators' tokens; raise ``UsageError`` for a line that is none."""
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    try:
        digests = frozenset(bytes.fromhex(line) for line in lines)
    except ValueError:
        digests = frozenset((b"",))
    if not digests or any(len(digest) != 32 for digest in digests):
        raise click.UsageError(f"{path} holds a SHA-256 in 64 hexadecimal digits on each line, and at least one")
    return digests
