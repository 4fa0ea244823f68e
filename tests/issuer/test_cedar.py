"""The ways in which Cedar allows by accident, each once as it should be and once with one thing changed."""

import itertools
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Entity, Policy, PolicyEngine, Query, conclude, refuse
from exequatur_issuer.policyset import PolicySet, PolicySetError
from exequatur_verifier import cbor

SCHEMA = """
entity Requester = { level: Long };
entity Executable;
entity Admin;
action "run" appliesTo {
  principal: Requester,
  resource: Executable,
  context: { argv0: String, count?: Long, who?: Admin, note?: { type: String, id: String }, now: Long },
};
action "stop" appliesTo { principal: Requester, resource: Executable, context: { now: Long } };
"""
PERMIT_ALL = '@id("all") permit (principal, action, resource);\n'
FORBID_RM = '@id("no-rm") forbid (principal, action == Action::"run", resource) when { context.argv0 == "rm" };\n'
ENTITIES = '[{"uid": {"type": "Requester", "id": "alice"}, "attrs": {"level": 3}, "parents": []}]'


def load(policies: str, schema: str = SCHEMA, entities: str = ENTITIES) -> CedarEngine:
    joined = policyset.join({"test.cedar": policies.encode()})
    return CedarEngine(PolicySet(joined, schema.encode(), entities.encode()))


def query(context: dict[str, Any], principal: str = "alice", action: str = "run") -> Query:
    fields = {"now": 1_700_000_000, **context}
    return Query(
        Entity("Requester", principal),
        Entity("Action", action),
        Entity("Executable", "/usr/bin/ls"),
        {name: fields[name] for name in cbor.in_order(fields)},
    )


def test_a_permitted_request_is_allowed_and_names_its_policy() -> None:
    answer = load(PERMIT_ALL + FORBID_RM).decide(query({"argv0": "ls"}))
    assert (answer.outcome, answer.code, answer.policy_ids, answer.errors) == ("allow", None, ("all",), ())


def test_a_forbidden_request_is_denied_and_names_its_policy() -> None:
    answer = load(PERMIT_ALL + FORBID_RM).decide(query({"argv0": "rm"}))
    assert (answer.outcome, answer.code, answer.policy_ids) == ("deny", "POLICY_FORBID", ("no-rm",))


def test_without_a_permit_the_answer_is_no() -> None:
    answer = load(FORBID_RM).decide(query({"argv0": "ls"}))
    assert (answer.outcome, answer.code, answer.determining) == ("deny", "POLICY_DEFAULT_DENY", ())


def test_an_empty_set_denies_everything() -> None:
    engine = CedarEngine(PolicySet(policyset.join({}), SCHEMA.encode()))
    assert engine.decide(query({"argv0": "ls"})).code == "POLICY_DEFAULT_DENY"


@pytest.mark.parametrize("context", [{}, {"argv0": ["rm"]}], ids=["missing", "of another type"])
def test_a_request_that_slips_past_a_forbid_without_a_schema_is_denied_with_one(
    context: dict[str, Any],
) -> None:
    # A-04 A-18
    # Bare Cedar allows both, the second without any error; that is why a schema is mandatory here.
    request = {"principal": 'Requester::"alice"', "action": 'Action::"run"', "resource": 'Executable::"x"'}
    bare = cedarpy.is_authorized({**request, "context": context}, PERMIT_ALL + FORBID_RM, "[]")
    assert bare.decision is cedarpy.Decision.Allow

    answer = load(PERMIT_ALL + FORBID_RM).decide(query(context))
    assert (answer.outcome, answer.code) == ("deny", "POLICY_NO_DECISION")
    assert answer.errors


def test_a_forbid_that_cannot_be_evaluated_denies() -> None:
    #
    engine = load(PERMIT_ALL + "forbid (principal, action, resource) when { principal.level > 5 };")
    assert engine.decide(query({"argv0": "ls"})).outcome == "allow"
    # Nothing is known of bob, so the forbid fails, does not apply, and Cedar itself says Allow.
    answer = engine.decide(query({"argv0": "ls"}, principal="bob"))
    assert (answer.outcome, answer.code, answer.policy_ids) == ("deny", "POLICY_ERROR", ("all",))
    assert "bob" in answer.errors[0]


