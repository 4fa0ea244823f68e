"""From an action descriptor to a policy query, by declared rules and without loss (specs/09 §3).

What an agent says is data: the escapes of Cedar's JSON are refused at any depth, and so is what Cedar would read as an
entity without an escape. Values are booleans, integers within 64 signed bits, text in NFC, lists and mappings; ``null``
is absence. Where the policy set declares it, a number is a Cedar decimal, a text one of the names of an enumeration,
and any value its digest. Everything else is a ``MappingError``, which denies with ``POLICY_ERROR``. Digests are taken
over the descriptor, never over what this makes of it.

    process.exec   Requester::iss  Action::"process.exec"  Executable::path
                   context {program, command, args, cwd, env, uid, now, claims}
    mcp.tool       Requester::iss  Action::name            Server::resource
                   context {args, now, claims}
    exequatur.grant  Requester::iss  Action::"exequatur.grant"  Grant::type
                   context {audience, depth, holder, constraints, now, claims}

``args`` and ``env`` (names only) of a process are sets, which is what Cedar has; ``command`` is the argument
vector quoted as a shell would, for rules that need the order. ``now`` is in Unix seconds. ``claims`` are
those of the request's environment. A grant is named by the type of action that it covers; ``holder`` is the
thumbprint of the key that it is to be bound to, and ``constraints`` are lines of text, one for each value
(``grants.lines``).
"""

import hashlib
import math
import shlex
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from exequatur_verifier import cbor
from exequatur_verifier.errors import ExequaturError, MalformedError

from . import grants
from .approvals import GRANT
from .engine import Entity, Query
from .rules import ActionRules, Count, Rules

RESERVED: Final = frozenset({"__entity", "__extn", "__expr"})
PROCESS_EXEC: Final = "process.exec"
MCP_TOOL: Final = "mcp.tool"

_MAX_DEPTH: Final = 12  # Leaves room for the levels that the query adds, within the 16 of the record profile.
_MIN_LONG: Final = -(2**63)
_MAX_LONG: Final = 2**63 - 1
_DECIMAL_SCALE: Final = 10_000  # A Cedar decimal is a long in ten-thousandths.
_NO_RULES: Final = ActionRules()
# What needs not be asked whether it is a list or a mapping, which takes long.
_LEAVES: Final = frozenset((str, bytes, int, bool, float))


