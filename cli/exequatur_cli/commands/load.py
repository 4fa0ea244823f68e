"""``exequatur log load``: load a served log with many clients who verify everything that it tells them."""

import secrets
from collections.abc import Callable
from pathlib import Path

import click

from exequatur_cli.founding import subject
from exequatur_cli.home import Home, now, open_home, unique
from exequatur_cli.main import EXIT_DENIED, EXIT_UNAVAILABLE, home_of, output_of, with_home
from exequatur_cli.output import Output
from exequatur_issuer.request import sign_request
from exequatur_log.load.report import Report, Tally
from exequatur_verifier.trust import TrustedLog
from exequatur_verifier.trust_file import parse as parse_trust


@click.command("load")
@click.argument("url")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(0.1, 86_400), help="How long.")
@click.option("--writers", default=4, show_default=True, type=click.IntRange(0, 1024))
@click.option("--readers", default=4, show_default=True, type=click.IntRange(0, 1024))
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1, 3000), help="Most statements at once.")
@click.option("--rate", type=click.FloatRange(0.01, 1e6), help="Statements a second, all together; else all that go.")
@click.option("--seed", type=click.IntRange(0), help="What decides who does what; by itself a random one.")
@click.option("--origin", help="Which of the logs in trust.toml this is, if it names several.")
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    url: str,
    seconds: float,
    writers: int,
    readers: int,
    batch: int,
    rate: float | None,
    seed: int | None,
    origin: str | None,
) -> int:
    """Load the log at URL, and check every receipt, proof, tile, head and duplicate against all that was told before.

    Requests of the home's requester are registered in it, for ever. What is believed are the keys in the home's
    trust.toml. Exits 77 for anything that contradicts anything else, 69 if the log was not reached or not read back
    whole. Ask the log itself, not a cache before it.
    """
    import asyncio

    import uvloop

    from exequatur_log.load.client import parse_url
    from exequatur_log.load.run import Plan, load

    try:
        parse_url(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    output = output_of(ctx)
    plan = Plan(seconds, writers, readers, batch, rate, secrets.randbits(32) if seed is None else seed)
    with open_home(home_of(ctx)) as home:
        log, make = trusted(home.path, origin), maker(home)
    with output.progress("load") as shown, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def progress(tally: Tally, took: float) -> None:
            done = (
                f"{tally.acknowledged:,} entries, {sum(tally.checks.values()):,} checks, {tally.disconnected:,} cut off"
            )
            shown.stage(f"{done}; second", int(took), int(seconds))

        report = runner.run(load(url, log, make, plan, progress))
    output.result(report.to_object())
    _show(output, report)
    if report.violations:
        return EXIT_DENIED
    return 0 if report.whole else EXIT_UNAVAILABLE


def trusted(home: Path, origin: str | None) -> TrustedLog:
    """Return the log that a home trusts, of this origin if one is named; raise ``UsageError``."""
    logs = parse_trust((home / "trust.toml").read_bytes()).logs
    if origin is None and len(logs) == 1:
        return next(iter(logs.values()))
    if origin is None or origin not in logs:
        raise click.UsageError(f"name with --origin one of {', '.join(sorted(logs))}")
    return logs[origin]


def maker(home: Home) -> Callable[[], bytes]:
    """Return what signs, as the home's requester, a request that nobody answers."""
    signer, settings = home.signer("requester"), home.settings
    audience = next(iter(settings.runtimes.values())).id
    descriptor = {
        "type": "process.exec",
        "name": b"/bin/true",
        "args": [b"/bin/true"],
        "cwd": b"/",
        "env": {},
        "uid": 0,
    }

    def make() -> bytes:
        return sign_request(
            descriptor,
            signer,
            iss=settings.requester.iss,
            audience=audience,
            subject=subject(),
            unique=unique(),
            salt=unique(),
            now=now(),
        )

    return make


def _show(output: Output, report: Report) -> None:
    output.text(f"{report.origin}: {report.acknowledged:,} entries in {report.seconds:.1f} s, seed {report.seed}")
    output.rows(
        [
            ("entries a second", f"{report.per_second:,.1f}"),
            ("sent again", f"{report.duplicates:,} answered as before"),
            ("cut off", f"{report.disconnected:,} requests, {report.unanswered:,} of them given up"),
            ("pushed back", f"{report.pushed_back:,}"),
            ("checked", f"{sum(report.checks.values()):,} answers to readers, {report.heads:,} heads"),
            ("read back", f"{report.size:,} entries" if report.whole else output.paint("not whole", "deny")),
        ]
    )
    output.text()
    output.rows([("answers in ms", "count", "p50", "p90", "p99", "longest")])
    output.rows(
        [
            (
                name,
                f"{found.answers:,}",
                f"{found.p50:.1f}",
                f"{found.p90:.1f}",
                f"{found.p99:.1f}",
                f"{found.longest:.1f}",
            )
            for name, found in report.latencies.items()
        ]
    )
    for violation in report.violations:
        record = "" if violation.record is None else f" (record {violation.record.hex()})"
        output.text(f"{output.paint(violation.code, 'deny')}: {violation.detail}{record}")
    if not report.violations:
        output.text("nothing that was told contradicts anything else" if report.whole else "the end could not be read")