def test_arithmetic_that_overflows_denies() -> None:
    engine = load(
        PERMIT_ALL
        + """forbid (principal, action == Action::"run", resource)
             when { context has count && context.count + 1 < 0 };"""
    )
    assert engine.decide(query({"argv0": "ls", "count": 2**63 - 2})).outcome == "allow"
    assert engine.decide(query({"argv0": "ls", "count": 2**63 - 1})).code == "POLICY_ERROR"


def test_a_forbid_stands_whatever_else_fails() -> None:
    engine = load(PERMIT_ALL + FORBID_RM + "forbid (principal, action, resource) when { principal.level > 5 };")
    answer = engine.decide(query({"argv0": "rm"}, principal="bob"))
    assert (answer.code, answer.policy_ids, len(answer.errors)) == ("POLICY_FORBID", ("no-rm",), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 1.5),
        ("count", None),
        ("count", 2**63),
        ("count", "1"),
        ("count", float("nan")),
        ("argv0", {"__entity": {"type": "Admin", "id": "root"}}),
        ("argv0", {"__extn": {"fn": "decimal", "arg": "1.0"}}),
        ("argv0", {"__expr": 'Admin::"root"'}),
        ("argv0", "\ud800"),
        ("argv0", b"ls"),
        ("who", 'Admin::"root"'),
        ("smuggled", 1),
    ],
)
def test_a_value_that_is_not_of_the_declared_type_is_no_request(name: str, value: object) -> None:
    engine = load(PERMIT_ALL)
    assert engine.decide(query({"argv0": "ls"})).outcome == "allow"
    assert engine.decide(query({"argv0": "ls", name: value})).code == "POLICY_NO_DECISION"


def test_the_escape_without_an_escape_is_real() -> None:
    # A plain record passes for an entity where the schema declares one, whatever else is in it. The mapping
    # refuses such records from agents (test_mapping); a trusted context may hold them.
    engine = load(
        """permit (principal, action == Action::"run", resource)
           when { context has who && context.who == Admin::"root" };"""
    )
    claimed = {"type": "Admin", "id": "root", "more": 1}
    assert engine.decide(query({"argv0": "ls", "who": claimed})).outcome == "allow"
    assert engine.decide(query({"argv0": "ls", "note": {"type": "Admin", "id": "root"}})).outcome == "deny"


def test_nesting_without_end_is_no_request() -> None:
    context: dict[str, Any] = {"argv0": "ls"}
    for _ in range(5000):
        context = {"argv0": context}
    assert load(PERMIT_ALL).decide(query(context)).code == "POLICY_NO_DECISION"


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": Entity("Admin", "alice")},
        {"principal": Entity("Nobody", "alice")},
        {"principal": Entity("Not a name", "alice")},
        {"principal": Entity("Requester", "\ud800")},
        {"action": Entity("Action", "erase")},
        {"action": Entity("Requester", "run")},
        {"resource": Entity("Requester", "alice")},
    ],
)
def test_entities_outside_the_schema_are_no_request(changed: dict[str, Any]) -> None:
    answer = load(PERMIT_ALL).decide(query({"argv0": "ls"})._replace(**changed))
    assert (answer.outcome, answer.code) == ("deny", "POLICY_NO_DECISION")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["argv0", "count", "who", "note", "now", "__entity", "type"])
LOADED = load(PERMIT_ALL + FORBID_RM)


@given(context=st.dictionaries(NAMES, JSON, max_size=5))
def test_any_context_gets_an_answer_and_only_a_well_typed_one_an_allow(context: dict[str, Any]) -> None:
    answer = LOADED.decide(query({})._replace(context=context))
    if answer.allowed:
        assert isinstance(context["argv0"], str)
        assert type(context["now"]) is int
        assert context.keys() <= {"argv0", "now", "count", "who", "note"}


def test_time_is_an_input_and_nothing_else() -> None:
    #
    engine = load('permit (principal, action == Action::"stop", resource) when { context.now < 1700000000 };')
    assert engine.decide(query({"now": 1_699_999_999}, action="stop")).outcome == "allow"
    assert engine.decide(query({"now": 1_700_000_000}, action="stop")).outcome == "deny"


