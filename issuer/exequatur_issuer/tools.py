"""From the tools that an MCP server lists to a Cedar schema, and to how their arguments are put to it (specs/09 §3).

    tools/list  →  what Cedar can hold  →  Cedar's generator for MCP  →  schema.cedarschema, mapping.toml
                   (tools_shape)           (tools_schema)

What the generator made a decimal or an enumeration, and what was declared opaque, becomes a declaration in
``mapping.toml``, by which ``mapping.build_query`` makes the context of a call: the generator's binding checks a call,
but does not hand out the context that it checked.

Descriptions do not matter: what a server says of its tools is for models.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import cedarpy

from . import publish, tools_schema
from .mapping import MappingError, refuse_reserved
from .policyset import PolicySet, PolicySetError
from .tools_schema import Declared
from .tools_shape import Read, Schema, ToolError, lists, read

MAX_TOOLS: Final = 1024

_HEAD: Final = """\
// Made from the tools that a server lists, by `exequatur tools import`. When the tools change, import them again
// instead of editing this; policies stand in files of their own.

"""


class Tools(NamedTuple):
    """Two parts of a policy set, and for each tool what of its schema they do not hold."""

    schema: bytes
    mapping: bytes
    left_out: Mapping[str, tuple[tuple[str, str], ...]]


def parse_list(content: bytes) -> list[dict[str, Any]]:
    """Return the tools of a ``tools/list`` answer, of its result, or of the list alone. Raises ``ToolError``."""
    try:
        found = json.loads(content.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ToolError("", "", f"the list is not JSON: {error}") from None
    for key in ("result", "tools"):
        if isinstance(found, dict) and key in found:
            if found.get("nextCursor") is not None:
                raise ToolError("", "", "the list goes on (nextCursor); fetch the other pages and join them")
            found = found[key]
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise ToolError("", "", "there is no list of tools")
    return found


def generate(
    tools: Sequence[Mapping[str, Any]],
    claims: Mapping[str, str] | None = None,
    opaque: Mapping[str, frozenset[str]] | None = None,
) -> Tools:
    """Return schema and mapping for ``tools``. Raises ``ToolError``, naming the tool and the place.

    ``claims`` are the types of the claims that policies may read, by name, all of them optional. ``opaque`` holds paths
    by tool.
    """
    known = {_name(tool) for tool in tools}
    if not tools or len(known) != len(tools) or len(tools) > MAX_TOOLS:
        raise ToolError("", "", f"a list has one to {MAX_TOOLS} tools, each under a name of its own")
    if unknown := set(opaque or {}) - known:
        raise ToolError(min(unknown), "", "is declared to have an opaque argument and is not in the list")
    reads = {_name(tool): _read(tool, (opaque or {}).get(_name(tool), frozenset())) for tool in tools}
    aliases = tools_schema.Aliases()
    schemas = {name: _counted(name, found.schema) for name, found in reads.items()}
    aliased = {aliases.of(name): tools_schema.aliased(schema, aliases) for name, schema in schemas.items()}
    schema = tools_schema.plain(tools_schema.generate(aliased, claims or {}, aliases), aliases)
    declared = {name: tools_schema.declare(name, schema, schemas[name]) for name in reads}
    mapping = _write(declared, reads, opaque or {}).encode()
    try:
        written = (_HEAD + str(cedarpy.Schema.from_json_str(json.dumps({"": schema}))).rstrip() + "\n").encode()
        publish.load_set(PolicySet(b"", written, mapping=mapping))
    except (ValueError, PolicySetError) as error:
        raise ToolError("", "", f"what was made does not load: {error}") from None
    return Tools(written, mapping, {name: found.left_out for name, found in reads.items() if found.left_out})


def _name(tool: Mapping[str, Any]) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise ToolError(str(name), "", "has no name")
    return name


def _read(tool: Mapping[str, Any], opaque: frozenset[str]) -> Read:
    try:
        refuse_reserved(tool)
    except MappingError as error:
        raise ToolError(_name(tool), "", error.detail) from None
    schema = tool.get("inputSchema")
    if not isinstance(schema, Mapping):
        raise ToolError(_name(tool), "", "has no inputSchema")
    return read(_name(tool), schema, opaque)


def _counted(tool: str, schema: Schema) -> Schema:
    """Return the arguments with a count for each list among them, as ``mapping.toml`` declares it."""
    fields = dict(schema["properties"])
    required = list(schema["required"])
    for name in lists(schema):
        count = f"{name}_count"
        if count in fields:
            raise ToolError(tool, count, f"has the name of the count of {name}")
        fields[count] = {"type": "integer"}
        required += [count] if name in required else []
    return {**schema, "properties": fields, "required": required}


def _write(declared: Mapping[str, Declared], reads: Mapping[str, Read], opaque: Mapping[str, frozenset[str]]) -> str:
    """Return ``mapping.toml``; only what has something to declare stands there."""
    blocks = ["# Made from the tools that a server lists, by `exequatur tools import`, beside schema.cedarschema.\n"]
    for tool, found in declared.items():
        lines = list(_lines(found, [*lists(reads[tool].schema)], sorted(opaque.get(tool, ()))))
        if lines:
            blocks.append("\n".join([f"[actions.{json.dumps(tool, ensure_ascii=False)}]", *lines]) + "\n")
    return "\n".join(blocks)


def _lines(found: Declared, counted: Sequence[str], opaque: Sequence[str]) -> Iterator[str]:
    def text(value: str) -> str:
        return json.dumps(value, ensure_ascii=False)

    if found.decimals:
        yield f"decimal = [{', '.join(map(text, found.decimals))}]"
    if found.enums:
        yield f"enum = {{ {', '.join(f'{text(path)} = {text(type)}' for path, type in found.enums.items())} }}"
    if opaque:
        yield f"opaque = [{', '.join(map(text, opaque))}]"
    if counted:
        yield f"counts = [{', '.join(f'{{ of = {text(name)} }}' for name in counted)}]"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError(f"a key stands twice among {sorted(name for name, _ in pairs)}")
    return fields