class MappingError(ExequaturError):
    """The action cannot be put to the policy engine without losing or changing something."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def build_query(
    descriptor: Mapping[str, Any],
    *,
    requester: str,
    claims: Mapping[str, Any],
    now: int,
    rules: Rules,
    entity_types: frozenset[str],
) -> Query:
    """Return what to ask the policy engine about an action.

    ``descriptor`` has been checked by the kernel (``action.check``); ``requester`` is the verified issuer of
    the request and ``claims`` are the request's; ``entity_types`` are the engine's. Raises ``MappingError``.
    Whether the result fits the schema is for the engine to say.
    """
    kind = descriptor["type"]
    name = _text(descriptor["name"], "name")
    plain = _Types(entity_types, _NO_RULES)
    common = {"now": _long(now, "now"), "claims": plain.said(claims, "claims")}
    if kind == MCP_TOOL:
        action, resource = name, Entity("Server", _text(descriptor["resource"], "resource"))
        declared = rules.get(action, _NO_RULES)
        arguments = _with_counts(descriptor["args"], declared.counts)
        # As ``_ordered`` would return it.
        context = {
            "now": common["now"],
            "args": _Types(entity_types, declared).said(arguments, ""),
            "claims": common["claims"],
        }
    elif kind == PROCESS_EXEC:
        action, resource = PROCESS_EXEC, Entity("Executable", name)
        fields = _with_counts(_process_fields(descriptor, name), rules.get(action, _NO_RULES).counts)
        context = _ordered({key: plain.value(value, key, 1) for key, value in fields.items()} | common)
    elif kind == GRANT:
        action, resource = GRANT, Entity("Grant", name)
        context = _ordered(
            {key: plain.value(value, key, 1) for key, value in _grant_fields(descriptor).items()} | common
        )
    else:
        raise MappingError(f"no mapping for actions of type {kind!r}")
    return Query(Entity("Requester", _text(requester, "requester")), Entity("Action", action), resource, context)


def refuse_reserved(arguments: object) -> None:
    """Raise ``MappingError`` if a key that Cedar reads as an escape stands anywhere in ``arguments``."""
    pending = [arguments]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            for key in value:
                if key in RESERVED:
                    raise MappingError(f"the key {key} is reserved and never accepted in arguments")
            pending += (item for item in value.values() if type(item) not in _LEAVES)
        elif isinstance(value, list | tuple):
            pending += value


def _process_fields(descriptor: Mapping[str, Any], executable: str) -> dict[str, Any]:
    arguments = [_text(item, "args") for item in descriptor["args"]]
    return {
        "program": PurePosixPath(executable).name,
        "command": shlex.join(arguments),
        "args": arguments,
        "cwd": descriptor["cwd"],
        "env": sorted(_text(item, "env") for item in descriptor["env"]),
        "uid": descriptor["uid"],
    }


def _grant_fields(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    try:
        wish = grants.read(descriptor)
    except MalformedError as error:
        raise MappingError(str(error)) from None
    return {
        "audience": descriptor["resource"],
        "depth": wish.depth,
        "holder": wish.holder.thumbprint.hex(),
        "constraints": grants.lines(wish),
    }


def _with_counts(fields: Mapping[str, Any], counts: tuple[Count, ...]) -> Mapping[str, Any]:
    """Return ``fields`` with the declared counts; an absent list has none, so a schema can demand one."""
    if not counts:
        return fields
    counted = dict(fields)
    for count in counts:
        if count.name in fields:
            raise MappingError(f"the argument {count.name} is one that the policy set computes")
        items = fields.get(count.of)
        if items is None:
            continue
        if not isinstance(items, list | tuple):
            raise MappingError(f"{count.of} is to be counted and is not a list")
        counted[count.name] = sum(_has_prefix(item, count) for item in items)
    return counted


def _has_prefix(item: object, count: Count) -> bool:
    if count.field is None:
        return True
    text = item.get(count.field) if isinstance(item, Mapping) else None
    if not isinstance(text, str):
        raise MappingError(f"{count.of}.{count.field} is to be counted and is not text everywhere")
    return text.startswith(count.prefix)


class _Types(NamedTuple):
    """What decides the type of a value: the names of entity types, and the paths that are declared."""

    entity_types: frozenset[str]
    rules: ActionRules

    def said(self, value: Mapping[str, Any], path: str) -> object:
        """Return what an agent said as the engine reads it. Raises ``MappingError``."""
        if not self.rules.declares_types:
            try:
                return _ordinary(value, 1)
            except ValueError:
                pass
        refuse_reserved(value)
        return self.value(value, path, 1)

    def value(self, value: object, path: str, depth: int) -> object:
        """Return ``value`` as the engine reads it. Raises ``MappingError``, naming the path."""
        if depth > _MAX_DEPTH:
            raise MappingError(f"{path} is nested deeper than {_MAX_DEPTH} levels")
        if path in self.rules.opaque:
            return _digest(value, path)
        if type(value) not in _LEAVES:
            if isinstance(value, Mapping):
                return self._record(value, path, depth)
            if isinstance(value, list | tuple):
                return [self.value(item, path, depth + 1) for item in value]
        if path in self.rules.decimals:
            return _decimal(value, path)
        if path in self.rules.enums:
            # Only enumerated types can be declared, so which entities there are is the schema's to say.
            return {"__entity": {"id": _text(value, path), "type": self.rules.enums[path]}}
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return _long(value, path)
        if isinstance(value, str | bytes):
            return _text(value, path)
        if isinstance(value, float):
            raise MappingError(f"{path} is a fraction where the policy set declares no decimal")
        raise MappingError(f"{path} holds a {type(value).__name__} among values")

    def _record(self, record: Mapping[Any, object], path: str, depth: int) -> dict[str, object]:
        # Where a schema expects an entity, Cedar takes a record with these two keys for one, whatever else is
        # in it.
        claimed = record.get("type")
        if isinstance(claimed, str) and "id" in record and claimed.rpartition("::")[2] in self.entity_types:
            raise MappingError(f"{path or 'args'} would pass for an entity of type {claimed}")
        fields: dict[str, object] = {}
        for key, item in record.items():
            name = _text(key, path)
            if name is not key and name in record:
                raise MappingError(f"{path or 'args'} has the key {name} twice, as bytes and as text")
            if item is not None:
                fields[name] = self.value(item, f"{path}.{name}" if path else name, depth + 1)
        return _ordered(fields)


def _ordinary(value: Any, depth: int) -> Any:
    """Return what ``_Types.value`` returns where nothing is declared, in a third of its time.

    Raises ``ValueError`` for all that could be refused, and more: it takes a closer look.
    """
    kind = type(value)
    if kind is bool or (kind is str and value.isascii()) or (kind is int and _MIN_LONG <= value <= _MAX_LONG):
        return value
    if depth >= _MAX_DEPTH or (kind is not dict and kind is not list):
        raise ValueError
    if kind is list:
        return [_ordinary(item, depth + 1) for item in value]
    if ("id" in value and "type" in value) or not RESERVED.isdisjoint(value):
        raise ValueError
    fields: dict[str, object] = {}
    for name in cbor.in_order(value):
        if type(name) is not str:
            raise ValueError
        item = value[name]
        if item is not None:
            # Most are such, and asked here they take no call.
            fields[name] = item if type(item) is str and item.isascii() else _ordinary(item, depth + 1)
    return fields


def _ordered(fields: dict[str, object]) -> dict[str, object]:
    return {name: fields[name] for name in cbor.in_order(fields)}


def _text(value: object, path: str) -> str:
    """Return text, from UTF-8 if need be. Nothing is normalised: what has two spellings is refused."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise MappingError(f"{path} is not UTF-8") from None
    if not isinstance(text, str):
        raise MappingError(f"{path} is not text")
    if text.isascii():
        return text
    surrogate = any("\ud800" <= character <= "\udfff" for character in text)
    if surrogate or not unicodedata.is_normalized("NFC", text):
        raise MappingError(f"{path} is not text in Unicode normalization form C")
    return text


def _long(value: object, path: str) -> int:
    if type(value) is not int or not _MIN_LONG <= value <= _MAX_LONG:
        raise MappingError(f"{path} is not an integer within 64 signed bits")
    return value


def _decimal(value: object, path: str) -> dict[str, object]:
    """Return the escape of a Cedar decimal that equals ``value``, a number."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number and not (isinstance(value, float) and math.isfinite(value)):
        raise MappingError(f"{path} is declared a decimal and is not a number")
    # The shortest text of a float is the number that was written (``action.parse_json_arguments``).
    scaled = Decimal(repr(value)) * _DECIMAL_SCALE
    if scaled != scaled.to_integral_value() or not _MIN_LONG <= scaled <= _MAX_LONG:
        raise MappingError(f"{path} does not fit a decimal of four places")
    digits = f"{abs(int(scaled)):05d}"
    sign = "-" if scaled < 0 else ""
    return {"__extn": {"fn": "decimal", "arg": f"{sign}{digits[:-4]}.{digits[-4:]}"}}


def _digest(value: object, path: str) -> str:
    """Return what policies see of an opaque value: its digest, which has one spelling."""
    try:
        encoded = cbor.encode(value, floats=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise MappingError(f"{path} has no deterministic encoding: {error}") from None
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"
