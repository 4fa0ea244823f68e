"""``exequatur policy publish``, ``endorse`` and ``rollback``: the next epoch, and who else stands behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from exequatur_cli.main import Unavailable, home_of, output_of, with_home
from exequatur_cli.timing import DURATION

if TYPE_CHECKING:
    from exequatur_cli.home import Home
    from exequatur_cli.output import Output
    from exequatur_issuer.policyset import PolicySet
    from exequatur_verifier.statement import Statement

_TEN_YEARS: Final = 10 * 365 * 86_400


def _with_activation(function: Callable[..., None]) -> Callable[..., None]:
    delay = click.option("--in", "delay", type=DURATION, help="Come into force only after this long, as 10m or 1d.")
    at = click.option("--at", metavar="TIME", help="Come into force at this time, as 2026-01-01T12:00:00Z.")
    return delay(at(function))


@click.command("publish")
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@_with_activation
@click.option("--after", metavar="EPOCH", type=click.IntRange(0), help="Only if that is the newest epoch.")
@with_home
@click.pass_context
def publish(ctx: click.Context, directory: Path | None, delay: int | None, at: str | None, after: int | None) -> None:
    """Sign the policy set in DIRECTORY (default: the home's) as the next epoch, and log it.

    Where trust asks for several owners, it comes into force when enough others have endorsed it.
    """
    from exequatur_cli.home import open_home
    from exequatur_issuer import policyset

    with open_home(home_of(ctx)) as home:
        found = policyset.read(directory or home.path / "policy")
        _publish(output_of(ctx), home, found, delay=delay, at=at, after=after)


@click.command("rollback")
@click.argument("reference", metavar="EPOCH")
@_with_activation
@with_home
@click.pass_context
def rollback(ctx: click.Context, reference: str, delay: int | None, at: str | None) -> None:
    """Publish the parts of an older EPOCH (its number or record id) again, as the next epoch."""
    from exequatur_cli import policies
    from exequatur_cli.home import open_home
    from exequatur_issuer import publish as publishing

    with open_home(home_of(ctx)) as home:
        former = policies.find(home, reference)
        found = publishing.parts(former.statement, home.content)
        _publish(output_of(ctx), home, found, delay=delay, at=at, approvals=former.record.approvals)


@click.command("endorse")
@click.argument("reference", metavar="EPOCH")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="The owner's key file. Default: the home's owner."
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The passphrase of that key. Default: the home's.",
)
@click.option("--ttl", type=DURATION, help="It counts for this long. Default: ten years.")
@with_home
@click.pass_context
def endorse(
    ctx: click.Context, reference: str, key: Path | None, passphrase_file: Path | None, ttl: int | None
) -> None:
    """Sign EPOCH (its number or record id) as a further owner, after loading what it names, and log that."""
    from exequatur_cli import policies
    from exequatur_cli.home import now, open_home, unique
    from exequatur_gate.home import read_private
    from exequatur_issuer import epochs
    from exequatur_issuer.signer import load_key
    from exequatur_verifier import statement

    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        found = policies.find(home, reference)
        # What cannot be loaded, hashed again from the record's own digests, is not signed.
        chosen = policies.of_record(home, found.statement)
        if key is None:
            signer = home.signer("owner")
        elif passphrase_file is None:
            signer = home.load_key(key)
        else:
            signer = load_key(key, read_private(str(passphrase_file)).rstrip(b"\r\n"))
        thumbprint = signer.public_key.thumbprint
        trust = home.trust.policy
        if thumbprint not in {owner.thumbprint for owner in trust.owners}:
            raise epochs.EndorsementError(
                f"key {thumbprint.hex()} is no owner in {home.path / 'trust.toml'}, so its signature would count for "
                "nothing; add it to policy.owners first"
            )
        time = now()
        signed = epochs.endorse(
            found.statement,
            signer,
            iss=_enrolled_as(home, thumbprint),
            now=time,
            exp=time + (ttl or _TEN_YEARS),
            unique=unique(),
        )
        registered = home.log.register(signed)
        now_found = policies.find(home, reference)
    output.result(
        {
            "record": statement.parse(signed).id,
            "policy": found.statement.id,
            "epoch": found.record.epoch,
            "index": registered.leaf_index,
            "expires": time + (ttl or _TEN_YEARS),
            "owners": len(now_found.owners),
            "threshold": trust.threshold,
            "in_force": now_found.is_in_force,
        }
    )
    policies_named = ", ".join(policy.id for policy in chosen.engine.policies)
    output.text(f"epoch {found.record.epoch} endorsed: {len(now_found.owners)} of {trust.threshold} owners needed")
    output.rows([("record", found.statement.id.hex()), ("policies", policies_named)])


def _publish(
    output: "Output",
    home: "Home",
    found: "PolicySet",
    *,
    delay: int | None,
    at: str | None,
    after: int | None = None,
    approvals: int = 0,
) -> None:
    """Sign a set as the next epoch, register it, and report."""
    from exequatur_cli.home import now, unique
    from exequatur_issuer import publish as publishing
    from exequatur_log.errors import Code, Refused
    from exequatur_verifier import statement
    from exequatur_verifier.records import Policy

    time = now()
    activation = _activation(time, delay, at)
    newest = home.log.newest_policy(home.settings.policy_set)
    previous = None if newest is None else statement.parse(newest.statement)
    epoch = previous.record.epoch if previous is not None and isinstance(previous.record, Policy) else 0
    if after is not None and after != epoch:
        raise _look_again(f"the newest epoch is {epoch}, not {after}")
    signed = publishing.publish(
        found,
        home.signer("owner"),
        home.content,
        name=home.settings.policy_set,
        iss=home.settings.owner.iss,
        previous=previous,
        now=time,
        activation=activation,
        unique=unique(),
        approvals=approvals,
    )
    try:
        registered = home.log.register(signed)
    except Refused as refusal:
        if refusal.code is not Code.EPOCH_INVALID:
            raise
        raise _look_again(f"another epoch was published after {epoch}") from None
    _report(output, home, statement.parse(signed), registered.leaf_index, delayed=activation > time)


def _report(output: "Output", home: "Home", policy: "Statement", index: int, *, delayed: bool) -> None:
    from exequatur_verifier.records import Policy

    record = policy.record
    assert isinstance(record, Policy)
    missing = home.trust.policy.threshold - 1
    output.result(
        {
            "record": policy.id,
            "set": record.set,
            "epoch": record.epoch,
            "activation": record.activation,
            "index": index,
            "endorsements_needed": missing,
        }
    )
    when = f"from {record.activation}" if delayed else "now"
    held = f", once {missing} more owners endorse it" if missing else ""
    output.text(f"epoch {record.epoch} of {record.set}, in force {when}{held}")
    output.rows([("record", policy.id.hex()), ("entry", str(index))])
    if missing:
        output.text(f"The former stays in force until then: `exequatur policy endorse {record.epoch} --key FILE`.")


def _activation(time: int, delay: int | None, at: str | None) -> int:
    from exequatur_issuer.cases import read_time

    if at is None:
        return time + (delay or 0)
    if delay is not None:
        raise click.UsageError("name either --in or --at")
    try:
        activation = read_time(at)
    except ValueError as error:
        raise click.UsageError(f"--at: {error}") from None
    if activation < time:
        raise click.UsageError(f"--at: {at} has passed; without --at it is in force at once")
    return activation


def _look_again(what: str) -> Exception:
    from exequatur_issuer.epochs import EpochTakenError

    return EpochTakenError(
        f"{what}; nothing was published. Look at `exequatur policy diff`, make your change to what is there now, "
        "and publish again"
    )


def _enrolled_as(home: "Home", key_id: bytes) -> str:
    """Return the name that the log knows a key by."""
    from exequatur_verifier import statement
    from exequatur_verifier.records import Enrolment

    entry = home.log.enrolment(key_id)
    record = None if entry is None else statement.parse(entry.statement).record
    if not isinstance(record, Enrolment) or record.iss is None:
        raise Unavailable(
            f"key {key_id.hex()} is not enrolled in this log; ask its operator to enrol it for policies and approvals"
        )
    return record.iss
