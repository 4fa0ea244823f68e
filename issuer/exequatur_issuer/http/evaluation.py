"""AuthZEN's four entities as an action of ours, by a declared mapping (Authorization API 1.0, specs/12 §6).

    resource.type    says which declaration applies
    action.name      is the name of the action
    resource.id      is its resource
    args             are what the declaration finds: one object, or single values by their paths

What the declaration does not name is no part of the action: it is neither decided on nor committed to. A path whose
end is not there gives no argument.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from exequatur_verifier import action
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import MalformedError

ROOTS: Final = frozenset({"subject", "action", "resource", "context"})
# The keys that each entity must have; all of them are text.
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "subject": ("type", "id"),
    "action": ("name",),
    "resource": ("type", "id"),
}
_MISSING: Final = object()


class Resource(NamedTuple):
    """What resources of one type are: the type of the action, and where its arguments are found."""

    args: str | Mapping[str, str]
    type: str = "mcp.tool"


class UnmappedError(MalformedError):
    """A resource of a type for which nothing is declared."""


class Evaluation(NamedTuple):
    """One question: about which subject, and the action."""

    kind: str
    name: str
    descriptor: Descriptor


def check(request: Mapping[str, Any], entities: Collection[str] = _REQUIRED) -> None:
    """Check the form of an evaluation request, or of some entities of it; raise ``MalformedError`` with the field."""
    for entity in entities:
        found = request.get(entity)
        if not isinstance(found, Mapping):
            raise MalformedError(f"{entity} is missing, or is no object")
        for key in _REQUIRED[entity]:
            if not isinstance(found.get(key), str):
                raise MalformedError(f"{entity}.{key} is missing, or is no string")
        if not isinstance(found.get("properties", {}), Mapping):
            raise MalformedError(f"{entity}.properties is no object")
    if not isinstance(request.get("context", {}), Mapping):
        raise MalformedError("context is no object")


def check_defaults(request: Mapping[str, Any]) -> None:
    """Check the entities that a request has for all of its evaluations; raise ``MalformedError``."""
    check(request, [entity for entity in _REQUIRED if entity in request])


def read(request: Mapping[str, Any], resources: Mapping[str, Resource]) -> Evaluation:
    """Return the question that a request puts.

    Raises ``UnmappedError`` for a resource of no declared type, and ``MalformedError`` for what is no request.
    """
    check(request)
    subject, resource = request["subject"], request["resource"]
    declared = resources.get(resource["type"])
    if declared is None:
        raise UnmappedError(f"resources of type {resource['type'][:100]!r} are not declared here")
    descriptor = {
        "type": declared.type,
        "name": request["action"]["name"],
        "resource": resource["id"],
        "args": _arguments(request, declared.args),
    }
    action.encode(descriptor)
    return Evaluation(subject["type"], subject["id"], descriptor)


def with_defaults(request: Mapping[str, Any], item: Any) -> Mapping[str, Any]:
    """Return one of several evaluations, with what it leaves out taken from the request, each entity as a whole."""
    if not isinstance(item, Mapping):
        raise MalformedError("an evaluation is an object")
    defaults = {name: request[name] for name in ROOTS if name in request}
    return defaults | {name: item[name] for name in ROOTS if name in item}


def _arguments(request: Mapping[str, Any], declared: str | Mapping[str, str]) -> Mapping[str, Any]:
    if isinstance(declared, str):
        found = _find(request, declared)
        if found is _MISSING:
            return {}
        if not isinstance(found, Mapping):
            raise MalformedError(f"{declared} is no object")
        return found
    paths = ((name, _find(request, path)) for name, path in declared.items())
    return {name: value for name, value in paths if value is not _MISSING}


def _find(request: Mapping[str, Any], path: str) -> Any:
    value: Any = request
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return _MISSING
        value = value[step]
    return value
