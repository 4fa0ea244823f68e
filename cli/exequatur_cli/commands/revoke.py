"""``exequatur revoke``: what was permitted is permitted no longer, for good or for a while."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from exequatur_cli.home import Home, now, open_home
from exequatur_cli.main import Unavailable, home_of, output_of, with_home
from exequatur_cli.output import Output
from exequatur_issuer import revoke, status
from exequatur_issuer.lists import StatusLists
from exequatur_issuer.revoke import Target, Verb
from exequatur_issuer.status import Names
from exequatur_log.errors import NotFoundError
from exequatur_verifier import bundle, shape, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Epoch, Kind
from exequatur_verifier.statement import Statement

_DONE: Final[dict[Verb, str]] = {"revoke": "revoked", "suspend": "suspended", "resume": "resumed"}
_STATUS: Final = {status.REVOKED: "revoked", status.SUSPENDED: "suspended"}


@click.command("revoke")
@click.argument("artifact", required=False, metavar="[ID|FILE|URN]")
@click.option("--subject", metavar="NAME", help="All that this requester asked for, or this execution, by its URN.")
@click.option("--policy", metavar="ID", help="All that was decided under this policy record.")
@click.option(
    "--key", metavar="THUMBPRINT", help="All that was asked for, signed or is to be carried out with this key."
)
@click.option("--epoch", metavar="[SET@]N", help="All that was decided under this epoch of the policy set or earlier.")
@click.option("--suspend", "verb", flag_value="suspend", help="Until it is resumed, not for good.")
@click.option("--resume", "verb", flag_value="resume", help="End a suspension.")
@click.option("--reason", metavar="TEXT", help="Why; it stands in the log.")
@click.option("--list", "listing", is_flag=True, help="Show what is revoked and suspended.")
@click.option("--renew", is_flag=True, help="Publish the lists again before they run out.")
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    artifact: str | None,
    subject: str | None,
    policy: str | None,
    key: str | None,
    epoch: str | None,
    verb: Verb | None,
    reason: str | None,
    listing: bool,
    renew: bool,
) -> None:
    """Revoke an artifact or a grant (by record id, bundle or case), or everything of a requester, policy, key or epoch.

    The next version of the authority's status list says so, and an enforcement record why. A runtime denies from the
    next list on that it is shown: `exequatur run --bundle` asks the home's log, other runtimes are handed a bundle that
    was refreshed, and none takes a list that has run out.
    """
    begun = time.monotonic_ns()
    output = output_of(ctx)
    options = {"subject": subject, "policy": policy, "key": key, "epoch": epoch}
    named = [(kind, value) for kind, value in options.items() if value is not None]
    if (artifact is not None) + len(named) + listing + renew != 1:
        raise click.UsageError("name one thing to revoke, or --list, or --renew")
    if (reason is None) != (listing or renew):
        raise click.UsageError("--reason goes with what is revoked" if reason else "say why, with --reason")
    with open_home(home_of(ctx)) as home:
        lists = home.status_lists()
        if lists is None:
            raise Unavailable(f"{home.path / 'authority.toml'} has no [status], so its artifacts cannot be revoked")
        if listing:
            _show(output, home, lists)
        elif renew:
            _renew(output, lists)
        else:
            assert reason is not None
            target = _artifact(home, artifact) if artifact is not None else _named(home, lists, *named[0])
            done = revoke.revoke(
                lists,
                home.reports(),
                target,
                verb or "revoke",
                reason,
                now=now(),
                elapsed_us=lambda: (time.monotonic_ns() - begun) // 1000,
            )
            _report(output, target, verb or "revoke", done)


def _artifact(home: Home, named: str) -> Target:
    """Return the authorization that a record id, the file of a bundle, or the URN of a case names."""
    if named.startswith("urn:"):
        found = home.log.find(sub=named, kind=Kind.AUTHORIZATION, newest_first=True, limit=1)
        if not found:
            raise Unavailable(f"the log holds no authorization of {named}")
        return revoke.of_artifact(statement.parse(found[0].statement))
    if Path(named).exists():
        artifact, _ = statement.parse_transparent(bundle.decode(Path(named).read_bytes()).artifact)
        record_id = artifact.id
    else:
        record_id = _digest(named)
    try:
        return revoke.of_artifact(statement.parse(home.log.get(record_id).statement))
    except NotFoundError:
        raise Unavailable(f"record {record_id.hex()} is not in the home's log") from None


def _named(home: Home, lists: StatusLists, kind: str, value: str) -> Target:
    """Return what is revoked by name."""
    match kind:
        case "subject":
            names = Names(subjects=frozenset((shape.text(value),)))
        case "policy":
            names = Names(policies=frozenset((_digest(value),)))
        case "key":
            names = Names(keys=frozenset((_digest(value),)))
        case _:
            policy_set, _, number = value.rpartition("@")
            if not number.isascii() or not number.isdecimal():
                raise click.UsageError(f"{value!r} is no epoch like 3 or urn:…@3")
            epoch = Epoch(shape.urn(policy_set or home.settings.policy_set), int(number))
            names, value = Names(epochs=frozenset((epoch,))), f"{epoch.number} of {epoch.set}"
    return Target(f"{kind} {value}", lists.first, names=names)


def _digest(text: str) -> bytes:
    try:
        return shape.digest(bytes.fromhex(text))
    except (ValueError, MalformedError):
        raise click.UsageError(f"{text!r} is no file, no URN, and no id of 64 hexadecimal digits") from None


def _report(output: Output, target: Target, verb: Verb, done: revoke.Revoked) -> None:
    record = status.record_of(done.version.signed)
    output.result(
        {
            "about": target.about,
            "verb": verb,
            "list": record.list,
            "index": None if target.entry is None else target.entry.idx,
            "version": record.version,
            "record": done.version.signed.id,
            "leaf_index": done.version.leaf_index,
            "published": done.published,
            "report": done.report,
            "latency_us": done.latency_us,
        }
    )
    output.text(f"{output.paint(_DONE[verb], 'deny')} {target.about}")
    rows = [("list", f"{record.list}, version {record.version}, entry {done.version.leaf_index}")]
    if target.entry is not None:
        rows.append(("index", str(target.entry.idx)))
    if done.report is not None:
        rows.append(("report", done.report.hex()))
    rows.append(
        ("took", "nothing: the list said so" if done.latency_us is None else f"{done.latency_us / 1000:.1f} ms")
    )
    output.rows(rows)


def _renew(output: Output, lists: StatusLists) -> None:
    renewed = [status.record_of(version.signed) for version in lists.renew(now())]
    output.result({"lists": [_summary(record) for record in renewed]})
    for record in renewed:
        output.text(f"{record.list}: version {record.version}, the next due at {record.next_update}")


def _show(output: Output, home: Home, lists: StatusLists) -> None:
    shown: list[dict[str, Any]] = []
    for number, name in enumerate(lists.every()):
        newest = lists.newest(name)
        if newest is None:
            continue
        entries = list(_entries(home, newest, number * status.SIZE))
        shown.append({**_summary(status.record_of(newest)), "entries": entries})
    first = lists.newest(lists.first)
    names = Names() if first is None else status.read(first).names
    output.result({"lists": shown, **{kind: sorted(found) for kind, found in names._asdict().items()}})
    for listed in shown:
        output.text(f"{listed['list']}: version {listed['version']}, the next due at {listed['next_update']}")
        if listed["entries"]:
            output.rows((str(entry["index"]), entry["status"], entry["subject"]) for entry in listed["entries"])
    rows = [
        *(("subject", subject) for subject in sorted(names.subjects)),
        *(("policy", policy.hex()) for policy in sorted(names.policies)),
        *(("key", key.hex()) for key in sorted(names.keys)),
        *(("epochs", f"of {epoch.set} up to {epoch.number}") for epoch in sorted(names.epochs)),
    ]
    if rows:
        output.text("revoked by name")
        output.rows(rows)


def _entries(home: Home, newest: Statement, start: int) -> Iterator[dict[str, Any]]:
    for idx, value in sorted(status.read(newest).values.items()):
        # An index is the place of the request.
        request = statement.parse(home.log.get(start + idx).statement)
        yield {"index": idx, "status": _STATUS.get(value, str(value)), "subject": request.claims.sub}


def _summary(record: Any) -> dict[str, Any]:
    return {"list": record.list, "version": record.version, "next_update": record.next_update}
