"""``exequatur tools``: from the tools that an MCP server lists to the schema and mapping of a policy set."""

from collections.abc import Iterable
from pathlib import Path

import click

from exequatur_cli.main import EXIT_DENIED, output_of, with_json


@click.group("tools")
@with_json
def command() -> None:
    """Describe an MCP server's tools to the policy engine."""


@command.command("import")
@click.argument("file", metavar="LIST", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--claim", "claims", multiple=True, metavar="NAME=TYPE", help="A claim that policies may read.")
@click.option("--opaque", multiple=True, metavar="TOOL:PATH", help="Show policies only the digest of this argument.")
@click.option("--replace", is_flag=True, help="Replace what stands there and differs.")
@with_json
@click.pass_context
def import_(
    ctx: click.Context, file: Path, directory: Path, claims: tuple[str, ...], opaque: tuple[str, ...], replace: bool
) -> int:
    """Write schema.cedarschema and mapping.toml into DIRECTORY, for the tools in LIST (an answer to tools/list).

    Types of claims are Bool, Long, String and Set<> of these. Write the policies beside the two files; `policy check`
    then holds them against the schema.
    """
    from exequatur_issuer import policyset, tools

    output = output_of(ctx)
    made = tools.generate(
        tools.parse_list(file.read_bytes()),
        dict(_pairs(claims, "=", "--claim")),
        _by_tool(_pairs(opaque, ":", "--opaque")),
    )
    files = {directory / policyset.SCHEMA: made.schema, directory / policyset.MAPPING: made.mapping}
    differing = [path for path, content in files.items() if path.exists() and path.read_bytes() != content]
    written = replace or not differing
    if written:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            path.write_bytes(content)
    output.result(
        {
            "written": written,
            "differing": [str(path) for path in differing],
            "left_out": {tool: [list(item) for item in found] for tool, found in made.left_out.items()},
        }
    )
    for path in differing:
        output.text(f"{path} is not what these tools make" + ("; replaced" if replace else ""))
    if not written:
        output.text("Nothing was written. Compare the two, and say --replace to take the new one.")
        return EXIT_DENIED
    output.text(f"wrote {', '.join(map(str, files))}")
    if made.left_out:
        output.text("not held by the schema, for policies to say or for the tool to check:")
        output.rows((tool, path, keyword) for tool, found in made.left_out.items() for path, keyword in found)
    return 0


def _pairs(values: Iterable[str], separator: str, option: str) -> list[tuple[str, str]]:
    pairs = [value.rpartition(separator) if separator == ":" else value.partition(separator) for value in values]
    for first, _, second in pairs:
        if not first or not second:
            raise click.BadParameter(f"has two parts with {separator!r} between them", param_hint=option)
    return [(first, second) for first, _, second in pairs]


def _by_tool(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for tool, path in pairs:
        found[tool] = found.get(tool, frozenset()) | {path}
    return found
