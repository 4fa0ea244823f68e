"""What a tool takes, read from its JSON Schema: a closed part of it, or a refusal (specs/09 §3).

The keywords of JSON Schema fall into four kinds. Those that give a value its shape are understood here, as far as
Cedar can hold it. Those that only narrow it (``pattern``, ``maximum``, ``format`` and the like) are left out and
reported, since what is let through by that is still judged by the policies and by the tool. Those that say nothing
about values are left out. Everything else is a ``ToolError`` that names the tool and the place.

    null, among other types          the field is optional, and null is absence
    enum and const of texts          kept
    $ref                             followed within the document; one that leads back to itself is refused
    anyOf, oneOf, allOf              one alternative beside null, or refused
    additionalProperties             absent or false: no others are let through; otherwise refused
    any value, free-form objects     refused

What is refused for its shape can be declared *opaque* by its path: then a policy sees whether it is there and the
digest of what it is, and nothing inside.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from exequatur_verifier.errors import MalformedError

Schema = Mapping[str, Any]

# Keywords that narrow a value without changing its type.
NARROWING: Final = frozenset(
    {"contentEncoding", "contentMediaType", "format", "pattern", "minLength", "maxLength", "multipleOf", "minimum"}
    | {"maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "uniqueItems", "minProperties"}
    | {"maxProperties"}
)
# Keywords that say nothing about values; a default is the tool's own affair, and its field is absent here.
SILENT: Final = frozenset(
    {"$comment", "$schema", "title", "description", "default", "deprecated", "example", "examples", "readOnly"}
    | {"writeOnly"}
)
SHAPES: Final = frozenset(
    {"$defs", "definitions", "$ref", "anyOf", "oneOf", "allOf", "type", "enum", "const", "items", "properties"}
    | {"required", "additionalProperties"}
)
# One less than a query's depth (``mapping``), which begins above the arguments.
MAX_DEPTH: Final = 11
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})


class ToolError(MalformedError):
    """A tool that cannot be described to the policy engine: which tool, where in its arguments, and why."""

    def __init__(self, tool: str, path: str, detail: str) -> None:
        super().__init__(f"tool {tool!r}{f', {path}' if path else ''}: {detail}")
        self.tool = tool
        self.path = path
        self.detail = detail


class Read(NamedTuple):
    """A tool's arguments as a schema of the closed part, and which keywords were left out, by path."""

    schema: Schema
    left_out: tuple[tuple[str, str], ...]


def read(tool: str, schema: Schema, opaque: frozenset[str]) -> Read:
    """Return the arguments of a tool, with the paths in ``opaque`` as plain text. Raises ``ToolError``.

    The result uses ``type``, ``properties``, ``required``, ``items`` and ``enum`` and nothing else.
    """
    reader = _Reader(tool, schema, opaque, [], set())
    found = reader.arguments()
    if missing := opaque - reader.met:
        raise ToolError(tool, min(missing), "is declared opaque and is no argument")
    return Read(found, tuple(reader.left_out))


