"""Each trap of Cedar twice: that bare Cedar falls into it, and that this build does not.

The first half of every test fails when an upgrade closes the trap: then what guards against it may go.
"""

import json
from typing import Any

import cedarpy
import pytest

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Answer, Entity, Query
from exequatur_issuer.mapping import MappingError, build_query
from exequatur_issuer.policyset import PolicySet, PolicySetError
from exequatur_verifier import action
from tests.support import world

SCHEMA = """
entity Group;
entity Requester in [Group] = { level: Long, boss?: Requester };
entity Server;
entity Admin;
action "book" appliesTo {
  principal: Requester, resource: Server,
  context: { args: { who?: Admin, name?: String, count?: Long, price?: decimal }, claims: {}, now: Long },
};
"""
PERMIT = '@id("all") permit (principal, action, resource);\n'
WHO = {"principal": 'Requester::"r"', "action": 'Action::"book"', "resource": 'Server::"s"'}


def bare(policies: str, context: dict[str, Any], **more: Any) -> cedarpy.AuthzResult:
    return cedarpy.is_authorized({**WHO, "context": context}, policies, "[]", **more)


def load(policies: str, entities: str = "[]") -> CedarEngine:
    joined = policyset.join({"test.cedar": policies.encode()})
    return CedarEngine(PolicySet(joined, SCHEMA.encode(), entities.encode()))


def ask(policies: str, arguments: dict[str, Any], entities: str = "[]") -> Answer:
    """Put arguments to the engine as they are, past the mapping."""
    context = {"args": arguments, "claims": {}, "now": 1}
    query = Query(Entity("Requester", "r"), Entity("Action", "book"), Entity("Server", "s"), context)
    return load(policies, entities).decide(query)


def mapped(arguments: dict[str, Any]) -> Query:
    descriptor = {"type": "mcp.tool", "name": "book", "resource": "s", "args": arguments}
    engine = load(PERMIT)
    return build_query(descriptor, requester="r", claims={}, now=1, rules={}, entity_types=engine.entity_types)


def test_a_forbid_that_lacks_its_attribute_does_not_apply() -> None:
    # A-04 A-18
    forbid = 'forbid (principal, action, resource) when { context.args.name == "rm" };'
    found = bare(PERMIT + forbid, {"args": {}})
    assert found.decision is cedarpy.Decision.Allow
    assert found.diagnostics.errors
    # Here such a policy does not load: it must ask first whether the attribute is there.
    with pytest.raises(PolicySetError, match="name"):
        load(PERMIT + forbid)


def test_a_value_of_another_type_slips_past_a_forbid_without_any_error() -> None:
    #
    forbid = 'forbid (principal, action, resource) when { context.args has name && context.args.name == "rm" };'
    found = bare(PERMIT + forbid, {"args": {"name": ["rm"]}})
    assert (found.decision, found.diagnostics.errors) == (cedarpy.Decision.Allow, [])
    assert ask(PERMIT + forbid, {"name": ["rm"]}).code == "POLICY_NO_DECISION"


def test_a_forbid_about_an_entity_that_is_not_there_does_not_apply() -> None:
    #
    forbid = 'forbid (principal, action, resource) when { principal has boss && principal.boss in Group::"bad" };'
    unguarded = "forbid (principal, action, resource) when { principal.level < 3 };"
    assert bare(PERMIT + unguarded, {}).decision is cedarpy.Decision.Allow
    assert ask(PERMIT + unguarded, {}).code == "POLICY_ERROR"
    # A guard asks in vain of an entity that nothing is known of; that is no error, and no answer to rely on.
    assert ask(PERMIT + forbid, {}).outcome == "allow"
    boss: list[dict[str, Any]] = [
        {"uid": {"type": "Requester", "id": "r"}, "attrs": {"level": 1, "boss": {"type": "Requester", "id": "b"}}},
        {"uid": {"type": "Requester", "id": "b"}, "attrs": {"level": 1}, "parents": [{"type": "Group", "id": "bad"}]},
        {"uid": {"type": "Group", "id": "bad"}, "attrs": {}},
    ]
    entities = json.dumps([{"parents": [], **one} for one in boss])
    assert ask(PERMIT + forbid, {}, entities).code == "POLICY_FORBID"


@pytest.mark.parametrize(
    "value",
    [
        {"__entity": {"type": "Admin", "id": "root"}},
        {"type": "Admin", "id": "root"},
        {"type": "Admin", "id": "root", "more": [1]},
    ],
)
def test_what_an_agent_says_becomes_an_entity(value: dict[str, Any]) -> None:
    # A-09 A-10
    policy = 'permit (principal, action, resource) when { context.args has who && context.args.who == Admin::"root" };'
    if "__entity" in value:
        assert bare(policy, {"args": {"who": value}}).decision is cedarpy.Decision.Allow
    assert ask(policy, {"who": value}).outcome == "allow", "the engine itself takes it for an entity"
    with pytest.raises(MappingError):
        mapped({"who": value})


