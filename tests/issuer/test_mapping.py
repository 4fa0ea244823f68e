"""From what an agent said to what a policy engine is asked: without loss, or not at all."""

from collections.abc import Mapping
from typing import Any

import pytest

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Entity, Query
from exequatur_issuer.mapping import RESERVED, MappingError, build_query, refuse_reserved
from exequatur_issuer.policyset import PolicySet
from exequatur_issuer.rules import Rules, parse_rules

ALICE = "urn:example:alice"
SERVER = "urn:example:files"
NOW = 1_700_000_000
TYPES = frozenset({"Requester", "Server", "Admin"})
RULES = parse_rules(
    b"""
    [actions.pay]
    decimal = ["amount", "items.price"]
    counts = [{ of = "items" }, { of = "items", field = "id", prefix = "gift_", count = "gifts" }]
    [actions."process.exec"]
    counts = [{ of = "args" }]
    """
)


def ask(
    descriptor: Mapping[str, Any],
    claims: Mapping[str, Any] | None = None,
    rules: Rules = RULES,
    requester: str = ALICE,
    now: int = NOW,
) -> Query:
    return build_query(descriptor, requester=requester, claims=claims or {}, now=now, rules=rules, entity_types=TYPES)


def call(arguments: Mapping[Any, Any], name: str = "pay") -> dict[str, Any]:
    return {"type": "mcp.tool", "name": name, "resource": SERVER, "args": arguments}


def mapped(arguments: Mapping[Any, Any], name: str = "pay") -> Any:
    return ask(call(arguments, name)).context["args"]


def process(**changed: Any) -> dict[str, Any]:
    return {
        "type": "process.exec",
        "name": b"/usr/bin/git",
        "args": [b"git", b"commit", b"-m", b"two words"],
        "cwd": b"/home/x",
        "env": {b"PATH": b"/usr/bin:/bin", b"LANG": b"C"},
        "uid": 1000,
        **changed,
    }


# Kinds of action.


def test_a_process_becomes_a_query_about_its_executable() -> None:
    assert ask(process(), {"ci": True}) == Query(
        Entity("Requester", ALICE),
        Entity("Action", "process.exec"),
        Entity("Executable", "/usr/bin/git"),
        {
            "program": "git",
            "command": "git commit -m 'two words'",
            "args": ["git", "commit", "-m", "two words"],
            "args_count": 4,
            "cwd": "/home/x",
            "env": ["LANG", "PATH"],
            "uid": 1000,
            "claims": {"ci": True},
            "now": NOW,
        },
    )


def test_a_tool_call_becomes_a_query_about_its_server() -> None:
    assert ask(call({"path": "/x"}, "read_file")) == Query(
        Entity("Requester", ALICE),
        Entity("Action", "read_file"),
        Entity("Server", SERVER),
        {"args": {"path": "/x"}, "claims": {}, "now": NOW},
    )


def test_other_kinds_of_action_are_refused() -> None:
    with pytest.raises(MappingError, match=r"http\.request"):
        ask({**call({}), "type": "http.request"})


def test_the_command_keeps_apart_what_is_quoted_from_what_is_not() -> None:
    one = ask(process(args=[b"git", b"push", b"--force"])).context["command"]
    other = ask(process(args=[b"git", b"push --force"])).context["command"]
    assert (one, other) == ("git push --force", "git 'push --force'")


@pytest.mark.parametrize(
    "changed",
    [
        {"name": b"/usr/bin/\xff"},
        {"args": [b"git", b"\xc3"]},
        {"cwd": b"/home/\xed\xa0\x80"},
        {"env": {b"A\xff": b""}},
        {"uid": 2**63},
        {"cwd": "/home/cafe\u0301".encode()},
    ],
)
def test_a_process_that_text_cannot_say_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MappingError):
        ask(process(**changed))


def test_values_of_the_environment_are_not_judged_and_need_not_be_text() -> None:
    assert ask(process(env={b"A": b"\xff"})).context["env"] == ["A"]


PROCESS_SCHEMA = b"""
entity Requester;
entity Executable;
action "process.exec" appliesTo {
  principal: Requester,
  resource: Executable,
  context: {
    program: String, command: String, args: Set<String>, cwd: String, env: Set<String>, uid: Long,
    claims: {}, now: Long,
  },
};
"""
PROCESS_POLICIES = b"""
@id("own") @uses("1") @ttl("5m")
permit (principal == Requester::"urn:example:alice", action == Action::"process.exec", resource);
@id("no-shred")
forbid (principal, action == Action::"process.exec", resource == Executable::"/usr/bin/shred");
@id("no-force")
forbid (principal, action == Action::"process.exec", resource)
when { context.program == "git" && context.command like "git push*" && context.args.contains("--force") };
"""


