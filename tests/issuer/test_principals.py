"""Requests for a user: two principals, both allowed or neither, in a decision that can be computed again."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import policyset, principals, replay
from exequatur_issuer.authorize import Issued
from exequatur_issuer.decide import decide
from exequatur_issuer.mapping import MappingError
from exequatur_issuer.policyset import PolicySet
from exequatur_verifier import action, statement
from exequatur_verifier.records import Decision
from tests.issuer.house import NOW, House
from tests.issuer.ledger import MemoryLog

SCHEMA = b"""
entity Requester; entity User; entity Server;
type Claims = { user?: String };
action "read", "write" appliesTo {
  principal: [Requester, User], resource: Server, context: { args: { n?: Long }, claims: Claims, now: Long },
};
"""
RULES = b"""
@id("agent") @ttl("2m") @uses("3") permit (principal is Requester, action == Action::"read", resource);
@id("alice") @ttl("5m") @uses("2") permit (principal == User::"alice", action, resource);
@id("never") forbid (principal is User, action, resource) when { context.args has n && context.args.n > 9 };
@id("nor") forbid (principal is Requester, action, resource) when { context.args has n && context.args.n > 99 };
"""
SET = PolicySet(policyset.join({"rules.cedar": RULES}), SCHEMA)


def call(name: str = "read", **arguments: Any) -> dict[str, Any]:
    return {"type": "mcp.tool", "name": name, "resource": "files", "args": arguments}


@pytest.fixture
def both(tmp_path: Path) -> House:
    return House(tmp_path, MemoryLog(), SET)


def decided(house: House, descriptor: dict[str, Any], user: Any) -> Decision:
    asked = house.asked(descriptor, {}, claims={} if user is None else {"user": user})
    request = statement.parse(asked.request)
    return decide(request, asked.salt, asked.descriptor, house.policy, NOW).record


CASES: list[tuple[str, dict[str, Any], Any, str | None, tuple[str, ...]]] = [
    ("both are allowed", call(), "alice", None, ("agent", "alice")),
    ("nobody is named", call(), None, None, ("agent",)),
    ("the user is not", call(), "bob", "POLICY_DEFAULT_DENY", ()),
    ("the agent is not", call("write"), "alice", "POLICY_DEFAULT_DENY", ()),
    ("the user is forbidden", call(n=10), "alice", "POLICY_FORBID", ("never",)),
    ("a forbid is the stronger word", call("write", n=10), "alice", "POLICY_FORBID", ("never",)),
    ("both are forbidden", call(n=100), "alice", "POLICY_FORBID", ("never", "nor")),
    ("the agent alone is forbidden", call(n=100), None, "POLICY_FORBID", ("nor",)),
    ("no name", call(), "", "POLICY_ERROR", ()),
    ("another type", call(), 7, "POLICY_ERROR", ()),
    ("an entity", call(), {"__entity": {"type": "User", "id": "alice"}}, "POLICY_ERROR", ()),
]


@pytest.mark.parametrize(("what", "descriptor", "user", "code", "reasons"), CASES, ids=[case[0] for case in CASES])
def test_a_request_for_a_user_is_allowed_if_both_are(
    both: House, what: str, descriptor: dict[str, Any], user: Any, code: str | None, reasons: tuple[str, ...]
) -> None:
    """H-14"""
    record = decided(both, descriptor, user)
    assert (record.code, record.reasons) == (code, reasons), what
    assert record.outcome == ("allow" if code is None else "deny")


def test_the_obligations_of_both_hold(both: House) -> None:
    """H-14"""
    asked = both.asked(call(), {}, claims={"user": "alice"})
    answer = both.answer(asked)
    assert isinstance(answer, Issued)
    assert (answer.expires - NOW, answer.uses) == (120, 2)


def test_a_schema_without_users_denies_them(house: House) -> None:
    """H-14"""
    refused = house.refuse(house.asked(claims={"user": "alice"}))
    assert refused.code == "POLICY_NO_DECISION"


def test_the_query_is_committed_to_for_both(both: House) -> None:
    """H-14"""
    asked = both.asked(call(), {}, claims={"user": "alice"})
    request = statement.parse(asked.request)
    record = decide(request, asked.salt, asked.descriptor, both.policy, NOW).record
    plain = decided(both, call(), None)
    assert record.query is not None
    assert record.query != plain.query
    assert len(record.query) == len(action.commitment(action.QUERY_TAG, asked.salt, b""))


def test_decisions_for_users_are_replayed(both: House) -> None:
    """H-14"""
    for user in ("alice", "bob"):
        both.answer(both.asked(call(), {}, claims={"user": user}))
    cases = list(replay.collect(both.log.statements(), both.find))
    assert [item.result for item in replay.replay(cases, both.folder / "content")] == ["equal", "equal"]


def test_a_user_is_a_name() -> None:
    assert principals.user_of({}) is principals.user_of({"user": None}) is None
    assert principals.user_of({"user": "a"}) == "a"
    for wrong in ("", 7, b"a", ["a"]):
        with pytest.raises(MappingError):
            principals.user_of({"user": wrong})
