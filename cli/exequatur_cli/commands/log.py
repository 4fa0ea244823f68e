"""``exequatur log``: the embedded log's entries, proofs, heads, and its own check."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from exequatur_cli.commands import copies, load, migrate, publish, read_only, rotate
from exequatur_cli.home import open_home
from exequatur_cli.main import EXIT_DENIED, Unavailable, home_of, output_of, with_home
from exequatur_cli.output import plain
from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Entry
from exequatur_log.errors import NotFoundError, Refused
from exequatur_verifier import statement


@click.group("log")
@with_home
def command() -> None:
    """Append to the home's transparency log, read it, prove, check and publish it."""


_PARTS = (
    copies.export,
    copies.import_,
    load.command,
    migrate.command,
    publish.command,
    read_only.command,
    rotate.command,
)
for _part in _PARTS:
    command.add_command(_part)


@contextmanager
def _reading(ctx: click.Context) -> Iterator[BlockingLog]:
    with open_home(home_of(ctx)) as home, BlockingLog.open(home.log_place) as log:
        yield log


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--receipts", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write each receipt here."
)
@with_home
@click.pass_context
def append(ctx: click.Context, files: tuple[Path, ...], receipts: Path | None) -> int:
    """Register signed statements, in order. One that stands already is answered with its first receipt."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        answers = home.log.register_many([file.read_bytes() for file in files])
    results = []
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer, Refused):
            results.append({"file": str(file), "registered": False, "code": str(answer.code), "detail": answer.detail})
            output.text(f"{file}: {output.paint('refused', 'deny')} {answer}")
            continue
        if receipts is not None:
            (receipts / f"{file.stem}.receipt").write_bytes(answer.receipt)
        results.append({"file": str(file), "registered": True, "index": answer.leaf_index, "record": answer.record_id})
        output.text(f"{file}: entry {answer.leaf_index}, record {answer.record_id.hex()}")
    output.result({"results": results})
    return EXIT_DENIED if any(isinstance(answer, Refused) for answer in answers) else 0


@command.command()
@click.argument("place")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write the statement here."
)
@with_home
@click.pass_context
def get(ctx: click.Context, place: str, target: Path | None) -> None:
    """Show the entry at an index or of a record id; with -o, write the signed statement."""
    from exequatur_cli.commands.bundle import statement_object

    output = output_of(ctx)
    with _reading(ctx) as log:
        entry = entry_at(log, place)
    if target is not None:
        target.write_bytes(entry.statement)
    described = statement_object(statement.parse(entry.statement))
    output.result({"index": entry.leaf_index, "leaf": entry.leaf_hash, **described})
    output.text(f"entry {entry.leaf_index}: {entry.kind} {entry.record_id.hex()}")
    output.rows(
        [("subject", entry.sub), ("issuer", entry.iss), ("signed by", entry.key_id.hex()), ("at", str(entry.iat))]
    )
    fields = sorted(described["record"].items())
    output.rows((name, json.dumps(plain(value))) for name, value in fields if name not in ("v", "links"))


@command.command()
@click.argument("place")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The receipt."
)
@click.option("--fresh", is_flag=True, help="Under the current head, instead of the receipt that was frozen at commit.")
@with_home
@click.pass_context
def prove(ctx: click.Context, place: str, target: Path, fresh: bool) -> None:
    """Write the COSE receipt (RFC 9942) of an entry, by its index or record id."""
    output = output_of(ctx)
    with _reading(ctx) as log:
        index = entry_at(log, place).leaf_index
        receipt = log.fresh_receipt(index) if fresh else log.receipt(index)
    target.write_bytes(receipt)
    output.result({"file": str(target), "index": index, "bytes": len(receipt)})
    output.text(f"{target}: receipt of entry {index}, {len(receipt)} bytes")


@command.command()
@click.argument("place")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The tlog-proof."
)
@with_home
@click.pass_context
def proof(ctx: click.Context, place: str, target: Path) -> None:
    """Write the C2SP tlog-proof of an entry under the current checkpoint, by its index or record id."""
    output = output_of(ctx)
    with _reading(ctx) as log:
        index = entry_at(log, place).leaf_index
        data = log.tlog_proof(index)
    target.write_bytes(data)
    output.result({"file": str(target), "index": index, "bytes": len(data)})
    output.text(f"{target}: tlog-proof of entry {index}, {len(data)} bytes")


@command.command()
@with_home
@click.pass_context
def checkpoint(ctx: click.Context) -> None:
    """Print the log's current checkpoint, a C2SP signed note."""
    output = output_of(ctx)
    with _reading(ctx) as log:
        head = log.head()
    output.result({"size": head.size, "root": head.root, "iat": head.iat, "note": head.note.decode()})
    if not output.json:
        sys.stdout.write(head.note.decode())


@command.command()
@with_home
@click.pass_context
def fsck(ctx: click.Context) -> int:
    """Derive everything that the log keeps from its entries again, and compare."""
    output = output_of(ctx)
    with open_home(home_of(ctx)) as home, output.progress("fsck") as progress:
        findings = check_file(home.log_place, progress.of)
    output.result({"ok": not findings, "findings": [finding._asdict() for finding in findings]})
    for finding in findings:
        place = "" if finding.leaf_index is None else f" at {finding.leaf_index}"
        output.text(f"{output.paint(finding.code, 'deny')}{place}: {finding.detail}")
    output.text("clean" if not findings else f"{len(findings)} findings; restore the log from a copy that is clean")
    return EXIT_DENIED if findings else 0


def entry_at(log: BlockingLog, text: str) -> Entry:
    """Return the entry that an index or a record id names."""
    try:
        return log.get(place_of(text))
    except NotFoundError as error:
        raise Unavailable(str(error)) from None


def place_of(text: str) -> int | bytes:
    """Return the index or the record id that a text spells."""
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise click.UsageError(f"{text!r} is neither an index nor a record id of 64 hexadecimal digits")
    return found
