"""``exequatur delegate``: a grant, under which somebody else may ask for actions."""

from pathlib import Path
from typing import Any, Final

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from exequatur_cli.asking import check_again, grant_of, with_grant
from exequatur_cli.commands.authorize import report
from exequatur_cli.home import Home, open_home
from exequatur_cli.issuing import RequestId, authorize, load_own
from exequatur_cli.main import Unavailable, home_of, output_of, with_home
from exequatur_cli.timing import DURATION
from exequatur_issuer.authorize import Refused
from exequatur_issuer.grants import Wish, descriptor_of, filled
from exequatur_verifier import action, cbor, constraints
from exequatur_verifier.constraints import Constraints
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.match import Matcher, Operator, parse_matcher

_LISTS: Final = (Operator.ONE_OF, Operator.URL_HOST)


@click.command("delegate")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The bundle."
)
@click.option(
    "--to",
    "holder",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Who is to hold it: a public key in PEM, or a key file, as its passphrase or the home's opens it.",
)
@click.option("--type", "covers", default="process.exec", show_default=True, help="The type of action.")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="POINTER=OP:VALUE",
    help="A limit of the action, as /name=subpath:/usr/bin or /args/1=one_of:push,pull; it may be repeated.",
)
@click.option(
    "--constraints",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="All limits (specs/01 §6), as a JSON file.",
)
@click.option("--depth", type=click.IntRange(0, 7), default=0, show_default=True, help="Grants that may stand below.")
@click.option("--ttl", type=DURATION, help="Valid for at most this long; it only narrows.")
@click.option(
    "--uses",
    type=click.IntRange(1),
    help="For at most so many executions together. They are taken from the grant above at once, which else gives all.",
)
@click.option("--for", "runtime", default="local", show_default=True, help="A runtime in the home's authority.toml.")
@click.option(
    "--request", "again", type=RequestId(), metavar="ID", help="A request of this that was approved meanwhile."
)
@with_grant
@click.option("--passphrase-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@with_home
@click.pass_context
def command(
    ctx: click.Context,
    target: Path,
    holder: Path,
    covers: str,
    allowed: tuple[str, ...],
    file: Path | None,
    depth: int,
    ttl: int | None,
    uses: int | None,
    runtime: str,
    again: bytes | None,
    parent: Path | None,
    key: Path | None,
    passphrase_file: Path | None,
) -> int:
    """Ask the home's authority for a grant, if policy permits one, and write its bundle.

    Whoever has the key that it is bound to can then ask for actions within it: `exequatur run --parent GRANT.exq --key
    FILE -- CMD`, and with a --depth for grants below it: `exequatur delegate --parent GRANT.exq --key FILE --to …`.
    Policy decides on each of them too. What is not limited below a grant is limited as above.
    """
    output = output_of(ctx)
    check_again(again, parent)
    if file is not None and allowed:
        raise click.UsageError("name the limits with --allow, or all of them in a file with --constraints")
    limits = Constraints(args=dict(map(_allow, allowed))) if file is None else _read(file)
    with open_home(home_of(ctx), passphrase_file) as home:
        if runtime not in home.settings.runtimes:
            known = ", ".join(home.settings.runtimes)
            raise Unavailable(f"no runtime {runtime!r} in {home.path / 'authority.toml'}; it has {known}")
        entry = home.settings.runtimes[runtime]
        under = grant_of(home, parent, key)
        if under is not None:
            # Said in full, so that policy and approvers see all of it.
            limits = filled(limits, under.limits)
        wish = Wish(covers, _public_key(home, holder), depth, limits)
        answer = authorize(
            home,
            descriptor_of(wish, entry.id),
            {},
            runtime=entry,
            ttl=ttl,
            uses=uses,
            again=again,
            under=under,
        )
    status = report(output, answer, target, "delegate")
    if isinstance(answer, Refused) and answer.code == "POLICY_NO_DECISION":
        output.text(
            "  The schema of the policy set has to know exequatur.grant: see the end of policy/schema.cedarschema."
        )
    return status


def _allow(text: str) -> tuple[str, Matcher]:
    pointer, equals, rest = text.partition("=")
    operator, colon, operand = rest.partition(":")
    try:
        if not pointer.startswith("/") or not equals or not colon:
            raise MalformedError("not POINTER=OP:VALUE")
        return pointer, parse_matcher([operator, _operand(operator, operand)])
    except (MalformedError, ValueError) as error:
        operators = ", ".join(one.value for one in Operator)
        raise click.UsageError(f"--allow {text}: {error}; the operators are {operators}") from None


def _operand(operator: str, text: str) -> Any:
    if operator in {one.value for one in _LISTS}:
        return text.split(",")
    if operator == Operator.RANGE.value:
        low, _, high = text.partition("..")
        return [int(bound) if bound else None for bound in (low, high)]
    return text


def _read(path: Path) -> Constraints:
    given = action.parse_json_arguments(path.read_bytes())
    try:
        return constraints.decode_terms(cbor.encode({"constraints": given})).constraints
    except ValueError as error:
        raise MalformedError(f"{path}: {error}") from None


def _public_key(home: Home, path: Path) -> PublicKey:
    """Return the key of who is to hold a grant; raise ``MalformedError``."""
    data = path.read_bytes()
    if b"PUBLIC KEY" not in data:
        return load_own(home, path).public_key
    try:
        key = load_pem_public_key(data)
    except ValueError as error:
        raise MalformedError(f"{path}: {error}") from None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return PublicKey.from_cryptography(key, Algorithm.ES256 if key.curve.key_size == 256 else Algorithm.ES384)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey.from_cryptography(key, Algorithm.ED25519)
    raise MalformedError(f"{path} is a key of a type that this build does not use")
