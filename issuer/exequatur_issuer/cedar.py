"""Cedar, behind the rules that make it fail closed (specs/09 §2, §4).

Left alone, Cedar allows where one would not expect it: a ``forbid`` that cannot be evaluated does not apply,
and without a schema a request of the wrong types is no error at all. So a schema is mandatory, every request
is checked against it, and the set is refused when it is loaded if anything in it is wrong or can never have
an effect (``cedar_loading``); ``engine.conclude`` judges the rest. Parsed once, a set answers in a fraction of
a millisecond.

Cedar evaluates every policy that it is given, so a question is put to those alone whose scope can hold of its action.
The others do not apply, and a scope cannot fail.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from typing import Any, Final

import cedarpy

from . import cedar_loading
from .conditions import Condition
from .engine import Answer, Entity, Policy, Query, conclude
from .policyset import PolicySet

_ENTITY_TYPE: Final = re.compile(r"^\s*entity\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
_ENUMERATION: Final = re.compile(r"^\s*entity\s+([A-Za-z_][A-Za-z0-9_]*)\s+enum\b", re.MULTILINE)
_FAILED: Final = re.compile(r"error while evaluating policy `c([0-9]+)`: (.*)", re.DOTALL)
# Nothing that has a query contains itself.
_JSON: Final = json.JSONEncoder(check_circular=False)
_ANYTHING: Final = {"op": "All"}
_ILL_TYPED: Final = {"<": {"left": {"Value": 1}, "right": {"Value": ""}}}
# What Cedar prints around every step of a path, and nobody writes. Strings are passed over.
_PARENTHESES: Final = re.compile(
    r"""("(?:\\.|[^"\\])*")|(?<!\w)\(((?:principal|action|resource|context)(?:\.\w+|\["(?:\\.|[^"\\])*"\])*)\)"""
)


class CedarEngine:
    """A policy set that Cedar has parsed, validated and found without fault; a ``PolicyEngine``."""

    name: Final = "cedar"

    def __init__(self, policy_set: PolicySet) -> None:
        """Load ``policy_set``. Raises ``PolicySetError`` (``cedar_loading.load``)."""
        self.version = version()
        self._schema, self._policy_set, self.sources, self._entities = cedar_loading.load(policy_set)
        self._policies = {f"policy{place}": source.policy for place, source in enumerate(self.sources)}
        self._places = {place: number for number, place in enumerate(self._policies)}
        self._slices: dict[Entity, cedarpy.PolicySet] = {}
        self.entity_types = frozenset(_ENTITY_TYPE.findall(str(self._schema)))
        self.enumerations = frozenset(_ENUMERATION.findall(str(self._schema)))

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy, in the order of the set."""
        return tuple(self._policies.values())

    def evaluate(self, query: Query, conditions: Sequence[Condition]) -> list[bool | str]:
        """Return, for each condition by itself, whether it holds for ``query``, or why it cannot be evaluated.

        Each is asked as the one condition of a permit, under the schema and the entities of the set. Raises
        ``ValueError`` for a query that ``decide`` gives no decision on.
        """
        asked = cedarpy.PolicySet.from_json_str(_one_by_one(conditions))
        result = cedarpy.is_authorized(_request(query), asked, self._entities, self._schema)
        if result.decision is cedarpy.Decision.NoDecision:
            raise ValueError("; ".join(result.diagnostics.errors))
        failed = {int(found[1]): found[2] for found in map(_FAILED.fullmatch, result.diagnostics.errors) if found}
        holding = frozenset(result.diagnostics.reasons)
        return [failed.get(number, f"c{number}" in holding) for number in range(len(conditions))]

    def decide(self, query: Query) -> Answer:
        """Return the answer to ``query``, checked against the schema before it is evaluated."""
        return self._decide(query.action, (query,))[0]

    def decide_many(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the answer to each query, those about one action asked together."""
        numbers: dict[Entity, list[int]] = {}
        for number, query in enumerate(queries):
            numbers.setdefault(query.action, []).append(number)
        answers: dict[int, Answer] = {}
        for action, alike in numbers.items():
            answers |= zip(alike, self._decide(action, [queries[number] for number in alike]), strict=True)
        return [answers[number] for number in range(len(queries))]

    def _decide(self, action: Entity, queries: Sequence[Query]) -> list[Answer]:
        try:
            requests = [_request(query) for query in queries]
            results = cedarpy.is_authorized_batch(requests, self._about(action), self._entities, self._schema)
        except (ValueError, TypeError, RecursionError) as error:
            # A request could not even be written as JSON: lone surrogates, foreign types, bottomless nesting.
            if len(queries) == 1:
                return [conclude("NoDecision", (), (str(error),))]
            return [self.decide(query) for query in queries]
        return [self._conclude(result) for result in results]

    def _conclude(self, result: cedarpy.AuthzResult) -> Answer:
        # Cedar keeps reasons in a hash set, in an order of the moment; ours is the order of the policy set.
        said = result.diagnostics
        reasons = sorted(filter(self._places.__contains__, said.reasons), key=self._places.__getitem__)
        determining = [self._policies[place] for place in reasons]
        return conclude(result.decision.value, determining, sorted(said.errors))

    def _about(self, action: Entity) -> cedarpy.PolicySet:
        """Return the policies whose scope can hold of ``action``, by their names in the whole set.

        They are kept for the actions of the schema only, which are few; about others the whole set is asked, and Cedar
        refuses the request.
        """
        if action not in self._slices:
            if not _validates(_ANYTHING, _is(action), self._schema):
                return self._policy_set
            scopes = {json.dumps(source.tree["action"]): source.tree["action"] for source in self.sources}
            holding = {text for text, scope in scopes.items() if _can_hold(scope, action, self._schema)}
            trees = zip(self._policies, (source.tree for source in self.sources), strict=True)
            kept = {name: tree for name, tree in trees if json.dumps(tree["action"]) in holding}
            self._slices[action] = cedarpy.PolicySet.from_json_str(_as_set(kept))
        return self._slices[action]


def render(condition: Condition) -> str:
    """Return a condition in Cedar's words."""
    text: str = cedarpy.policies_from_json_str(_one_by_one([condition]))
    text = text[text.index("{") + 1 : text.rindex("}")].strip()
    while (plain := _PARENTHESES.sub(lambda found: found[1] or found[2], text)) != text:
        text = plain
    return text


def version() -> str:
    """Return the versions of Cedar and of its binding; the wheel's bill of materials knows the first."""
    cedar = distribution("cedarpy")
    bill = json.loads(cedar.read_text("sboms/cedarpy.cyclonedx.json") or "{}")
    engine = [part["version"] for part in bill.get("components", ()) if part["name"] == "cedar-policy"]
    return f"{engine[0] if engine else 'unknown'} (cedarpy {cedar.version})"


def _request(query: Query) -> dict[str, Any]:
    return {
        "principal": {"type": query.principal.type, "id": query.principal.id},
        "action": {"type": query.action.type, "id": query.action.id},
        "resource": {"type": query.resource.type, "id": query.resource.id},
        # As text, because the binding would copy the request to put the text in.
        "context": _JSON.encode(query.context),
    }


def _one_by_one(conditions: Sequence[Condition]) -> str:
    """Return a policy set, in JSON, of one permit for each condition."""
    return _as_set({f"c{number}": _permit(_ANYTHING, condition) for number, condition in enumerate(conditions)})


def _permit(action: object, condition: Condition) -> dict[str, Any]:
    """Return the tree of a permit with one condition, for any principal and resource."""
    when = {"kind": "when", "body": condition}
    return {"effect": "permit", "principal": _ANYTHING, "action": action, "resource": _ANYTHING, "conditions": [when]}


def _as_set(policies: Mapping[str, object]) -> str:
    return json.dumps({"staticPolicies": policies, "templates": {}, "templateLinks": []})


def _can_hold(scope: Mapping[str, Any], action: Entity, schema: cedarpy.Schema) -> bool:
    """Say whether a scope, of actions alone, can hold of ``action``; it can unless Cedar's validator proves otherwise.

    The validator stops where the left of a conjunction is known to be false, so what it passes never gets to the right.
    """
    return not _validates(scope, {"&&": {"left": _is(action), "right": _ILL_TYPED}}, schema)


def _is(action: Entity) -> Condition:
    return {"==": {"left": {"Var": "action"}, "right": {"Value": {"__entity": action._asdict()}}}}


def _validates(action: Mapping[str, Any], condition: Condition, schema: cedarpy.Schema) -> bool:
    text = cedarpy.policies_from_json_str(_as_set({"c": _permit(action, condition)}))
    return cedarpy.validate_policies(text, schema).validation_passed
