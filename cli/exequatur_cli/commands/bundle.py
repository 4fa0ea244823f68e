"""``exequatur bundle``: look into a bundle, take it apart, put it together, renew its proof."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from exequatur_cli.main import home_of, output_of, with_home
from exequatur_verifier import bundle, cbor, constraints, receipt, schema, statement
from exequatur_verifier.bundle import Bundle, Element, Parent
from exequatur_verifier.records import Status
from exequatur_verifier.shape import plain as plain_record

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("bundle")
@with_home
def command() -> None:
    """Show, split, join and refresh bundles."""


@command.command()
@click.argument("file", type=_FILE)
@with_home
@click.pass_context
def show(ctx: click.Context, file: Path) -> None:
    """Show what a bundle holds. Nothing is verified; use `exequatur verify` for that."""
    output = output_of(ctx)
    decoded = bundle.decode(file.read_bytes())
    artifact, receipts = statement.parse_transparent(decoded.artifact)
    heads = [receipt.parse(data) for data in receipts]
    described: dict[str, Any] = {
        "artifact": statement_object(artifact),
        "receipts": [
            {
                "iss": one.iss,
                "origin": one.origin,
                "index": one.inclusion.leaf_index,
                "size": one.inclusion.size,
                "iat": one.iat,
            }
            for one in heads
        ],
        "terms": plain_record(constraints.decode_terms(decoded.terms)),
        "policy": _element(decoded.policy),
        "request": _element(decoded.request),
        "approvals": [_element(approval) for approval in decoded.approvals],
        "parents": [_parent(parent) for parent in decoded.parents],
        "status": [_element(listed) for listed in decoded.status],
        "checkpoints": [note.decode() for note in decoded.checkpoints],
        "proofs": [{"origin": proof.origin, "size": proof.size, "root": proof.root} for proof in decoded.proofs],
    }
    output.result(described)
    output.text(f"authorization {artifact.id.hex()}")
    output.rows(
        [
            ("subject", artifact.claims.sub),
            ("issuer", artifact.claims.iss),
            ("audience", artifact.claims.aud or ""),
            ("valid", f"{artifact.claims.nbf} to {artifact.claims.exp} (unix seconds)"),
            *((f"in {one.origin}", f"entry {one.inclusion.leaf_index} of {one.inclusion.size}") for one in heads),
            *_beside(decoded),
            *((name, _short(value)) for name, value in described["terms"].get("facts", {}).items()),
            *((name, _short(value)) for name, value in described["terms"].get("constraints", {}).items()),
        ]
    )
    output.text("Nothing here is verified: `exequatur verify` does that.", "quiet")


@command.command()
@click.argument("file", type=_FILE)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@with_home
@click.pass_context
def split(ctx: click.Context, file: Path, directory: Path) -> None:
    """Write each part of a bundle into a new directory, as its own file."""
    from exequatur_issuer import parts

    written = parts.split(bundle.decode(file.read_bytes()), directory)
    output = output_of(ctx)
    output.result({"files": [str(path) for path in written]})
    for path in written:
        output.text(str(path))


@command.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_home
@click.pass_context
def join(ctx: click.Context, directory: Path, file: Path) -> None:
    """Put the parts that `split` wrote together again."""
    from exequatur_issuer import parts

    data = bundle.encode(parts.join(directory))
    file.write_bytes(data)
    output = output_of(ctx)
    output.result({"file": str(file), "bytes": len(data)})
    output.text(f"{file}: {len(data)} bytes")


@command.command()
@click.argument("file", type=_FILE)
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="Where to; default: FILE."
)
@with_home
@click.pass_context
def refresh(ctx: click.Context, file: Path, target: Path | None) -> None:
    """Renew a bundle's proof: the same artifact under the log's current head, with the newest status lists."""
    from exequatur_cli import freshening
    from exequatur_cli.home import open_home

    data = file.read_bytes()
    with open_home(home_of(ctx)) as home:
        data = freshening.refresh(home, data)
    (target or file).write_bytes(data)
    output = output_of(ctx)
    output.result({"file": str(target or file), "bytes": len(data)})
    output.text(f"{target or file}: {len(data)} bytes, proven under the current head")


def statement_object(parsed: statement.Statement) -> dict[str, Any]:
    """Return a decoded statement as a JSON object."""
    return {
        "id": parsed.id,
        "kind": parsed.kind.value,
        "claims": {name: value for name, value in parsed.claims._asdict().items() if value is not None},
        "record": cbor.decode(schema.encode(parsed.record)),
    }


def _element(element: Element | None) -> dict[str, Any] | None:
    return None if element is None else statement_object(statement.parse(element.statement))


def _parent(parent: Parent) -> dict[str, Any]:
    return {
        "authorization": _element(parent.authorization),
        "terms": plain_record(constraints.decode_terms(parent.terms)),
        "request": _element(parent.request),
    }


def _beside(decoded: Bundle) -> Iterator[tuple[str, str]]:
    """Yield a line for each statement beside the artifact."""
    parents = ((f"grant {number}", one.authorization) for number, one in enumerate(decoded.parents, start=1))
    for name, element in (
        ("request", decoded.request),
        *(("approval", approval) for approval in decoded.approvals),
        *parents,
        *(("status", listed) for listed in decoded.status),
    ):
        if element is None:
            continue
        parsed = statement.parse(element.statement)
        record = parsed.record
        said = f"{parsed.id.hex()} by {parsed.claims.iss}"
        if isinstance(record, Status):
            said = f"version {record.version} of {record.list}, the next due at {record.next_update}"
        yield name, said


def _short(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
