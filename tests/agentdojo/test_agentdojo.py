"""AgentDojo under one policy for each suite: what comes out is what specs/agentdojo.md says."""

import pytest

from exequatur_issuer import policyset
from exequatur_verifier import action
from tests.agentdojo import table
from tests.agentdojo.suites import POLICIES, SUITES, Call, Desk, Suite, claims, imported, suites
from tests.data import ROOT
from tests.support import tables

pytestmark = [
    # Most of it is the oracle's own start.
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not (ROOT / ".venv-oracles" / "agentdojo" / ".ready").exists(), reason="make agentdojo makes its environment"
    ),
]


def test_tables_come_out_as_they_are_published() -> None:
    found = [table.judge(suite) for suite in suites().values()]
    assert tables.differences(table.PAGE, table.make(found)) == []
    # Every denial and every miss has its sentence, and no sentence is about nothing.
    number = table.number
    denied = {(one.suite.name, number(task)) for one in found for task, calls in one.denied.items() if calls}
    missed = {(one.suite.name, number(name)) for one in found for name, tasks in one.passing.items() if tasks}
    assert (set(table.DENIED), set(table.MISSED)) == (denied, missed)


def test_schemas_are_made_of_the_tools_of_the_suites() -> None:
    for name, suite in suites().items():
        made, policy_set = imported(suite), policyset.read(POLICIES / name)
        assert (policy_set.schema, policy_set.mapping) == (made.schema, made.mapping), name


def test_what_is_told_of_a_task_decides() -> None:
    # Without it nothing but looking is left.
    for suite in suites().values():
        blind = Desk(suite._replace(prompts=dict.fromkeys(suite.prompts, "")))
        calls = [call for calls in suite.tasks.values() for call in calls]
        allowed = {call.tool for call in calls if blind.ask(call, "user_task_0").allowed}
        assert all(tool.startswith(("get_", "search_", "list_", "read_", "check_")) for tool in allowed), suite.name


def test_whatever_is_judged_can_be_signed_as_it_came() -> None:
    for suite in suites().values():
        desk = Desk(suite)
        for calls in (*suite.tasks.values(), *suite.injections.values()):
            for call in calls:
                descriptor = desk.descriptor(call)
                assert action.decode(action.encode(descriptor)) == descriptor


@pytest.mark.parametrize("name", SUITES)
def test_policies_carry_a_sentence_each(name: str) -> None:
    suite = Suite(name, [], (), {}, {}, {})
    assert all(policy.annotations["doc"].endswith(".") for policy in Desk(suite).engine.policies)


def test_names_are_taken_from_a_task() -> None:
    prompt = "It's for Dora's 'big day': pay GB29NWBK60161331926819, mail x.y@z-w.co.uk or see www.a-b.com/c.They wait."
    told = claims(prompt, ("known",))
    assert told["task"] == prompt.lower()
    assert told["named"] == sorted(
        ["Dora", "GB29NWBK60161331926819", "It", "They", "big day", "www.a-b.com/c", "x.y@z-w.co.uk"]
    )
    assert told["trusted"] == sorted([*told["named"], "known"])


@pytest.mark.parametrize(
    ("recipient", "task", "allowed"),
    [
        ("GB29NWBK60161331926819", "Please refund GB29NWBK60161331926819", True),
        ("SE3550000000054910000003", "Please refund GB29NWBK60161331926819", True),
        ("GB29NWBK60161331926818", "Please refund GB29NWBK60161331926819", False),
        ("GB29NWBK60161331926819", "What came from GB29NWBK60161331926819?", False),
    ],
)
def test_money_goes_to_who_is_named_or_known_when_it_is_asked_for(recipient: str, task: str, allowed: bool) -> None:
    suite = Suite("banking", [], ("SE3550000000054910000003",), {"t": task}, {}, {})
    call = Call("send_money", {"recipient": recipient, "amount": 1.5, "subject": "x", "date": "2022-01-01"})
    assert Desk(suite).ask(call, "t").allowed == allowed
