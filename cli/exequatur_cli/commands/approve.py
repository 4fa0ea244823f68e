"""``exequatur approve``: what waits for approvals, and consent to one request after it has been read."""

from pathlib import Path

import click

from exequatur_cli.home import Home, now, open_home, unique
from exequatur_cli.issuing import RequestId, enrolled_as, load_own, logged_request
from exequatur_cli.main import EXIT_DENIED, Unavailable, home_of, output_of, with_home
from exequatur_cli.output import Output
from exequatur_cli.timing import DURATION
from exequatur_cli.waiting import pending
from exequatur_issuer.approvals import GRANT, sign_approval
from exequatur_issuer.display import describe, escape
from exequatur_issuer.modes import fault
from exequatur_issuer.replay import opened
from exequatur_verifier import statement
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Decision, Kind, Request
from exequatur_verifier.statement import Statement


@click.command("approve")
@click.argument("request_id", type=RequestId(), required=False, metavar="[REQUEST]")
@click.option(
    "--scope",
    type=click.Choice(["once", "uses", "until", "task"]),
    help="What for: one execution, --uses of them, any number until then; or all that is done under a grant.",
)
@click.option("--uses", type=click.IntRange(1), help="For so many executions, with scope uses or task.")
@click.option("--ttl", type=DURATION, default="10m", show_default=True, help="How long the approval holds.")
@click.option("--key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another approver's key.")
@click.option("--iss", help="The name that key is enrolled under. Default: what the log says.")
@click.option("--deny", is_flag=True, help="Show it and sign nothing. That leaves no record; the request waits on.")
@click.option("--yes", is_flag=True, help="Sign without asking; what is signed is shown all the same.")
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    request_id: bytes | None,
    scope: str | None,
    uses: int | None,
    ttl: int,
    key: Path | None,
    iss: str | None,
    deny: bool,
    yes: bool,
    passphrase_file: Path | None,
) -> int:
    """Show exactly what a REQUEST asks for, and sign consent to it; without one, list what waits. `last` is the newest.

    An approval names the request and the digest of its action, and is good for nothing else. Who asked, and the
    authority that decides, cannot approve; the authority and every runtime check that again.
    """
    output = output_of(ctx)
    if (scope == "uses" and uses is None) or (scope in ("once", "until") and uses is not None):
        raise click.UsageError("--uses goes with --scope uses or task, and scope uses needs it")
    if iss is not None and key is None:
        raise click.UsageError("--iss is the name of the key that --key names")
    with open_home(home_of(ctx), passphrase_file) as home:
        if request_id is None:
            return _list(home, output)
        request = logged_request(home, request_id)
        record = request.record
        assert isinstance(record, Request)
        wrong = fault(record, home.settings.modes)
        if wrong is not None:
            output.result({"approved": False, "request": request.id, "detail": wrong})
            output.text(f"not approved: {wrong}, so an approval would permit nothing")
            return EXIT_DENIED
        shown = _show(home, output, request)
        if deny or (not yes and not click.confirm("Sign this approval?", err=True)):
            output.result({"approved": False, **shown})
            output.text("not approved: nothing was signed, and nothing is recorded")
            return EXIT_DENIED
        approver = home.settings.approver
        if key is None and approver is None:
            raise Unavailable("this home has no approver; name a key with --key, and have it enrolled")
        signer = home.signer("approver") if key is None else load_own(home, key)
        if key is not None:
            iss = iss or enrolled_as(home, signer.public_key.thumbprint)
        name = iss or ("" if approver is None else approver.iss)
        scope = scope or ("task" if record.action.type == GRANT else "once" if uses is None else "uses")
        time = now()
        try:
            entry = sign_approval(
                request,
                signer,
                iss=name,
                scope=scope,
                uses={"once": 1, "until": 0}.get(scope, uses or 0),
                expires=time + ttl,
                now=time,
                unique=unique(),
            )
        except ValueError as error:
            output.text(f"not approved: {error}")
            return EXIT_DENIED
        index = home.log.register(entry).leaf_index
    approval = statement.parse(entry)
    output.result({"approved": True, "approval": approval.id, "index": index, "expires": time + ttl, **shown})
    output.text(f"approved until {time + ttl}: entry {index}")
    output.rows([("approval", approval.id.hex()), ("request", request.id.hex())])
    return 0


def _list(home: Home, output: Output) -> int:
    waiting = pending(home, now())
    output.result(
        {
            "pending": [
                {
                    "request": item.request.id,
                    "subject": item.request.claims.sub,
                    "requester": item.request.claims.iss,
                    "since": item.decision.claims.iat,
                    "approvals": [approval.claims.iss for approval in item.approvals],
                }
                for item in waiting
            ]
        }
    )
    if not waiting:
        output.text("nothing waits for approval")
    for item in waiting:
        output.text(item.request.id.hex(), "name")
        by = ", ".join(approval.claims.iss for approval in item.approvals) or "nobody yet"
        output.rows([("requester", item.request.claims.iss), ("since", str(item.decision.claims.iat)), ("by", by)])
    return 0


def _show(home: Home, output: Output, request: Statement) -> dict[str, object]:
    """Show what an approval of a request would be of, recomputed from what its digest binds."""
    record = request.record
    assert isinstance(record, Request)
    try:
        _, descriptor = opened(request, home.content)
    except ExequaturError as error:
        raise Unavailable(
            f"what {request.id.hex()} asks for cannot be shown, so it cannot be approved: {error}"
        ) from None
    lines = describe(descriptor)
    output.text(f"request {request.id.hex()}", "name")
    heading = [("requester", escape(request.claims.iss)[0]), ("audience", escape(record.audience)[0])]
    heading += [("digest", record.action.commitment.hex()), ("asked for", _extent(record))]
    heading += [("because", sentence) for sentence in _why(home, request)]
    output.rows(heading)
    lines += describe({"claims": record.claims}) if record.claims else []
    output.rows([(line.place, line.text) for line in lines])
    for line in lines:
        for warning in line.warnings:
            output.text(f"  careful: {line.place} {warning}", "deny")
    return {
        "request": request.id,
        "requester": request.claims.iss,
        "audience": record.audience,
        "commitment": record.action.commitment,
        "action": [{"place": line.place, "value": line.text, "warnings": list(line.warnings)} for line in lines],
    }


def _extent(record: Request) -> str:
    """Return how long and how often a request asks for; policy may grant less."""
    seconds = "as long" if record.ttl is None else f"{record.ttl} s"
    uses = "as often as policy grants" if record.uses is None else f"{record.uses} use(s)"
    return f"{seconds}, {uses}"


def _why(home: Home, request: Statement) -> tuple[str, ...]:
    """Return what was decided on a request, and by which policies, with what the set in force says of each."""
    entries = home.log.find(sub=request.claims.sub, kind=Kind.DECISION, limit=1, newest_first=True)
    record = None if not entries else statement.parse(entries[0].statement).record
    if not isinstance(record, Decision):
        return ()
    docs = {policy.id: policy.annotations.get("doc", "") for policy in home.policy_in_force(now()).engine.policies}
    decided = record.outcome if record.code is None else f"{record.outcome} {record.code}"
    return (decided, *(f"{name}: {escape(docs.get(name, ''))[0]}" for name in record.reasons))
