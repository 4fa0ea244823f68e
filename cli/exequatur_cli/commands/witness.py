"""``exequatur witness``: cosign the checkpoints of logs that have only grown, and keep what proves the contrary."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from exequatur_cli.address import parse_address, url_of
from exequatur_cli.main import EXIT_DENIED, output_of, with_json
from exequatur_cli.witness import found, open_cosigner, open_memory
from exequatur_log.witness import evidence as evidences
from exequatur_log.witness import policy
from exequatur_log.witness.cosigner import status_of
from exequatur_log.witness.decide import Held
from exequatur_verifier import note
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.note import NoteKey

_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
_passphrase = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What opens the keys; else the keyring, or keys/passphrase.",
)


@click.group("witness")
@with_json
def command() -> None:
    """Be a witness: cosign logs that have only grown, by c2sp.org/tlog-witness."""


@command.command()
@_directory
@click.option("--name", help="The name in cosignatures, like a URL without its scheme; the default is a random one.")
@with_json
@click.pass_context
def init(ctx: click.Context, directory: Path, name: str | None) -> None:
    """Make a witness in DIRECTORY: two keys of its own, and a memory that has seen no log yet."""
    output = output_of(ctx)
    keys = found(directory, name)
    output.result({"witness": str(directory), "name": keys[0].name, "vkeys": [note.format_key(key) for key in keys]})
    output.text(f"A witness {keys[0].name} in {directory}; publish one of these keys, or both:")
    for key in keys:
        output.text(note.format_key(key))
    output.text("Never restore witness.db from a copy: a witness that forgot could cosign a fork.", "quiet")


@command.command("add-log")
@_directory
@click.argument("vkeys", nargs=-1)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A C2SP tlog-policy, whose logs are added.",
)
@with_json
@click.pass_context
def add_log(ctx: click.Context, directory: Path, vkeys: tuple[str, ...], policy_file: Path | None) -> None:
    """Cosign logs from now on, named by the verifier keys (VKEYS) of their checkpoints. A served witness notices."""
    output = output_of(ctx)
    keys = [note.parse_key(vkey) for vkey in vkeys]
    if policy_file is not None:
        keys += policy.parse(policy_file.read_bytes()).log_keys
    if not keys:
        raise click.UsageError("name a log by its verifier key, or give a --policy that has logs")
    with open_memory(directory) as memory:
        added = memory.add_logs(keys)
    results = [{"origin": key.name, "added": new} for key, new in zip(keys, added, strict=True)]
    output.result({"logs": results})
    for key, new in zip(keys, added, strict=True):
        output.text(f"{key.name}: {'added' if new else 'known already'}")


@command.command()
@_directory
@click.option("--listen", "address", default="127.0.0.1:8090", show_default=True, help="HOST:PORT; port 0 is any free.")
@_passphrase
@with_json
@click.pass_context
def serve(ctx: click.Context, directory: Path, address: str, passphrase_file: Path | None) -> None:
    """Answer logs and auditors until SIGTERM or Ctrl-C. TLS is a reverse proxy's."""
    import uvloop

    from exequatur_log.http import server

    output = output_of(ctx)
    host, port = parse_address(address)
    with open_memory(directory) as memory:
        cosigner, name = open_cosigner(directory, memory, passphrase_file), memory.name
        listener = server.listen(host, port)
        server.write_journal()
        url = url_of(listener)

        def started(_: Callable[[], None]) -> None:
            output.result({"url": url, "name": name})
            output.text(f"{name} at {url}")

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve_witness(cosigner, listener, started))


@command.command()
@_directory
@with_json
@click.pass_context
def status(ctx: click.Context, directory: Path) -> int:
    """Say which logs are known, what was cosigned last, and what evidence there is. Exits 77 if a log was convicted."""
    output = output_of(ctx)
    with open_memory(directory) as memory:
        name, keys, known = memory.name, memory.keys, status_of(memory)
    held = {one.checkpoint.origin: one for one in known.held}
    origins = dict.fromkeys(key.name for key in known.log_keys)
    counts = {
        origin: {str(kind): n for (one, kind), n in known.evidence.items() if one == origin} for origin in origins
    }
    output.result(
        {
            "name": name,
            "vkeys": [note.format_key(key) for key in keys],
            "lost": known.lost,
            "logs": [
                {"origin": origin, "cosigned": _described(held.get(origin)), "evidence": counts[origin]}
                for origin in origins
            ],
        }
    )
    output.text(name)
    for origin in origins:
        last = f"size {held[origin].checkpoint.size}" if origin in held else "nothing yet"
        output.text(", ".join((f"  {origin}: {last}", *(f"{n} {kind}" for kind, n in counts[origin].items()))))
    if known.lost:
        output.text(
            "This memory is an old copy: nothing is cosigned any more. Retire the keys, and begin anew.", "deny"
        )
    convicted = any(kind is not evidences.Kind.UNPROVEN for _, kind in known.evidence)
    return EXIT_DENIED if convicted or known.lost else 0


@command.command()
@_directory
@with_json
@click.pass_context
def evidence(ctx: click.Context, directory: Path) -> int:
    """Print what logs signed that contradicts what was cosigned. Exits 77 if there is any that convicts a log."""
    output = output_of(ctx)
    with open_memory(directory) as memory, memory.transaction() as transaction:
        kept, log_keys = transaction.evidence(), transaction.log_keys()
    judged = [(one, _convicts(one.evidence, log_keys)) for one in kept]
    output.result(
        {
            "evidence": [
                {
                    "number": one.number,
                    "origin": one.origin,
                    "convicts": convicts,
                    "evidence": evidences.encode(one.evidence),
                }
                for one, convicts in judged
            ]
        }
    )
    for one, convicts in judged:
        word = output.paint("convicts the log", "deny") if convicts else "proves nothing by itself"
        output.text(f"{one.number}  {one.origin}  {one.evidence.kind}  {word}")
    if not judged:
        output.text("none")
    return EXIT_DENIED if any(convicts for _, convicts in judged) else 0


def _convicts(found: evidences.Evidence, log_keys: list[NoteKey]) -> bool:
    try:
        return evidences.check_evidence(found, log_keys)
    except ExequaturError:
        return False


def _described(held: Held | None) -> dict[str, int | bytes] | None:
    return None if held is None else {"size": held.checkpoint.size, "root": held.checkpoint.root, "time": held.time}
