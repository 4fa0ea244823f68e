"""``exequatur signer``: keys in a process of their own, which no agent's process can read."""

import sys
from pathlib import Path

import click

from exequatur_cli.home import open_home
from exequatur_cli.main import home_of, output_of, with_home, with_json
from exequatur_cli.signing import hand_over, own_uid
from exequatur_cli.signing import serve as serve_keys

_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
_socket = click.option(
    "--socket", required=True, type=click.Path(dir_okay=False, resolve_path=True), help="The daemon's Unix socket."
)


@click.group("signer")
@with_home
def command() -> None:
    """Keep keys in a daemon that signs for others, and only what each key is for."""


@command.command()
@_directory
@_socket
@click.option(
    "--allow-uid",
    "uids",
    multiple=True,
    type=click.IntRange(0, 2**32 - 2),
    help="Who may use it; without this, its own user.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file for a line on every signature; without this, stderr.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What opens the keys; else keys/passphrase, or the keyring.",
)
@with_json
@click.pass_context
def serve(
    ctx: click.Context,
    directory: Path,
    socket: str,
    uids: tuple[int, ...],
    journal: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Sign with the keys that signer.toml in DIRECTORY names, until SIGTERM or Ctrl-C, which end what was begun.

    Who connects is known by the kernel's word. What is to be signed is read first: a key of the authority signs
    decisions, authorizations, status lists, enforcement records and enrolments, and nothing else; likewise the others.
    """
    output = output_of(ctx)
    allowed = frozenset(uids) or own_uid()

    def started(names: tuple[str, ...]) -> None:
        output.result({"socket": socket, "keys": list(names), "uids": sorted(allowed)})
        output.text(f"{', '.join(names)} at {socket} for uid {', '.join(map(str, sorted(allowed)))}")
        sys.stdout.flush()

    serve_keys(
        directory.absolute(),
        Path(socket),
        allowed,
        passphrase_file=passphrase_file,
        journal=sys.stderr.fileno() if journal is None else journal,
        started=started,
    )


@command.command("take")
@_directory
@click.argument("roles", nargs=-1, required=True, metavar="ROLE…")
@_socket
@with_home
@click.pass_context
def take(ctx: click.Context, directory: Path, roles: tuple[str, ...], socket: str) -> None:
    """Move the keys of these roles from the home into DIRECTORY; the home then asks the daemon at the socket.

    DIRECTORY may then be given to another user, and the daemon started as that user. It can be run again after an
    interruption.
    """
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        moved = hand_over(home, directory.absolute(), roles, socket)
    output.result({"directory": str(directory), "keys": {role: key.thumbprint for role, key in moved.items()}})
    output.rows([(role, key.thumbprint.hex()) for role, key in moved.items()], indent="")
    output.text(f"These keys are in {directory} now. Start `exequatur signer serve {directory} --socket {socket}`.")