class _Reader(NamedTuple):
    tool: str
    root: Schema
    opaque: frozenset[str]
    left_out: list[tuple[str, str]]
    met: set[str]

    def arguments(self) -> Schema:
        if self.root.get("type") != "object":
            self.refuse("", "inputSchema is not that of an object")
        if self.root.get("additionalProperties", False) is not False:
            self.refuse("", "takes arguments that it does not name (additionalProperties)")
        return self.record(self.root, "", ())

    def refuse(self, path: str, detail: str) -> NoReturn:
        raise ToolError(self.tool, path, detail)

    def value(self, schema: object, path: str, seen: tuple[str, ...]) -> tuple[Schema, bool]:
        """Return what stands at ``path``, and whether null may stand there too."""
        if path in self.opaque:
            self.met.add(path)
            return {"type": "string"}, True
        if path.count(".") + len(seen) > MAX_DEPTH:
            self.refuse(path, f"is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(schema, Mapping) or not schema.keys() - SILENT:
            self.refuse(path, "may be any value; import it as opaque, or leave the tool out")
        for keyword in schema:
            if keyword in NARROWING:
                self.left_out.append((path, keyword))
            elif keyword not in SHAPES and keyword not in SILENT and not keyword.startswith("x-"):
                self.refuse(path, f"uses {keyword}, which Cedar cannot express; import it as opaque")
        if {"$defs", "definitions"} & schema.keys():
            self.refuse(path, "has definitions of its own")
        for keyword in ("$ref", "anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self.combined(schema, keyword, path, seen)
        if "enum" in schema or "const" in schema:
            return self.choice(schema, path)
        return self.typed(schema, path, seen)

    def combined(self, schema: Schema, keyword: str, path: str, seen: tuple[str, ...]) -> tuple[Schema, bool]:
        if schema.keys() & SHAPES != {keyword}:
            self.refuse(path, f"has {keyword} beside {', '.join(sorted(schema.keys() & SHAPES - {keyword}))}")
        if keyword == "$ref":
            name = schema["$ref"]
            if name in seen:
                self.refuse(path, f"refers to itself by {name}; import it as opaque")
            return self.value(self.target(name, path), path, (*seen, name))
        choices = schema[keyword]
        if not isinstance(choices, list):
            self.refuse(path, f"has a {keyword} that is no list")
        others = [choice for choice in choices if not _is_null(choice)]
        if len(others) != 1 or (keyword == "allOf" and len(choices) != 1):
            self.refuse(path, f"has {keyword} of several shapes; import it as opaque")
        found, nullable = self.value(others[0], path, seen)
        return found, nullable or len(choices) > 1

    def target(self, name: object, path: str) -> object:
        for table in ("$defs", "definitions"):
            if isinstance(name, str) and name.startswith(f"#/{table}/"):
                found = self.root.get(table)
                key = name.removeprefix(f"#/{table}/").replace("~1", "/").replace("~0", "~")
                if isinstance(found, Mapping) and key in found:
                    return found[key]
        return self.refuse(path, f"refers to {name!r}, which is not in the document")

    def choice(self, schema: Schema, path: str) -> tuple[Schema, bool]:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        kinds, nullable = self.types(schema, path)
        if not isinstance(values, list) or not values:
            self.refuse(path, "has an enum that is no list, or is empty")
        texts = [value for value in values if value is not None]
        if texts and all(isinstance(value, str) for value in texts) and kinds in ([], ["string"]):
            if len(set(texts)) != len(texts) or schema.get("const", texts[0]) not in texts:
                self.refuse(path, "has an enum that names a value twice, or not its own const")
            return {"type": "string", "enum": texts}, nullable or len(texts) < len(values)
        if len(kinds) == 1 and kinds[0] in _SCALARS:
            # Cedar enumerates names only; of numbers the type remains.
            self.left_out.append((path, "enum" if "enum" in schema else "const"))
            return {"type": kinds[0]}, nullable or None in values
        return self.refuse(path, "has an enum of values other than texts; import it as opaque")

    def typed(self, schema: Schema, path: str, seen: tuple[str, ...]) -> tuple[Schema, bool]:
        kinds, nullable = self.types(schema, path)
        if sorted(kinds) == ["integer", "number"]:
            kinds = ["number"]
        if len(kinds) != 1:
            self.refuse(path, "has no type, or several; import it as opaque")
        (kind,) = kinds
        if kind in _SCALARS:
            return {"type": kind}, nullable
        if kind == "array":
            if "items" not in schema:
                self.refuse(path, "is a list of anything; import it as opaque")
            items, null = self.value(schema["items"], path, (*seen, ""))
            if null:
                self.refuse(path, "is a list that null may stand in; import it as opaque")
            return {"type": "array", "items": items}, nullable
        if kind == "object":
            if schema.get("additionalProperties", "properties" not in schema) is not False:
                self.refuse(path, "takes fields that it does not name (additionalProperties); import it as opaque")
            return self.record(schema, path, seen), nullable
        return self.refuse(path, f"has the type {kind!r}")

    def types(self, schema: Schema, path: str) -> tuple[list[str], bool]:
        """Return the types of a schema without null, and whether null is among them."""
        named = schema.get("type", [])
        kinds = [named] if isinstance(named, str) else named
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            self.refuse(path, "has a type that is neither a name nor a list of names")
        return [kind for kind in kinds if kind != "null"], "null" in kinds

    def record(self, schema: Schema, path: str, seen: tuple[str, ...]) -> Schema:
        fields, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(fields, Mapping) or not isinstance(required, list):
            self.refuse(path, "has properties that are no table, or required that is no list")
        for name in required:
            if not isinstance(name, str) or name not in fields:
                self.refuse(path, f"requires {name!r}, which is not among its properties")
        out: dict[str, Schema] = {}
        demanded: list[str] = []
        for name, field in fields.items():
            place = f"{path}.{name}" if path else name
            if not name or "." in name:
                self.refuse(place, "has a name that is empty or holds a dot, which separates names in a path")
            out[name], nullable = self.value(field, place, seen)
            if name in required and not nullable:
                demanded.append(name)
        return {"type": "object", "properties": out, "required": demanded}


def lists(schema: Schema) -> Iterator[str]:
    """Yield the arguments that are lists themselves; what is inside of others is not counted."""
    for name, field in schema["properties"].items():
        if field["type"] == "array":
            yield name


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"
