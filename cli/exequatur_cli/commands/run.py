"""``exequatur run``: all six phases for one command, or with ``--bundle`` the runtime's half of them."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from exequatur_cli.asking import check_again, grant_of, mode_claims, with_grant, with_mode
from exequatur_cli.freshening import freshen
from exequatur_cli.home import Home, open_home
from exequatur_cli.issuing import RequestId, authorize
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_cli.output import Output, plain
from exequatur_cli.runtime import measure
from exequatur_gate.report import describe
from exequatur_gate.run import DENIED, Run, run
from exequatur_issuer.authorize import Issued, Refused
from exequatur_verifier.host import CommandNotFoundError


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Authorized elsewhere; verify and execute.",
)
@click.option(
    "--claim", "claims", multiple=True, metavar="NAME", help="A condition that you vouch for, read by policy."
)
@click.option(
    "--request", "again", type=RequestId(), metavar="ID", help="A request of this that was approved meanwhile."
)
@with_grant
@with_mode
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] CMD…")
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    bundle_file: Path | None,
    claims: tuple[str, ...],
    again: bytes | None,
    parent: Path | None,
    key: Path | None,
    mode: str | None,
    reason: str | None,
    passphrase_file: Path | None,
    command_line: tuple[str, ...],
) -> int:
    """Run CMD if policy permits it: request, decision, artifact, log, offline verification, execution, outcome.

    stdout is CMD's alone; the case goes to stderr, and so does the object of --json, because stdout is taken. The exit
    status is CMD's, 128+n when it died of signal n, and 77 when it was denied and nothing ran.
    """
    output = output_of(ctx)
    check_again(again, parent, mode)
    if bundle_file is not None and (parent, mode) != (None, None):
        raise click.UsageError(
            "what --bundle names is authorized already: nothing is asked for under a grant or in a mode"
        )
    with open_home(home_of(ctx), passphrase_file, enforcing=True) as home:
        if bundle_file is not None:
            presented = freshen(home, bundle_file.read_bytes() if bundle_file.exists() else None)
            return _report(output, _execute(home, presented, command_line), None)
        try:
            descriptor, facts = measure(command_line)
        except CommandNotFoundError as error:
            raise click.UsageError(str(error)) from None
        under = grant_of(home, parent, key)
        answer = authorize(
            home,
            descriptor,
            facts.measured,
            runtime=home.settings.runtimes["local"],
            claims={**dict.fromkeys(claims, True), **mode_claims(mode, reason)},
            # This bundle runs once and is gone; what else the grant allows is left to it.
            uses=None if under is None else 1,
            again=again,
            under=under,
        )
        if isinstance(answer, Refused):
            return _report_refusal(output, answer)
        return _report(output, _execute(home, answer.bundle, command_line), answer)


def _execute(home: Home, bundle: bytes | None, command_line: tuple[str, ...]) -> Run:
    with home.gate() as gate:
        return run(
            gate, bundle, [os.fsencode(argument) for argument in command_line], os.environb, os.fsencode(Path.cwd())
        )


def _report_refusal(output: Output, refused: Refused) -> int:
    _say(f"denied {refused.code}: {refused.detail}")
    for sentence in refused.explanation:
        _say(f"  {sentence}")
    if refused.request is not None:
        name = refused.request.hex()
        _say(f"  approve: exequatur approve {name}")
        _say(f"  then:    exequatur run --request {name} -- …")
    _json(
        output,
        {
            "exit_source": "authority",
            "code": refused.code,
            "detail": refused.detail,
            "decision": refused.decision,
            "explanation": refused.explanation,
            "request": refused.request,
            "approvals": refused.approvals,
        },
    )
    return DENIED


def _report(output: Output, made: Run, issued: Issued | None) -> int:
    decision = made.decision
    if decision.subject is not None:
        _say(decision.subject)
    if decision.failure is not None and decision.failure.code is not None:
        failure = decision.failure
        _say(f"denied at step {failure.number} ({failure.name}): {decision.failure.code.name}: {failure.detail}")
    if made.problem is not None:
        _say(made.problem)
    if made.flushed is not None and made.flushed.waiting:
        _say(f"{made.flushed.waiting} records wait for the log")
    issued_ids = {} if issued is None else {"request": issued.request, "decision": issued.decision}
    _json(output, {**describe(made), **issued_ids})
    return made.status


def _say(line: str) -> None:
    sys.stderr.write(f"exequatur: {line}\n")


def _json(output: Output, value: dict[str, Any]) -> None:
    if output.json:
        import json

        sys.stderr.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")
