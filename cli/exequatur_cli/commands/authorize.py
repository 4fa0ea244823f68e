"""``exequatur authorize``: request, decision, artifact, log; a bundle to carry elsewhere."""

from pathlib import Path

import click

from exequatur_cli.asking import check_again, grant_of, mode_claims, with_grant, with_mode
from exequatur_cli.home import open_home
from exequatur_cli.issuing import RequestId, authorize
from exequatur_cli.main import EXIT_DENIED, Unavailable, home_of, output_of, with_home
from exequatur_cli.output import Output
from exequatur_cli.remote import Service
from exequatur_cli.runtime import measure, read_action
from exequatur_cli.timing import DURATION
from exequatur_issuer.authorize import Issued, Refused


@click.command("authorize")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The bundle."
)
@click.option(
    "--action", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The action, as a JSON file."
)
@click.option("--for", "runtime", default="local", show_default=True, help="A runtime in the home's authority.toml.")
@click.option("--ttl", type=DURATION, help="Valid for at most this long, as 90s, 5m, 1h; it only narrows.")
@click.option("--uses", type=click.IntRange(1), help="For at most so many executions; it only narrows.")
@click.option(
    "--claim", "claims", multiple=True, metavar="NAME", help="A condition that you vouch for, read by policy."
)
@click.option(
    "--request", "again", type=RequestId(), metavar="ID", help="A request of this that was approved meanwhile."
)
@click.option("--url", help="Ask the authority that is served there, instead of the home's own.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --url: an API key or a token to show, which proves the user that the claims name.",
)
@click.option("--user", help="The user on whose behalf this is asked; who must be allowed it too.")
@with_grant
@with_mode
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD…]")
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    target: Path,
    action: Path | None,
    runtime: str,
    ttl: int | None,
    uses: int | None,
    claims: tuple[str, ...],
    again: bytes | None,
    url: str | None,
    token_file: Path | None,
    user: str | None,
    parent: Path | None,
    key: Path | None,
    mode: str | None,
    reason: str | None,
    passphrase_file: Path | None,
    command_line: tuple[str, ...],
) -> int:
    """Ask an authority to permit CMD (measured here) or an action, and write the bundle."""
    output = output_of(ctx)
    check_again(again, parent, mode)
    if again is not None and url is not None:
        raise click.UsageError("what waits in the home is asked for again without --url")
    if token_file is not None and url is None:
        raise click.UsageError("a token is shown to a service; name it with --url")
    service = None if url is None else Service(url, None if token_file is None else token_file.read_text().strip())
    if (action is None) == (not command_line):
        raise click.UsageError("name either a command after --, or an action with --action")
    with open_home(home_of(ctx), passphrase_file) as home:
        if runtime not in home.settings.runtimes:
            known = ", ".join(home.settings.runtimes)
            raise Unavailable(f"no runtime {runtime!r} in {home.path / 'authority.toml'}; it has {known}")
        descriptor, facts = measure(command_line) if action is None else (read_action(action), None)
        measured = {} if facts is None else dict(facts.measured)
        if runtime != "local":
            # The name of this host says nothing about where another runtime is.
            measured.pop("host", None)
        answer = authorize(
            home,
            descriptor,
            measured,
            runtime=home.settings.runtimes[runtime],
            claims={
                **dict.fromkeys(claims, True),
                **({} if user is None else {"user": user}),
                **mode_claims(mode, reason),
            },
            ttl=ttl,
            uses=uses,
            again=again,
            service=service,
            under=grant_of(home, parent, key),
        )
    return report(output, answer, target, "authorize")


def report(output: Output, answer: Issued | Refused, target: Path, command: str) -> int:
    """Write the bundle of what was issued to ``target``, or say why there is none."""
    if isinstance(answer, Refused):
        output.result(
            {
                "issued": False,
                "code": answer.code,
                "detail": answer.detail,
                "decision": answer.decision,
                "explanation": list(answer.explanation),
                "request": answer.request,
                "approvals": answer.approvals,
            }
        )
        output.text(f"{output.paint('denied', 'deny')} {answer.code}: {answer.detail}")
        for sentence in answer.explanation:
            output.text(f"  {sentence}")
        if answer.request is not None:
            output.text(f"  approve: exequatur approve {answer.request.hex()}")
            output.text(f"  then:    exequatur {command} --request {answer.request.hex()} …")
        return EXIT_DENIED
    target.write_bytes(answer.bundle)
    output.result(
        {
            "issued": True,
            "file": str(target),
            "subject": answer.subject,
            "request": answer.request,
            "decision": answer.decision,
            "authorization": answer.authorization,
            "expires": answer.expires,
            "uses": answer.uses,
        }
    )
    output.text(f"{target}: {len(answer.bundle)} bytes, {answer.uses} use(s), until {answer.expires}")
    output.rows([("case", answer.subject), ("authorization", answer.authorization.hex())])
    return 0