@pytest.mark.parametrize(
    ("changed", "requester", "code"),
    [
        ({}, ALICE, None),
        ({"args": [b"git", b"push"]}, ALICE, None),
        ({}, "urn:example:bob", "POLICY_DEFAULT_DENY"),
        ({"name": b"/usr/bin/shred"}, ALICE, "POLICY_FORBID"),
        ({"args": [b"git", b"push", b"--force"]}, ALICE, "POLICY_FORBID"),
    ],
)
def test_a_policy_for_processes_reads_as_one_would_write_it(
    changed: dict[str, Any], requester: str, code: str | None
) -> None:
    engine = CedarEngine(PolicySet(policyset.join({"home.cedar": PROCESS_POLICIES}), PROCESS_SCHEMA))
    assert engine.decide(ask(process(**changed), rules={}, requester=requester)).code == code


# Values.


def test_plain_values_stay_what_they_are() -> None:
    #
    arguments = {"b": True, "n": -(2**63), "m": 2**63 - 1, "t": "é", "l": [1, [2]], "r": {"x": {}}}
    assert mapped(arguments) == arguments


def test_true_is_not_one() -> None:
    assert mapped({"a": True, "b": 1}) == {"a": True, "b": 1}
    assert [type(value) for value in mapped({"a": True, "b": 1}).values()] == [bool, int]


def test_null_is_absence() -> None:
    assert mapped({"a": None, "b": {"c": None}}) == {"b": {}}


@pytest.mark.parametrize(
    "value",
    [
        [None],
        2**63,
        -(2**63) - 1,
        1.5,
        1.0,
        float("nan"),
        "cafe\u0301",
        "\ud800",
        {"cafe\u0301": 1},
        {1: 2},
        {1, 2},
        b"\xff",
    ],
    ids=repr,
)
def test_a_value_that_cedar_cannot_hold_is_refused_at_any_depth(value: object) -> None:
    #
    assert mapped({"x": [{"y": 1}]}) == {"x": [{"y": 1}]}
    for arguments in ({"x": value}, {"x": [{"y": value}]}):
        with pytest.raises(MappingError, match="x"):
            mapped(arguments)


def test_bytes_are_text_if_they_are_text() -> None:
    assert mapped({"x": "é".encode()}) == {"x": "é"}
    assert mapped({b"x": 1}) == {"x": 1}


@pytest.mark.parametrize("arguments", [{"x": 1, b"x": 2}, {b"x": 2, "x": None}])
def test_a_key_that_stands_there_as_bytes_and_as_text_is_refused(arguments: dict[Any, object]) -> None:
    #
    with pytest.raises(MappingError, match="twice"):
        mapped(arguments)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5.0000"),
        (5.0, "5.0000"),
        (-0.0, "0.0000"),
        (1.1, "1.1000"),
        (-12.3456, "-12.3456"),
        (0.0001, "0.0001"),
        (1e3, "1000.0000"),
        (922337203685477, "922337203685477.0000"),
    ],
)
def test_a_declared_decimal_is_exact(value: float, text: str) -> None:
    #
    assert mapped({"amount": value}) == {"amount": {"__extn": {"fn": "decimal", "arg": text}}}


@pytest.mark.parametrize(
    "value", [0.00001, 1.23456, 1e300, 922337203685478, 5e-324, float("inf"), "5.0", True, [1.23456]]
)
def test_a_declared_decimal_that_is_not_exact_is_refused(value: object) -> None:
    #
    with pytest.raises(MappingError, match="amount"):
        mapped({"amount": value})


def test_decimals_are_declared_through_lists_and_records() -> None:
    assert mapped({"items": [{"id": "a", "price": 1.5}]})["items"][0]["price"]["__extn"]["arg"] == "1.5000"
    with pytest.raises(MappingError, match=r"items\.weight"):
        mapped({"items": [{"id": "a", "weight": 1.5}]})


def test_declarations_are_of_one_action() -> None:
    with pytest.raises(MappingError):
        mapped({"amount": 1.5}, "refund")
    assert "items_count" not in mapped({"items": []}, "refund")


