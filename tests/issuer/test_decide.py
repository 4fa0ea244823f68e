"""Deciding: every outcome with its code, nothing of the request in the record, and the same bytes every time."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.decide import Decided, decide, explain
from exequatur_issuer.mapping import build_query
from exequatur_issuer.publish import load
from exequatur_verifier import action, cbor, schema, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Kind, Link
from tests.issuer.house import NOW, House, with_rules
from tests.issuer.ledger import REQUESTER, MemoryLog
from tests.support import world

PERMIT = '@id("all") @doc("All.") permit (principal, action, resource);\n'
SHRED = {**world.COMMAND, "name": b"/usr/bin/shred"}
# A secret argument, which no engine's word may carry into a record.
SECRET = {**world.COMMAND, "args": [b"git", b"--token=hunter2"]}


@pytest.fixture(scope="module")
def standing_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"), MemoryLog())


def decided(house: House, descriptor: dict[str, Any] = world.COMMAND, now: int = NOW, **more: Any) -> Decided:
    asked = house.asked(descriptor, **more)
    return decide(statement.parse(asked.request), asked.salt, asked.descriptor, house.policy, now)


def under(tmp_path: Path, rules: str, **more: Any) -> House:
    return House(tmp_path, MemoryLog(), with_rules(rules), **more)


def test_an_allow_names_its_policies_and_all_that_replay_needs(house: House) -> None:
    asked = house.asked()
    request = statement.parse(asked.request)
    found = decide(request, asked.salt, asked.descriptor, house.policy, NOW)
    query = build_query(
        world.COMMAND,
        requester=REQUESTER,
        claims={},
        now=NOW,
        rules=house.policy.rules,
        entity_types=house.policy.engine.entity_types,
    )
    record = found.record
    assert (record.outcome, record.code) == ("allow", None)
    assert record.reasons == ("permit-every-command",)
    assert record.links == (Link("request", request.id), Link("policy", house.policy.statement.id))
    assert record.engine == (house.policy.engine.name, house.policy.engine.version)
    assert record.now == NOW
    assert record.query == action.commitment(action.QUERY_TAG, asked.salt, query.encode())
    assert found.obligations is not None
    assert (found.obligations.ttl, found.obligations.uses) == (300, 1)


def test_the_same_inputs_give_the_same_record_and_another_time_another(house: House) -> None:
    #
    asked = house.asked()
    request = statement.parse(asked.request)
    encoded = [
        schema.encode(decide(request, asked.salt, asked.descriptor, policy, now).record)
        for policy, now in [
            (house.policy, NOW),
            (load(house.policy.statement, house.content), NOW),
            (house.policy, NOW + 1),
        ]
    ]
    assert encoded[0] == encoded[1] != encoded[2]


def test_a_forbid_is_explained_by_its_own_words(house: House) -> None:
    found = decided(house, SHRED)
    assert (found.record.outcome, found.record.code) == ("deny", "POLICY_FORBID")
    assert found.record.reasons == ("forbid-shred",)
    assert found.obligations is None
    assert explain(found.answer) == (
        "forbid forbid-shred: What shred overwrites cannot be brought back, so it is never run from here.",
    )


def test_what_no_policy_permits_is_denied(tmp_path: Path) -> None:
    house = under(tmp_path, 'permit (principal, action, resource == Executable::"/usr/bin/ls");')
    found = decided(house)
    assert (found.record.outcome, found.record.code) == ("deny", "POLICY_DEFAULT_DENY")
    assert found.record.reasons == ()
    assert explain(found.answer) == ("No policy permits this.",)


def test_an_error_of_a_policy_denies_although_another_permits(tmp_path: Path) -> None:
    #
    overflow = "forbid (principal, action, resource) when { context.uid + 9223372036854775807 > 0 && false };"
    house = under(tmp_path, PERMIT + overflow.replace(" && false", " && context.uid < 0"))
    assert decided(house, {**world.COMMAND, "uid": 0}).record.outcome == "allow"
    found = decided(house, {**world.COMMAND, "uid": 1})
    assert (found.record.outcome, found.record.code) == ("deny", "POLICY_ERROR")
    assert found.record.errors == ()
    assert "overflow" in explain(found.answer)[-1]


def test_a_question_outside_the_schema_is_no_decision(house: House) -> None:
    found = decided(house, claims={"confirmed": "yes"})
    assert (found.record.outcome, found.record.code) == ("deny", "POLICY_NO_DECISION")
    assert found.record.query is not None
    assert decided(house, claims={"confirmed": True}).record.outcome == "allow"


def test_an_action_that_cannot_be_mapped_has_no_query(house: House) -> None:
    found = decided(house, {**world.COMMAND, "args": [b"git", b"\xff"]})
    assert (found.record.outcome, found.record.code) == ("deny", "POLICY_ERROR")
    assert found.record.query is None
    assert explain(found.answer) == ("args is not UTF-8",)


def test_the_engines_words_stay_out_of_the_record_unless_the_request_is_disclosed(house: House) -> None:
    #
    wrong: dict[str, Any] = {"claims": {"confirmed": "yes"}}
    hidden, open_ = decided(house, SECRET, **wrong), decided(house, SECRET, disclosure="full", **wrong)
    assert any("hunter2" in text for text in hidden.answer.errors)
    assert hidden.record.errors == ()
    assert b"hunter2" not in schema.encode(hidden.record)
    assert any("hunter2" in text for text in open_.record.errors)


def test_disclosed_words_are_text_of_the_profile_whatever_they_quote(house: House) -> None:
    found = decided(
        house, {**world.COMMAND, "cwd": "/tmp/é\n".encode() * 900}, disclosure="full", claims={"confirmed": "yes"}
    )
    assert len(found.record.errors[0]) == 1000
    assert cbor.decode(schema.encode(found.record))


def test_obligations_that_ask_for_approvals_make_it_wait(tmp_path: Path) -> None:
    house = under(tmp_path, '@id("two") @require_approval("2") ' + "permit (principal, action, resource);")
    found = decided(house)
    assert (found.record.outcome, found.record.code, found.record.reasons) == ("needs-approval", None, ("two",))
    assert found.obligations is not None
    assert found.obligations.approvals == 2


def test_approvals_that_the_policy_record_demands_make_it_wait_too(tmp_path: Path) -> None:
    house = House(tmp_path, MemoryLog(), approvals=1)
    found = decided(house)
    assert found.record.outcome == "needs-approval"
    assert found.obligations is not None
    assert found.obligations.approvals == 1
    assert decided(house, SHRED).record.outcome == "deny"


def test_an_obligation_that_cannot_be_obeyed_denies(house: House) -> None:
    #
    # A published set has none; this one was put together by hand.
    policy_set = with_rules('@ttl("soon") permit (principal, action, resource);')
    asked = house.asked()
    unruly = house.policy._replace(engine=CedarEngine(policy_set))
    found = decide(statement.parse(asked.request), asked.salt, asked.descriptor, unruly, NOW)
    assert (found.record.outcome, found.record.code, found.obligations) == ("deny", "POLICY_ERROR", None)
    assert "ttl" in explain(found.answer)[0]


BYTES = st.binary(max_size=12).map(lambda content: content.replace(b"\x00", b""))
COMMANDS = st.fixed_dictionaries(
    {
        "type": st.just("process.exec"),
        "name": BYTES | st.just(b"/usr/bin/git"),
        "args": st.lists(BYTES, min_size=1, max_size=3),
        "cwd": BYTES | st.just(b"/"),
        "env": st.dictionaries(BYTES, BYTES, max_size=2),
        "uid": st.integers(0, 2**63 - 1),
    }
)
CLAIMS = st.dictionaries(
    st.sampled_from(["confirmed", "x"]), st.booleans() | st.text(max_size=3) | st.integers(0, 9), max_size=2
)


@given(descriptor=COMMANDS, claims=CLAIMS, disclosed=st.booleans(), now=st.integers(0, 2**63 - 1))
def test_every_request_that_can_be_made_gets_a_decision_that_can_be_logged_and_repeated(
    standing_house: House, descriptor: dict[str, Any], claims: dict[str, Any], disclosed: bool, now: int
) -> None:
    try:
        asked = standing_house.asked(descriptor, claims=claims, disclosure="full" if disclosed else "commitment")
    except ValueError:
        # Claims outside the profile, such as text in two spellings, are never signed.
        reject()
    request = statement.parse(asked.request)
    found = decide(request, asked.salt, asked.descriptor, standing_house.policy, now)
    assert schema.decode(Kind.DECISION, schema.encode(found.record)) == found.record
    assert decide(request, asked.salt, asked.descriptor, standing_house.policy, now).record == found.record


def test_query_digests_of_one_action_differ_by_salt(house: House) -> None:
    #
    first, second = decided(house), decided(house)
    assert first.record.query != second.record.query


def test_only_requests_are_decided(house: House) -> None:
    with pytest.raises(AssertionError):
        decide(house.policy.statement, bytes(16), world.COMMAND, house.policy, NOW)
    with pytest.raises(MalformedError, match="no policy set"):
        load(statement.parse(house.asked().request), house.content)
