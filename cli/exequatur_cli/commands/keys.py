"""``exequatur keys``: which keys a home's roles have, and their life: enrolled, rotated, retired, revoked."""

from pathlib import Path
from typing import Any

import click

from exequatur_cli import keys
from exequatur_cli.home import open_home
from exequatur_cli.keys import CHANGING, Changed, Known
from exequatur_cli.main import home_of, output_of, with_home
from exequatur_cli.output import Output
from exequatur_cli.trusting import TABLES, block
from exequatur_issuer.signers.reference import Source
from exequatur_issuer.signers.reference import text as reference_text
from exequatur_log.blocking import BlockingLog
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm

_ALGORITHMS = {
    "es256": Algorithm.ES256,
    "es384": Algorithm.ES384,
    "ed25519": Algorithm.ED25519,
    "ml-dsa-44": Algorithm.ML_DSA_44,
    "ml-dsa-65": Algorithm.ML_DSA_65,
}


@click.group("keys")
@with_home
def command() -> None:
    """List and change the keys of this home's roles. Those of its log are changed by `exequatur log rotate`."""


def _with_new_key(function: Any) -> Any:
    key = click.option(
        "--key", metavar="REFERENCE", help="A key that is there: file:…, pkcs11:… or daemon:SOCKET#NAME."
    )
    secret = click.option("--secret-file", metavar="FILE", help="The PIN or passphrase of that key.")
    algorithm = click.option(
        "--algorithm", type=click.Choice(list(_ALGORITHMS)), default="es256", show_default=True, help="Of a new file."
    )
    return key(secret(algorithm(with_home(function))))


_role = click.argument("role", type=click.Choice(CHANGING))


@command.command("list")
@with_home
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List every key that this home's roles have had: where it may sign, and where the present ones are kept."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home, BlockingLog.open(home.log_place) as log:
        size, found = log.head().size, keys.of_roles(home, log)
        places = {
            role: home.sources[role].key if role in home.sources else f"file:keys/{role}.pem" for role in CHANGING
        }
    output.result(
        {
            "size": size,
            "kept": {role: place for role, place in places.items() if any(role == name for name, _ in found)},
            "keys": [{"role": role, "in_force": one.is_open(size), **_object(one)} for role, one in found],
        }
    )
    for role in dict.fromkeys(role for role, _ in found):
        output.text(f"{role}  {output.paint(places[role], 'quiet')}")
        output.rows(_row(one) for name, one in found if name == role)


@command.command()
@_role
@_with_new_key
@click.pass_context
def enrol(ctx: click.Context, role: str, key: str | None, secret_file: str | None, algorithm: str) -> None:
    """Enrol a key for a ROLE that has none in force: a new one in keys/, or one that is named."""
    with open_home(home_of(ctx)) as home:
        changed = keys.enrol(home, role, _source(key, secret_file), _ALGORITHMS[algorithm])
    _report(output_of(ctx), changed)


@command.command()
@_role
@_with_new_key
@click.pass_context
def rotate(ctx: click.Context, role: str, key: str | None, secret_file: str | None, algorithm: str) -> None:
    """Put a new key of a ROLE in force, and end the range of the one before it, whose private half is destroyed.

    What the former key signed verifies as before: trust.toml keeps it, with its range. Runtimes elsewhere are told by
    their owners, before they meet what the new key signs. It can be run again after an interruption.
    """
    with open_home(home_of(ctx)) as home:
        changed = keys.rotate(home, role, _source(key, secret_file), _ALGORITHMS[algorithm])
    _report(output_of(ctx), changed)


@command.command()
@_role
@with_home
@click.pass_context
def retire(ctx: click.Context, role: str) -> None:
    """End the range of a ROLE's key here, without another in its place. What it signed so far verifies as before."""
    with open_home(home_of(ctx)) as home:
        changed = keys.retire(home, role)
    _report(output_of(ctx), changed)


@command.command()
@_role
@click.option("--at", type=click.IntRange(min=0), help="The first index that is not its own any more; else the next.")
@click.option("--key-id", default="", metavar="HEX", help="How its thumbprint begins; else it is the one in force.")
@with_home
@click.pass_context
def revoke(ctx: click.Context, role: str, at: int | None, key_id: str) -> None:
    """End the range of a ROLE's key at a position of the log, because it is not in its holder's hands alone any more.

    What it signed from there on is denied by whoever knows: this home at once, runtimes elsewhere by a status list.
    """
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        changed = keys.revoke(home, role, key_id.lower(), home.log.head().size if at is None else at)
    _report(output, changed)
    for key in changed.revoked:
        advice = f"Now, with a key of the authority in force: exequatur revoke --key {key.thumbprint.hex()} --reason …"
        output.text(f"{advice}\nThat publishes a status list, by which runtimes elsewhere learn of it.", "deny")
    if role == "owner":
        output.text(
            "Policies that it signed are not believed any more: enrol an owner, and publish them again.", "deny"
        )


def _source(key: str | None, secret_file: str | None) -> Source | None:
    if key is None:
        if secret_file is not None:
            raise click.UsageError("--secret-file opens the key that --key names")
        return None
    try:
        return Source(reference_text(key), None if secret_file is None else str(Path(secret_file).absolute()))
    except MalformedError as error:
        raise click.UsageError(f"--key: {error}") from None


def _report(output: Output, changed: Changed) -> None:
    output.result(
        {
            "role": changed.role,
            "in_force": None if changed.later is None else changed.later.thumbprint,
            "revoked": [key.thumbprint for key in changed.revoked],
            "keys": [_object(one) for one in changed.keys],
        }
    )
    output.text(changed.role)
    output.rows(_row(one) for one in changed.keys)
    table = TABLES.get(changed.role)
    if table is not None:
        output.text("\nIn the trust.toml of runtimes elsewhere, as in this home's:\n", "quiet")
        for one in changed.keys:
            output.text(block(table, keys.trusted(one)))


def _object(one: Known) -> dict[str, Any]:
    return {
        "key": one.key.thumbprint,
        "algorithm": one.key.algorithm,
        "iss": one.enrolment.iss,
        "kinds": [kind.value for kind in one.enrolment.kinds],
        "since": one.enrolment.since,
        "until": one.enrolment.until,
        "enrolment": one.leaf_index,
    }


def _row(one: Known) -> tuple[str, ...]:
    end = "" if one.enrolment.until is None else f" < {one.enrolment.until}"
    return (one.key.thumbprint.hex(), one.key.algorithm.name, f"{one.enrolment.since} ≤ index{end}")
