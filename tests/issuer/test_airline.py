"""577 calls of a real model against the airline's policy: mapping and engine, confirmed and not."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from exequatur_issuer import mapping, obligations, policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Answer
from exequatur_issuer.rules import parse_rules
from exequatur_verifier.action import parse_json_arguments
from tests.airline import table
from tests.airline.corpus import CHANGES, DESK, POLICY, Call, calls
from tests.data import requires_data
from tests.support import tables

NOW = 1_715_803_200  # 2024-05-15 15:00 EST, the day on which the prose is set.
CONFIRMED = {"confirmed": True}

# What the recording holds, and how much of it the policy allows once the traveller has confirmed.
TABLE = {
    "book_reservation": (30, 24),
    "calculate": (38, 38),
    "cancel_reservation": (36, 36),
    "get_reservation_details": (198, 198),
    "get_user_details": (61, 61),
    "list_all_airports": (1, 1),
    "search_direct_flight": (74, 74),
    "search_onestop_flight": (12, 12),
    "send_certificate": (5, 5),
    "think": (41, 41),
    "transfer_to_human_agents": (29, 29),
    "update_reservation_baggages": (8, 8),
    "update_reservation_flights": (44, 43),
}
# The sentence that explains each denial, by the tool and with the number of calls.
EXPLAINED = {
    ("book_reservation", "A reservation uses at most one travel certificate."): 6,
    (
        "update_reservation_flights",
        "Changed flights are paid or refunded by one gift card or credit card.",
    ): 1,
}

BOOKING: dict[str, Any] = {
    "user_id": "mia_li_3668",
    "origin": "JFK",
    "destination": "SEA",
    "flight_type": "one_way",
    "cabin": "economy",
    "flights": [{"flight_number": "HAT136", "date": "2024-05-20"}],
    "passengers": [{"first_name": "Mia", "last_name": "Li", "dob": "1990-04-05"}],
    "payment_methods": [{"payment_id": "credit_card_4421486", "amount": 255}],
    "total_baggages": 3,
    "nonfree_baggages": 1,
    "insurance": "no",
}


def passengers(number: int) -> list[dict[str, str]]:
    return [{"first_name": f"P{n}", "last_name": "Li", "dob": "1990-04-05"} for n in range(number)]


def payments(*kinds: str) -> list[dict[str, Any]]:
    return [{"payment_id": f"{kind}_{n}", "amount": 10.5} for n, kind in enumerate(kinds)]


class Desk:
    """The loaded policy, asked as the authority will ask it."""

    def __init__(self) -> None:
        policy_set = policyset.read(POLICY)
        self.engine = CedarEngine(policy_set)
        self.rules = parse_rules(policy_set.mapping)

    def ask(self, tool: str, arguments: dict[str, Any], claims: dict[str, Any], server: str = DESK) -> Answer:
        descriptor = {"type": "mcp.tool", "name": tool, "resource": server, "args": arguments}
        query = mapping.build_query(
            descriptor,
            requester="urn:example:agent",
            claims=claims,
            now=NOW,
            rules=self.rules,
            entity_types=self.engine.entity_types,
        )
        return self.engine.decide(query)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def answers(desk: Desk, claims: dict[str, Any]) -> Iterator[tuple[Call, Answer]]:
    for call in calls():
        yield call, desk.ask(call.tool, parse_json_arguments(call.arguments), claims)


@requires_data
def test_unconfirmed_changes_are_all_denied_and_nothing_else(desk: Desk) -> None:
    count: Counter[str] = Counter()
    for call, answer in answers(desk, {}):
        assert answer.allowed == (call.tool not in CHANGES), call
        if not answer.allowed:
            assert answer.code == "POLICY_FORBID"
            assert "change-is-confirmed" in answer.policy_ids
        count[answer.outcome] += 1
    assert count == {"allow": 454, "deny": 123}


@requires_data
def test_confirmed_calls_are_decided_by_the_table_and_every_denial_is_explained(desk: Desk) -> None:
    table: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    explained: Counter[tuple[str, str]] = Counter()
    for call, answer in answers(desk, CONFIRMED):
        table[call.tool][0] += 1
        table[call.tool][1] += answer.allowed
        assert answer.errors == ()
        if not answer.allowed:
            assert answer.code == "POLICY_FORBID"
            explained[call.tool, " ".join(policy.annotations["doc"] for policy in answer.determining)] += 1
    assert {tool: tuple(row) for tool, row in table.items()} == TABLE
    assert explained == EXPLAINED


@requires_data
def test_decisions_are_published_as_they_come_out() -> None:
    asked = list(table.ask())
    assert tables.differences(table.PAGE, table.make(asked)) == []
    # Every denial has a sentence: the policy's own, and no code in its place.
    assert all(why.endswith(".") and " " in why for one in asked if not one.answer.allowed for why in one.why)


@requires_data
def test_every_allowed_call_may_be_made_once_and_soon(desk: Desk) -> None:
    for call, answer in answers(desk, CONFIRMED):
        if answer.allowed:
            demanded = obligations.collect(answer.determining)
            assert demanded.uses == 1
            assert demanded.ttl == (120 if call.tool in CHANGES else 300)
            assert demanded.approvals == 0


@requires_data
def test_an_unconfirmed_claim_is_no_confirmation(desk: Desk) -> None:
    for call, answer in answers(desk, {"confirmed": False}):
        assert answer.allowed == (call.tool not in CHANGES)


def test_policies_carry_a_sentence_each_and_obligations_that_can_be_obeyed(desk: Desk) -> None:
    obligations.check(desk.engine.policies)
    assert all(policy.annotations["doc"].endswith(".") for policy in desk.engine.policies)


def test_a_plain_booking_is_allowed_once_confirmed(desk: Desk) -> None:
    assert desk.ask("book_reservation", BOOKING, CONFIRMED).policy_ids == ("change",)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"passengers": passengers(6)}, "one-to-five-passengers"),
        # A set would forget that the same passenger came six times; the count does not.
        ({"passengers": passengers(1) * 6}, "one-to-five-passengers"),
        ({"passengers": []}, "one-to-five-passengers"),
        ({"flights": []}, "some-flight"),
        ({"payment_methods": payments("certificate", "certificate")}, "one-certificate"),
        ({"payment_methods": payments("credit_card", "credit_card")}, "one-credit-card"),
        ({"payment_methods": payments(*["gift_card"] * 4)}, "three-gift-cards"),
        ({"payment_methods": payments("bank_transfer")}, "known-payment-methods"),
        ({"cabin": "first"}, "known-cabin"),
        ({"flight_type": "open_jaw"}, "known-trip"),
        ({"destination": "JFK"}, "known-trip"),
        ({"insurance": "maybe"}, "known-trip"),
        ({"nonfree_baggages": 4}, "bags-add-up"),
        ({"nonfree_baggages": -1, "total_baggages": 1}, "bags-add-up"),
        ({"total_baggages": 5}, "free-bags-of-gold"),
        ({"cabin": "basic_economy", "total_baggages": 4}, "free-bags-of-gold"),
    ],
)
def test_each_rule_denies_by_itself(desk: Desk, change: dict[str, Any], rule: str) -> None:
    answer = desk.ask("book_reservation", BOOKING | change, CONFIRMED)
    assert answer.code == "POLICY_FORBID"
    assert rule in answer.policy_ids


@pytest.mark.parametrize(
    "change",
    [
        {"passengers": passengers(5)},
        {"payment_methods": payments("certificate", "credit_card", "gift_card", "gift_card", "gift_card")},
        {"total_baggages": 4},
        {"cabin": "basic_economy"},
        {"insurance": "yes", "flight_type": "round_trip"},
    ],
)
def test_what_the_rules_just_permit_is_allowed(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.ask("book_reservation", BOOKING | change, CONFIRMED).outcome == "allow"


@pytest.mark.parametrize(("amount", "outcome"), [(150, "allow"), (500, "allow"), (350, "deny"), (10, "deny")])
def test_certificates_come_in_amounts_that_passengers_make(desk: Desk, amount: int, outcome: str) -> None:
    arguments = {"user_id": "mia_li_3668", "amount": amount}
    assert desk.ask("send_certificate", arguments, CONFIRMED).outcome == outcome


@pytest.mark.parametrize("tool", ["update_reservation_passengers", "delete_user", "change", "process.exec"])
def test_tools_that_are_not_declared_are_denied(desk: Desk, tool: str) -> None:
    assert desk.ask(tool, {"reservation_id": "JG7FMM"}, CONFIRMED).code == "POLICY_NO_DECISION"


@pytest.mark.parametrize(
    "change",
    [
        {"discount": 50},
        {"user_id": None},
        {"user_id": ["mia_li_3668"]},
        {"total_baggages": "3"},
        {"passengers": [{"first_name": "Mia", "last_name": "Li"}]},
        {"passengers": None},
    ],
)
def test_arguments_of_another_shape_are_denied(desk: Desk, change: dict[str, Any]) -> None:
    assert desk.ask("book_reservation", BOOKING | change, CONFIRMED).code == "POLICY_NO_DECISION"


def test_the_same_tool_of_another_server_is_denied(desk: Desk) -> None:
    answer = desk.ask("cancel_reservation", {"reservation_id": "JG7FMM"}, CONFIRMED, "urn:example:other")
    assert answer.code == "POLICY_DEFAULT_DENY"


@pytest.mark.parametrize("claims", [{"confirmed": "yes"}, {"confirmed": True, "superuser": True}])
def test_claims_outside_the_schema_are_denied(desk: Desk, claims: dict[str, Any]) -> None:
    assert desk.ask("think", {"thought": "hm"}, claims).code == "POLICY_NO_DECISION"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("passengers_count", 1),
        ("certificate_count", 0),
        ("payment_methods", [{"payment_id": 1, "amount": 1}]),
        ("payment_methods", [{"payment_id": "gift_card_1", "amount": 0.00001}]),
        ("total_baggages", 1.5),
        ("total_baggages", 2**63),
    ],
)
def test_what_cannot_be_mapped_is_refused(desk: Desk, name: str, value: object) -> None:
    with pytest.raises(mapping.MappingError):
        desk.ask("book_reservation", BOOKING | {name: value}, CONFIRMED)
