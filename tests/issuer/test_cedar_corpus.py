"""Cedar's own integration tests through our wrapper, as typed contexts that are trusted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Entity, Query
from tests.data import DATA, requires_data

CORPUS = DATA / "inputs" / "cedar"
FILES, REQUESTS = 22, 74


def cases() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(CORPUS.glob("tests/*/*.json"))]


def load(case: dict[str, Any]) -> CedarEngine:
    policies = {"corpus.cedar": (CORPUS / case["policies"]).read_bytes()}
    schema, entities = ((CORPUS / case[part]).read_bytes() for part in ("schema", "entities"))
    return CedarEngine(policyset.PolicySet(policyset.join(policies), schema, entities))


def query(request: dict[str, Any]) -> Query:
    principal, action, resource = (Entity(**request[part]) for part in ("principal", "action", "resource"))
    return Query(principal, action, resource, request["context"])


def requests() -> Iterator[tuple[CedarEngine, dict[str, Any]]]:
    for case in cases():
        engine = load(case)
        yield from ((engine, request) for request in case["requests"])


@requires_data
def test_every_request_is_answered_as_cedar_expects() -> None:
    count = 0
    for engine, request in requests():
        answer = engine.decide(query(request))
        assert answer.outcome == request["decision"], request["description"]
        assert sorted(answer.policy_ids) == sorted(request["reason"]), request["description"]
        assert list(answer.errors) == request["errors"], request["description"]
        count += 1
    # None is left out: these are all of them that the inputs hold.
    assert (len(cases()), count) == (FILES, REQUESTS)


@requires_data
def test_denials_are_by_a_forbid_exactly_when_there_is_a_reason() -> None:
    for engine, request in requests():
        answer = engine.decide(query(request))
        if answer.outcome == "deny":
            expected = "POLICY_FORBID" if request["reason"] else "POLICY_DEFAULT_DENY"
            assert answer.code == expected, request["description"]


@requires_data
@pytest.mark.parametrize(("field", "value"), [("principal", "Nobody"), ("action", "Nothing"), ("resource", "Nowhere")])
def test_no_request_is_allowed_about_a_type_outside_the_schema(field: str, value: str) -> None:
    for engine, request in requests():
        changed = query({**request, field: {"type": value, "id": request[field]["id"]}})
        assert engine.decide(changed).code == "POLICY_NO_DECISION", request["description"]


@requires_data
def test_no_request_is_allowed_with_an_argument_outside_the_schema() -> None:
    for engine, request in requests():
        changed = query({**request, "context": {**request["context"], "smuggled": True}})
        assert engine.decide(changed).code == "POLICY_NO_DECISION", request["description"]