@pytest.mark.parametrize(
    "escape",
    [
        {"__entity": {"type": "Admin", "id": "root"}},
        {"__extn": {"fn": "decimal", "arg": "1.0"}},
        {"__expr": 'Admin::"root"'},
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_an_escape_is_refused_at_any_depth(escape: dict[str, Any], depth: int) -> None:
    #
    value: Any = escape
    for _ in range(depth):
        value = {"list": [value]}
    with pytest.raises(MappingError, match="reserved"):
        mapped({"name": value})


@pytest.mark.parametrize(("value", "told"), [(1.5, "fraction"), (2**63, "64 signed bits"), (-(2**63) - 1, "64")])
def test_a_number_that_cedar_does_not_hold_is_no_request(value: float, told: str) -> None:
    #
    assert bare(PERMIT, {"args": {"count": value}}).decision is cedarpy.Decision.NoDecision
    assert ask(PERMIT, {"count": value}).code == "POLICY_NO_DECISION"
    with pytest.raises(MappingError, match=told):
        mapped({"count": value})


def test_null_is_absence_here_and_no_request_to_cedar() -> None:
    #
    assert bare(PERMIT, {"args": {"name": None}}).decision is cedarpy.Decision.NoDecision
    assert mapped({"name": None}).context["args"] == {}


def test_the_digest_is_over_what_was_said_and_not_over_what_cedar_is_told() -> None:
    #
    salt = bytes(16)

    def committed(arguments: dict[str, Any]) -> bytes:
        descriptor = {"type": "mcp.tool", "name": "book", "resource": "s", "args": arguments}
        return action.commitment(action.ACTION_TAG, salt, action.encode(descriptor))

    assert mapped({"name": None}) == mapped({})
    assert committed({"name": None}) != committed({})


def test_text_with_two_spellings_is_refused() -> None:
    #
    forbid = 'forbid (principal, action, resource) when { context.args has name && context.args.name == "é" };'
    assert bare(PERMIT + forbid, {"args": {"name": "e\u0301"}}).decision is cedarpy.Decision.Allow
    with pytest.raises(MappingError, match="normalization form"):
        mapped({"name": "e\u0301"})


def test_policies_that_do_not_parse_are_an_answer_and_no_error() -> None:
    #
    assert bare("permit (principal", {}).decision is cedarpy.Decision.NoDecision
    with pytest.raises(PolicySetError):
        load("permit (principal")


def test_a_template_permits_nothing_and_says_nothing() -> None:
    #
    template = "permit (principal == ?principal, action, resource);"
    found = bare(template, {})
    assert (found.decision, found.diagnostics.errors) == (cedarpy.Decision.Deny, [])
    with pytest.raises(PolicySetError, match="templates"):
        load(template)


def test_a_forbid_that_can_never_apply_passes_validation_in_silence() -> None:
    #
    forbid = "forbid (principal, action, resource) when { principal is Admin };"
    result = cedarpy.validate_policies(PERMIT + forbid, SCHEMA)
    assert (result.validation_passed, result.errors) == (True, [])
    with pytest.raises(PolicySetError, match="can never apply"):
        load(PERMIT + forbid)


def test_reasons_are_positions_and_not_ids() -> None:
    policies = PERMIT + PERMIT.replace('"all"', '"too"')
    assert set(bare(policies, {}).diagnostics.reasons) == {"policy0", "policy1"}
    assert ask(policies, {}).policy_ids == ("all", "too")


def test_two_policies_may_have_one_id() -> None:
    #
    assert bare(PERMIT + PERMIT, {}).decision is cedarpy.Decision.Allow
    with pytest.raises(PolicySetError, match="taken"):
        load(PERMIT + PERMIT)


def test_a_comment_ends_where_an_editor_shows_none() -> None:
    #
    hidden = "// nothing here\rpermit (principal, action, resource);\n"
    assert bare(hidden, {}).decision is cedarpy.Decision.Allow
    with pytest.raises(PolicySetError, match=r"U\+000D"):
        load(hidden)


def test_a_key_that_stands_twice_takes_its_last_value() -> None:
    #
    entities = '[{"uid": {"type": "Requester", "id": "r"}, "attrs": {"level": 9, "level": 1}, "parents": []}]'
    assert json.loads(entities)[0]["attrs"]["level"] == 1
    with pytest.raises(PolicySetError, match="repeated"):
        load(PERMIT, entities)
    with pytest.raises(Exception, match="twice"):
        action.parse_json_arguments('{"count": 1, "count": 2}')


def test_arithmetic_that_overflows_takes_a_forbid_with_it() -> None:
    #
    forbid = "forbid (principal, action, resource) when { context.now + 9223372036854775807 > 0 };"
    assert bare(PERMIT + forbid, {"now": 1}).decision is cedarpy.Decision.Allow
    assert ask(PERMIT + forbid, {}).code == "POLICY_ERROR"


def test_nesting_without_end_is_refused_before_the_engine() -> None:
    #
    value: Any = "x"
    for _ in range(200):
        value = [value]
    with pytest.raises(MappingError, match="deeper"):
        mapped({"name": value})


def test_time_is_told_and_not_read() -> None:
    #
    assert world.NOW != 1
    assert ask("permit (principal, action, resource) when { context.now == 1 };", {}).outcome == "allow"
