"""Replay: what was decided as its inputs say is equal; everything else is named."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.replay import Case, Replayed, collect, replay
from exequatur_verifier import action, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Decision, Engine, Link, Policy, Request
from tests.issuer.house import NOW, House, with_rules
from tests.support import world

SHRED = {**world.COMMAND, "name": b"/usr/bin/shred"}


def cases(house: House) -> list[Case]:
    return list(collect(house.log.statements(), house.find))


def results(house: House) -> list[Replayed]:
    return replay(cases(house), house.folder / "content")


def forge(house: House, **changes: Any) -> Replayed:
    """Replay the last decision with other fields, signed as the authority would have."""
    *_, case = cases(house)
    decision = statement.parse(case.decision)
    assert isinstance(decision.record, Decision)
    forged = statement.sign(decision.record._replace(**changes), decision.claims, world.signer("authority"))
    [result] = replay([case._replace(decision=forged)], house.folder / "content")
    assert result.decision == statement.parse(forged).id
    return result


def commitment(case: Case) -> bytes:
    assert case.request is not None
    record = statement.parse(case.request).record
    assert isinstance(record, Request)
    return record.action.commitment


def test_every_decision_of_the_log_is_equal(house: House) -> None:
    #
    house.issue(house.asked())
    house.refuse(house.asked(SHRED))
    house.refuse(house.asked({**world.COMMAND, "args": [b"\xff"]}))
    house.refuse(house.asked(claims={"confirmed": "yes"}, disclosure="full"))
    assert [result.result for result in results(house)] == ["equal"] * 4
    assert results(house)[0].detail == f"allow at {NOW}"


def test_decisions_are_replayed_under_the_policy_of_then(house: House) -> None:
    house.issue(house.asked())
    later = house.publish(with_rules('@id("two") @require_approval("2") permit (principal, action, resource);'))
    house.open(policy=later).authorize_many([house.asked()], now=NOW)
    assert [result.result for result in results(house)] == ["equal", "equal"]
    assert results(house)[1].detail.startswith("needs-approval")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", "deny"),
        ("reasons", ("another-policy",)),
        ("reasons", ()),
        ("errors", ("made up",)),
        ("query", bytes(32)),
        ("query", None),
        ("code", "POLICY_FORBID"),
    ],
)
def test_one_changed_field_is_named(house: House, field: str, value: object) -> None:
    #
    house.issue(house.asked())
    forged = forge(house, **{field: value})
    assert (forged.result, forged.field) == ("different", field)


def test_a_denial_that_says_allow_is_named(house: House) -> None:
    house.refuse(house.asked(SHRED))
    forged = forge(house, outcome="allow", code=None, reasons=("permit-every-command",))
    assert (forged.result, forged.field) == ("different", "outcome")
    assert forged.detail.startswith("outcome is 'allow', and its inputs give 'deny': ask")


def test_another_time_shows_in_the_question(house: House) -> None:
    house.issue(house.asked())
    assert forge(house, now=NOW + 1).field == "query"


def test_links_beside_those_it_rests_on_are_named(house: House) -> None:
    house.issue(house.asked())
    *_, case = cases(house)
    record = statement.parse(case.decision).record
    assert forge(house, links=(*record.links, Link("approval", bytes(32)))).field == "links"


def test_a_decision_of_another_engine_version_cannot_be_computed_again(house: House) -> None:
    #
    house.issue(house.asked())
    forged = forge(house, engine=Engine("cedar", "0.1"))
    assert (forged.result, forged.field) == ("not-replayable", None)
    assert "cedar 0.1" in forged.detail
    assert house.policy.engine.version in forged.detail


def test_an_erased_descriptor_is_named_by_its_digest_and_the_others_are_equal(house: House) -> None:
    #
    house.issue(house.asked())
    house.issue(house.asked())
    erased = commitment(cases(house)[0])
    house.content.drop(erased)
    first, second = results(house)
    assert (first.result, first.digest) == ("not-replayable", erased)
    assert "erased" in first.detail
    assert second.result == "equal"


def test_a_disclosed_request_needs_no_content_store_for_its_descriptor(house: House) -> None:
    house.issue(house.asked(disclosure="full"))
    house.content.drop(commitment(cases(house)[0]))
    assert [result.result for result in results(house)] == ["equal"]


def test_one_flipped_bit_of_a_stored_input_is_named(house: House) -> None:
    # A-34 A-35
    house.issue(house.asked())
    digest = commitment(cases(house)[0])
    path = house.folder / "content" / digest.hex()[:2] / digest.hex()[2:]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    [result] = results(house)
    assert (result.result, result.digest) == ("not-replayable", digest)
    assert "damaged" in result.detail
    path.write_bytes(content)
    assert results(house)[0].result == "equal"


@pytest.mark.parametrize("part", ["sources", "schema", "entities", "mapping"])
def test_a_missing_part_of_the_policy_is_named(house: House, part: str) -> None:
    house.issue(house.asked())
    record = house.policy.statement.record
    assert isinstance(record, Policy)
    digest: bytes = getattr(record, part)
    house.content.drop(digest)
    [result] = results(house)
    assert (result.result, result.digest) == ("not-replayable", digest)


def test_a_commitment_to_something_else_than_a_descriptor_is_not_replayable(house: House) -> None:
    house.issue(house.asked())
    [case] = cases(house)
    assert case.request is not None
    request = statement.parse(case.request)
    assert isinstance(request.record, Request)
    for tag, encoded in [
        (action.TERMS_TAG, action.encode(world.COMMAND)),
        (action.ACTION_TAG, b"\xa0"),
        (action.ACTION_TAG, b""),
    ]:
        digest = house.content.put(action.preimage(tag, world.SALT, encoded))
        other = request.record._replace(action=request.record.action._replace(commitment=digest))
        forged = statement.sign(other, request.claims, world.signer("requester"))
        [result] = replay([case._replace(request=forged)], house.folder / "content")
        assert result.result == "not-replayable", tag


def test_records_that_are_not_in_the_log_are_said_so(house: House) -> None:
    house.issue(house.asked())
    [case] = cases(house)
    for hidden in (case._replace(request=None), case._replace(policy=None)):
        [result] = replay([hidden], house.folder / "content")
        assert result.result == "not-replayable"
        assert "not in the log" in result.detail
    assert case.policy is not None
    [swapped] = replay([case._replace(request=case.policy)], house.folder / "content")
    assert "no request" in swapped.detail


def test_only_decisions_are_collected_and_replayed(house: House) -> None:
    house.issue(house.asked())
    assert len(cases(house)) == 1
    assert next(collect(house.log.statements(), lambda _: None))[1:4] == (None, None, ())
    with pytest.raises(MalformedError, match="no decision"):
        replay([Case(house.policy.statement.entry, None, None)], house.folder / "content")


def test_chunks_can_be_replayed_by_several_processes(house: House) -> None:
    house.authority.authorize_many([house.asked(), house.asked(SHRED), house.asked()], now=NOW)
    logged, content = cases(house), house.folder / "content"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = pool.map(replay, [logged[:2], logged[2:]], [content, content])
        assert [result for part in parts for result in part] == replay(logged, content)


def test_a_store_elsewhere_holds_nothing(house: House, tmp_path: Path) -> None:
    house.issue(house.asked())
    [result] = replay(cases(house), tmp_path / "elsewhere")
    assert result.result == "not-replayable"
