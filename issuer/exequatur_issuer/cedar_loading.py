"""Reading a policy set for Cedar, and refusing it for anything that is wrong in it or can never have an effect.

What is refused, and why, is in specs/09 §4. Beside Cedar's own errors these are templates (they permit nothing until
linked), two policies with one id, ids that look like positions, policies that can never apply, and entities that do not
conform to the schema.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import cedarpy

from .engine import Policy
from .policyset import ENTITIES, SCHEMA, PolicySet, PolicySetError, check_text

# Ill-typed on purpose. Cedar types a conjunction from the left and stops where the left is known to be false;
# so a policy that still validates with this condition added is one that can never apply.
_ILL_TYPED: Final = '\nwhen { 1 < "" };'

# A policy ends at the first semicolon outside strings and comments. Cedar has no other kind of comment, and
# ends one at either line break.
_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|;', re.DOTALL)
_BLANK: Final = re.compile(r"(?:\s|//[^\r\n]*)*")
_POSITION: Final = re.compile(r"policy[0-9]+")
_ENTITY_FIELDS: Final = frozenset({"uid", "attrs", "parents", "tags"})


class Source(NamedTuple):
    """A policy where it stands: its file and line, and its tree as Cedar's JSON spells it."""

    policy: Policy
    file: str
    line: int
    tree: dict[str, Any]

    @property
    def place(self) -> str:
        """File and line, as editors read them."""
        return f"{self.file}:{self.line}"


class Loaded(NamedTuple):
    """A policy set without fault, as Cedar keeps it; ``sources`` are its policies, in order."""

    schema: cedarpy.Schema
    policies: cedarpy.PolicySet
    sources: tuple[Source, ...]
    entities: cedarpy.Entities


def load(policy_set: PolicySet) -> Loaded:
    """Return the parsed set. Raises ``PolicySetError`` for anything that Cedar, or this module, objects to."""
    schema = _parse_schema(check_text(SCHEMA, policy_set.schema))
    statements = [statement for file, text in policy_set.files() for statement in _split(file, text)]
    text = policy_set.sources.decode()
    policies = cedarpy.PolicySet.from_str(text)
    sources = _describe(text, statements)
    _validate(text, statements, schema)
    _refuse_idle(statements, schema)
    return Loaded(schema, policies, sources, _parse_entities(check_text(ENTITIES, policy_set.entities), schema))


class _Statement(NamedTuple):
    """The source of one policy: its file, the line where it begins, and its text with the semicolon."""

    file: str
    line: int
    text: str

    def error(self, detail: str) -> PolicySetError:
        """Return the error that names this policy's place."""
        return PolicySetError(self.file, self.line, detail)


def _split(file: str, text: str) -> Iterator[_Statement]:
    """Yield the policies of a file. Raises ``PolicySetError`` for one that does not parse by itself."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token.group() != ";":
            continue
        yield _check_statement(file, text, start, token.end())
        start = token.end()
    if not _BLANK.fullmatch(text, start):
        # An unfinished policy would otherwise go on in the next file.
        raise PolicySetError(file, _first_line(text, start), "a policy does not end with a semicolon")


def _check_statement(file: str, text: str, start: int, end: int) -> _Statement:
    statement = _Statement(file, _first_line(text, start), text[start:end])
    try:
        parsed = cedarpy.PolicySet.from_str(statement.text)
    except ValueError as error:
        raise statement.error(str(error)) from None
    if parsed.templates():
        raise statement.error("templates are not supported; write the policy out")
    if len(parsed) != 1:
        raise statement.error("is not one policy")
    return statement


def _first_line(text: str, start: int) -> int:
    """Return the line of the first thing after ``start`` that is neither blank nor a comment."""
    blank = _BLANK.match(text, start)
    return text.count("\n", 0, blank.end() if blank else start) + 1


def _describe(text: str, statements: list[_Statement]) -> tuple[Source, ...]:
    """Return the policies in order. Raises ``PolicySetError`` on an id of several policies."""
    parsed: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    if parsed.keys() != {f"policy{position}" for position in range(len(statements))}:
        raise PolicySetError("sources", 0, "do not parse together as they parse one by one")
    sources: list[Source] = []
    ids = set[str]()
    for position, statement in enumerate(statements):
        source = parsed[f"policy{position}"]
        # An annotation without a value is one whose value is empty.
        annotations = {name: value or "" for name, value in sorted(source.get("annotations", {}).items())}
        name = annotations.get("id", f"policy{position}")
        if not name or name in ids or ("id" in annotations and _POSITION.fullmatch(name)):
            raise statement.error(f"the id {name!r} is empty, taken, or reserved for positions")
        ids.add(name)
        policy = Policy(name, source["effect"], annotations)
        sources.append(Source(policy, statement.file, statement.line, source))
    return tuple(sources)


def _parse_schema(text: str) -> cedarpy.Schema:
    try:
        return cedarpy.Schema.from_str(text)
    except ValueError as error:
        raise PolicySetError(SCHEMA, 0, str(error)) from None


def _validate(text: str, statements: list[_Statement], schema: cedarpy.Schema) -> None:
    """Raise ``PolicySetError`` for the first policy that is not well-typed under the schema."""
    result = cedarpy.validate_policies(text, schema)
    if result.validation_passed and not result.errors:
        return
    found = [(_index(error.policy_id), error.error) for error in result.errors] or [(-1, "validation failed")]
    index, detail = min(found)
    if 0 <= index < len(statements):
        raise statements[index].error(detail)
    raise PolicySetError("sources", 0, detail)


def _refuse_idle(statements: Iterable[_Statement], schema: cedarpy.Schema) -> None:
    """Raise ``PolicySetError`` for a policy that can never apply under the schema.

    Cedar's validator only warns of these, and its binding drops the warnings; a ``forbid`` that never applies
    is not a detail.
    """
    for statement in statements:
        # The line break ends a comment that may stand before the semicolon.
        if cedarpy.validate_policies(statement.text.removesuffix(";") + _ILL_TYPED, schema).validation_passed:
            raise statement.error("can never apply: its conditions are always false")


def _index(position: str) -> int:
    return int(position.removeprefix("policy")) if _POSITION.fullmatch(position) else -1


def _parse_entities(text: str, schema: cedarpy.Schema) -> cedarpy.Entities:
    """Return the entity snapshot. Raises ``PolicySetError``, naming the line or the entity."""
    try:
        entities = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise PolicySetError(ENTITIES, error.lineno, error.msg) from None
    except (ValueError, RecursionError) as error:
        raise PolicySetError(ENTITIES, 0, str(error)) from None
    if not isinstance(entities, list):
        raise PolicySetError(ENTITIES, 0, "is not a list of entities")
    for entity in entities:
        if not isinstance(entity, dict) or not entity.keys() <= _ENTITY_FIELDS:
            raise PolicySetError(ENTITIES, 0, f"{_name(entity)} has other fields than {sorted(_ENTITY_FIELDS)}")
        _load_entities(json.dumps([entity]), schema, _name(entity))
    return _load_entities(text, schema, "the snapshot")


def _load_entities(text: str, schema: cedarpy.Schema, what: str) -> cedarpy.Entities:
    try:
        return cedarpy.Entities.from_json_str(text, schema)
    except ValueError as error:
        raise PolicySetError(ENTITIES, 0, f"{what}: {error}") from None


def _name(entity: object) -> str:
    uid = entity.get("uid") if isinstance(entity, dict) else None
    return json.dumps(uid) if uid is not None else "an entity without uid"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError(f"a key is repeated among {sorted(name for name, _ in pairs)}")
    return fields