def test_nesting_is_bounded() -> None:
    #
    def nested(levels: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(levels):
            value = {"x": value}
        return value

    # Of these two, one has declared types.
    for name in ("pay", "refund"):
        ask(call(nested(11), name)).encode()
        for levels in (12, 100_000):
            with pytest.raises(MappingError, match="nested deeper"):
                ask(call(nested(levels), name))


# Counts.


def test_counts_are_of_what_was_said_and_not_of_a_set() -> None:
    #
    items = [{"id": "gift_1"}, {"id": "gift_1"}, {"id": "card_1"}]
    assert mapped({"items": items}) == {"items": items, "items_count": 3, "gifts": 2}


def test_what_is_absent_has_no_count() -> None:
    assert mapped({"items": None}) == {}
    assert mapped({"items": []}) == {"items": [], "items_count": 0, "gifts": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        {"items": "many"},
        {"items": {"id": "gift_1"}},
        {"items": ["gift_1"]},
        {"items": [{"id": 1}]},
        {"items": [{}]},
        {"items": [], "items_count": 0},
        {"gifts": None},
    ],
)
def test_a_count_that_cannot_be_trusted_is_refused(arguments: dict[str, Any]) -> None:
    #
    with pytest.raises(MappingError):
        mapped(arguments)


# Injection.


@pytest.mark.parametrize("key", sorted(RESERVED))
@pytest.mark.parametrize(
    "wrap",
    [lambda v: v, lambda v: {"a": v}, lambda v: {"a": [v]}, lambda v: {"a": [[{"b": v}]]}],
    ids=["top", "record", "list", "deep"],
)
def test_reserved_keys_are_refused_at_any_depth(key: str, wrap: Any) -> None:
    #
    harmless, hostile = wrap({"entity": 1}), wrap({key: {"type": "Admin", "id": "root"}})
    refuse_reserved(harmless)
    ask(call(harmless))
    with pytest.raises(MappingError, match=key):
        refuse_reserved(hostile)
    with pytest.raises(MappingError, match=key):
        ask(call(hostile))
    with pytest.raises(MappingError, match=key):
        ask(call({}), claims=hostile)


def test_a_reserved_word_is_harmless_as_a_value() -> None:
    #
    assert mapped({"a": ["__entity"]}) == {"a": ["__entity"]}


@pytest.mark.parametrize("name", ["Admin", "Deep::Admin"])
def test_a_record_that_would_pass_for_an_entity_is_refused(name: str) -> None:
    #
    claimed = {"type": name, "id": "root"}
    for hostile in (claimed, {**claimed, "more": 1}):
        for arguments in (hostile, {"who": hostile}, {"who": [{"x": hostile}]}):
            with pytest.raises(MappingError, match="pass for an entity"):
                ask(call(arguments))
    with pytest.raises(MappingError, match="pass for an entity"):
        ask(call({}), claims={"who": claimed})


@pytest.mark.parametrize("harmless", [{"type": "file", "id": "x"}, {"type": "Admin"}, {"type": 1, "id": "x"}])
def test_records_with_a_type_of_their_own_are_taken(harmless: dict[str, Any]) -> None:
    #
    assert mapped({"who": harmless}) == {"who": harmless}


def test_no_spelling_of_an_entity_gets_past_mapping_and_engine() -> None:
    # A-09 A-10
    schema = b"""
    entity Requester, Server, Admin;
    type Args = { who?: Admin, whos?: Set<Admin>, name?: String };
    action "pay" appliesTo {
      principal: Requester, resource: Server, context: { args: Args, claims: {}, now: Long },
    };
    """
    policies = b"""
    permit (principal, action, resource) when { context.args has name };
    permit (principal, action, resource) when { context.args has who && context.args.who == Admin::"root" };
    permit (principal, action, resource)
    when { context.args has whos && context.args.whos.contains(Admin::"root") };
    """
    engine = CedarEngine(PolicySet(policyset.join({"a.cedar": policies}), schema))

    def outcome(arguments: dict[str, Any]) -> str:
        try:
            query = build_query(
                call(arguments),
                requester=ALICE,
                claims={},
                now=NOW,
                rules={},
                entity_types=engine.entity_types,
            )
        except MappingError:
            return "refused"
        return engine.decide(query).outcome

    assert outcome({"name": "root"}) == "allow"
    uid = {"type": "Admin", "id": "root"}
    spellings = (
        {"__entity": uid},
        uid,
        {**uid, "x": 1},
        'Admin::"root"',
        {"__expr": 'Admin::"root"'},
        [uid],
        "root",
    )
    for spelling in spellings:
        assert outcome({"who": spelling}) != "allow"
        assert outcome({"whos": [spelling]}) != "allow"


# Time and names.


@pytest.mark.parametrize("now", [2**63, -(2**63) - 1, 1.5, True])
def test_time_is_whole_seconds(now: Any) -> None:
    with pytest.raises(MappingError, match="now"):
        ask(call({}), now=now)


def test_a_requester_is_text_that_has_one_spelling() -> None:
    with pytest.raises(MappingError, match="requester"):
        ask(call({}), requester="cafe\u0301")