def test_reasons_come_in_the_order_of_the_set() -> None:
    names = [f"p{number}" for number in range(12)]
    engine = load("".join(f'@id("{name}") permit (principal, action, resource);\n' for name in names))
    for _ in range(20):
        assert engine.decide(query({"argv0": "ls"})).policy_ids == tuple(names)


def test_policies_without_an_id_are_named_by_position() -> None:
    engine = load(FORBID_RM + 'permit (principal, action, resource);\n@doc("x") @bare\n' + PERMIT_ALL)
    assert [policy.id for policy in engine.policies] == ["no-rm", "policy1", "all"]
    assert engine.policies[2] == Policy("all", "permit", {"id": "all", "doc": "x", "bare": ""})


def test_engine_names_itself_and_its_entity_types() -> None:
    engine: PolicyEngine = load(PERMIT_ALL, SCHEMA + "\n// entity Ghost;\nnamespace N { entity Deep; }")
    assert engine.name == "cedar"
    assert engine.version.endswith(f"(cedarpy {cedarpy_version()})")
    assert engine.entity_types == {"Requester", "Executable", "Admin", "Deep"}


def cedarpy_version() -> str:
    from importlib.metadata import version

    return version("cedarpy")


# What is refused when a set is loaded.


@pytest.mark.parametrize(
    ("policies", "line"),
    [
        (PERMIT_ALL + "\npermit (principal,\naction resource);", 3),
        (PERMIT_ALL + "\n// never ended\npermit (principal, action, resource)", 4),
        (PERMIT_ALL + "permit (principal == ?principal, action, resource);", 2),
        (PERMIT_ALL + PERMIT_ALL, 2),
        ('@id("policy7") permit (principal, action, resource);', 1),
        ('@id("") permit (principal, action, resource);', 1),
        ('@id("x")\n@id("y")\npermit (principal, action, resource);', 1),
        (PERMIT_ALL + ";", 2),
        (PERMIT_ALL + "forbid (principal, action, resource) when { context.nothing };", 2),
        (
            PERMIT_ALL + 'forbid (principal, action == Action::"run", resource) when { context.count > 1 };',
            2,
        ),
        (PERMIT_ALL + 'forbid (principal in Admin::"x", action, resource);', 2),
        (PERMIT_ALL + 'forbid (principal, action == Action::"erase", resource);', 2),
        (PERMIT_ALL + 'forbid (principal, action, resource) when { "a;b" == 1 };', 2),
    ],
)
def test_a_set_with_a_fault_is_refused_with_its_place(policies: str, line: int) -> None:
    #
    with pytest.raises(PolicySetError) as caught:
        load(policies)
    assert (caught.value.file, caught.value.line) == ("test.cedar", line)


@pytest.mark.parametrize(
    "condition",
    [
        "when { false }",
        "unless { true }",
        "when { context.now > 1 && false }",
        "when { context has nothing && context.nothing }",
        "when { if context.now > 1 then false else false }",
        "when { principal is Admin } // after all\n",
    ],
)
def test_a_policy_that_can_never_apply_is_refused(condition: str) -> None:
    #
    with pytest.raises(PolicySetError, match=r"test\.cedar:2: can never apply"):
        load(f"{PERMIT_ALL}forbid (principal, action, resource) {condition};")


@pytest.mark.parametrize(
    "condition", ["", "when { true }", "when { context.now > 1 }", "unless { principal is Admin } // no\n"]
)
def test_a_policy_that_may_apply_is_taken(condition: str) -> None:
    #
    assert len(load(f"{PERMIT_ALL}forbid (principal, action, resource) {condition};").policies) == 2


def test_an_unfinished_policy_does_not_go_on_in_the_next_file() -> None:
    #
    files = {"a.cedar": b"permit (principal, action, resource)", "b.cedar": b"when { context.now > 1 };"}
    assert len(cedarpy.PolicySet.from_str("\n".join(text.decode() for text in files.values()))) == 1
    with pytest.raises(PolicySetError) as caught:
        CedarEngine(PolicySet(policyset.join(files), SCHEMA.encode()))
    assert (caught.value.file, caught.value.line) == ("a.cedar", 1)


