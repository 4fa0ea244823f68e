"""What Cedar's generator for MCP makes of tools, in the terms of ``mapping`` and checked against what it was given.

The generator names types after tools and fields, so names that are no identifiers go in under aliases and come out as
they are. Its namespace is taken off, and ``input`` becomes ``args``.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .tools_shape import Schema, ToolError

CLAIM_TYPES: Final = ("Bool", "Long", "String", "Set<Bool>", "Set<Long>", "Set<String>")

_CONFIG: Final = {"objectsAsRecords": True, "numbersAsDecimal": True, "flattenNamespaces": True}
_NAMESPACE: Final = "Tools"
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PLAIN: Final = {"String": "string", "Long": "integer", "Bool": "boolean"}
# Words that Cedar takes for no name.
_KEPT: Final = frozenset({"else", "false", "has", "if", "in", "is", "like", "then", "true"})


class Aliases:
    """Names that are identifiers, for those that are not; the same name always has the same alias."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the alias of ``name``: itself, where Cedar takes it as the name of a type."""
        if name not in self._of:
            plain = bool(_IDENTIFIER.fullmatch(name)) and name not in _KEPT
            stem = name if plain else "x_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
            number, alias = 0, stem
            while alias in self._names:
                number += 1
                alias = f"{stem}_{number}"
            self._of[name], self._names[alias] = alias, name
        return self._of[name]

    def name(self, alias: str) -> str:
        """Return the name behind an alias."""
        return self._names[alias]


def aliased(schema: Schema, aliases: Aliases) -> Schema:
    """Return a schema of the closed part with its fields under their aliases."""
    if schema["type"] == "array":
        return {"type": "array", "items": aliased(schema["items"], aliases)}
    if schema["type"] != "object":
        return schema
    fields = {aliases.of(name): aliased(field, aliases) for name, field in schema["properties"].items()}
    return {"type": "object", "properties": fields, "required": [aliases.of(name) for name in schema["required"]]}


def generate(schemas: Mapping[str, Schema], claims: Mapping[str, str], aliases: Aliases) -> dict[str, Any]:
    """Return what Cedar's generator makes of the schemas, as the JSON form of a schema without the namespace."""
    # Only who imports tools needs it.
    import cedar_mcp_schema_generator as generator

    for claim, type in claims.items():
        if type not in CLAIM_TYPES or not _IDENTIFIER.fullmatch(claim):
            raise ToolError(
                "", "", f"the claim {claim} is an identifier with one of the types {', '.join(CLAIM_TYPES)}"
            )
    fields = ", ".join(f"{json.dumps(claim)}?: {type}" for claim, type in claims.items())
    stub = f"""namespace {_NAMESPACE} {{
        @mcp_principal("Requester") entity Requester;
        @mcp_resource("Server") entity Server;
        @mcp_context("claims") type Claims = {{ {fields} }};
        @mcp_context("now") type Now = Long;
    }}"""
    tools = {name: {"name": name, "description": "", "inputSchema": schema} for name, schema in schemas.items()}
    answer = generator.generate_schema(stub, list(tools.values()), config=_CONFIG)
    if not answer["isOk"]:
        for name, tool in tools.items():
            alone = generator.generate_schema(stub, [tool], config=_CONFIG)
            if not alone["isOk"]:
                raise ToolError(aliases.name(name), "", str(alone["error"]))
        raise ToolError("", "", str(answer["error"]))
    made = json.loads(answer["schemaJson"])[_NAMESPACE]
    assert isinstance(made, dict)
    return made


def plain(made: Any, aliases: Aliases) -> dict[str, Any]:
    """Return the generated schema in the terms of ``mapping``: no namespace, names as they are, ``args``."""

    def unqualified(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: unqualified(item) for key, item in value.items()}
        if isinstance(value, list):
            return [unqualified(item) for item in value]
        return value.removeprefix(f"{_NAMESPACE}::") if isinstance(value, str) else value

    schema: dict[str, Any] = unqualified({part: made[part] for part in ("commonTypes", "actions")})
    # Left as it is: enumerated texts may begin like a namespace.
    schema["entityTypes"] = made["entityTypes"]
    for name, type in schema["commonTypes"].items():
        if name != "Claims" and "attributes" in type:
            type["attributes"] = {aliases.name(field): item for field, item in type["attributes"].items()}
    for action in schema["actions"].values():
        context = action["appliesTo"]["context"]["attributes"]
        context["args"] = context.pop("input")
    schema["actions"] = {aliases.name(action): applies for action, applies in schema["actions"].items()}
    return schema


class Declared(NamedTuple):
    """What ``mapping.toml`` declares of one tool: paths of decimals, and types of enumerations by path."""

    decimals: list[str]
    enums: dict[str, str]


def declare(tool: str, made: dict[str, Any], schema: Schema) -> Declared:
    """Return the paths of a tool's arguments that the generator made decimals, and those of enumerations.

    Raises ``ToolError`` where it made anything else of an argument than what is declared there: it names types after
    tools and fields, and two places can come to share a name.
    """
    declared = Declared([], {})

    def walk(type: dict[str, Any], schema: Schema, path: str) -> None:
        name = type.get("name", type["type"])
        common, entity = made["commonTypes"].get(name), made["entityTypes"].get(name)
        if common is not None and entity is None:
            walk(common, schema, path)
        elif type["type"] == "Set" and schema["type"] == "array":
            walk(type["element"], schema["items"], path)
        elif type["type"] == "Record" and schema["type"] == "object" and _fields(type) == _demanded(schema):
            for field, found in type["attributes"].items():
                walk(found, schema["properties"][field], f"{path}.{field}" if path else field)
        elif name == "decimal" and schema["type"] == "number":
            declared.decimals.append(path)
        elif entity is not None and common is None and entity.get("enum") == schema.get("enum", ()):
            declared.enums[path] = name
        elif "enum" in schema or _PLAIN.get(name) != schema["type"]:
            raise ToolError(
                tool, path, f"becomes the type {name}, which something else has too; rename or leave it out"
            )

    walk(made["actions"][tool]["appliesTo"]["context"]["attributes"]["args"], schema, "")
    return declared


def _fields(type: dict[str, Any]) -> dict[str, bool]:
    return {name: field.get("required", True) for name, field in type["attributes"].items()}


def _demanded(schema: Schema) -> dict[str, bool]:
    return {name: name in schema["required"] for name in schema["properties"]}