@pytest.mark.parametrize("schema", ["entity", "entity A = { x: Nothing };", "entity A;\nentity A;"])
def test_a_schema_with_a_fault_is_refused(schema: str) -> None:
    #
    with pytest.raises(PolicySetError) as caught:
        load("", schema)
    assert caught.value.file == "schema.cedarschema"


@pytest.mark.parametrize(
    ("entities", "line"),
    [
        ('[\n{"uid": }]', 2),
        ('{"uid": 1}', 0),
        ("[1]", 0),
        ("[" * 100_000, 0),
        ('[{"attrs": {}, "parents": []}]', 0),
        (ENTITIES.replace('"level": 3', '"level": "3"'), 0),
        (ENTITIES.replace('"level": 3', '"level": 3, "level": 4'), 0),
        (ENTITIES.replace('"parents"', '"parent": [], "parents"'), 0),
        (ENTITIES.replace("Requester", "Nobody"), 0),
        (f"[{ENTITIES[1:-1]}, {ENTITIES[1:-1].replace('3', '4')}]", 0),
    ],
)
def test_entities_with_a_fault_are_refused(entities: str, line: int) -> None:
    #
    with pytest.raises(PolicySetError) as caught:
        load(PERMIT_ALL, entities=entities)
    assert (caught.value.file, caught.value.line) == ("entities.json", line)


# What an engine's words amount to.

PERMIT = Policy("p", "permit", {})
FORBID = Policy("f", "forbid", {})


def test_one_combination_alone_is_an_allow() -> None:
    #
    decisions = ["Allow", "Deny", "NoDecision", "allow", ""]
    reasons = [(), (PERMIT,), (FORBID,), (PERMIT, FORBID), (PERMIT, PERMIT)]
    for decision, determining, errors in itertools.product(decisions, reasons, [(), ("e",)]):
        answer = conclude(decision, determining, errors)
        permitted = bool(determining) and FORBID not in determining
        assert answer.allowed == (decision == "Allow" and permitted and not errors)
        assert (answer.code is None) == answer.allowed
        assert answer.determining == determining


@pytest.mark.parametrize(
    ("decision", "determining", "errors", "code"),
    [
        ("Deny", (FORBID,), (), "POLICY_FORBID"),
        ("Deny", (FORBID,), ("e",), "POLICY_FORBID"),
        ("Deny", (), (), "POLICY_DEFAULT_DENY"),
        ("Deny", (), ("e",), "POLICY_ERROR"),
        ("Allow", (PERMIT,), ("e",), "POLICY_ERROR"),
        ("Allow", (), (), "POLICY_NO_DECISION"),
        ("Allow", (FORBID,), (), "POLICY_NO_DECISION"),
        ("NoDecision", (), ("e",), "POLICY_NO_DECISION"),
    ],
)
def test_each_denial_has_its_code(
    decision: str, determining: tuple[Policy, ...], errors: tuple[str, ...], code: str
) -> None:
    #
    assert conclude(decision, determining, errors).code == code


def test_an_answer_is_not_mistaken_for_a_yes() -> None:
    with pytest.raises(TypeError):
        bool(refuse("no query"))
    assert refuse("no query") == ("deny", "POLICY_ERROR", (), ("no query",))


def test_a_query_is_encoded_with_its_parts_by_name() -> None:
    one = query({"argv0": "ls", "count": 1})
    assert cbor.decode(one.encode()) == {
        "principal": ["Requester", "alice"],
        "action": ["Action", "run"],
        "resource": ["Executable", "/usr/bin/ls"],
        "context": {"argv0": "ls", "count": 1, "now": 1_700_000_000},
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": Entity("Requester", "alicf")},
        {"action": Entity("Action", "stop")},
        {"resource": Entity("Executable", "")},
        {"context": {"argv0": "ls", "now": 1_700_000_001}},
        {"context": {"argv0": "ls", "now": True}},
    ],
)
def test_any_change_of_a_query_shows_in_its_encoding(changed: dict[str, Any]) -> None:
    one = query({"argv0": "ls"})
    assert one._replace(**changed).encode() != one.encode()
