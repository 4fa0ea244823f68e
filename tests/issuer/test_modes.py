"""Modes: what policy denies, where settings and trust permit it all the same."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import replay
from exequatur_issuer.authorize import Asked, Issued
from exequatur_issuer.log import LogUnavailableError
from exequatur_issuer.modes import BREAK_GLASS, OBSERVE, Mode, claims_of
from exequatur_verifier import bundle, constraints, statement
from exequatur_verifier.records import Authorization, Decision, Enforcement, Kind, Link
from exequatur_verifier.verdict import Code
from tests.issuer.house import NOW, House, with_rules
from tests.issuer.ledger import MemoryLog, RealLog
from tests.support import world

RULES = """
@id("no-git") forbid (principal, action == Action::"process.exec", resource == Executable::"/usr/bin/git");
@id("rest") @uses("3") permit (principal, action, resource);
"""
EXEC = ("process.exec",)
MODES = {OBSERVE: Mode(EXEC, ttl=60), BREAK_GLASS: Mode(EXEC, ttl=120, approvals=2)}
TRUST = '[modes]\nobserve = ["process.exec"]\nbreak-glass = ["process.exec"]\n[approvals.modes]\nbreak-glass = 2'


def open_house(folder: Path, log: MemoryLog | RealLog, rules: str = RULES, **more: Any) -> House:
    house = House(folder, log, with_rules(rules), **more)
    house.settings = {"modes": MODES}
    house.authority = house.open()
    return house


@pytest.fixture
def permitting(tmp_path: Path) -> House:
    """Return an authority whose settings permit both modes."""
    return open_house(tmp_path, MemoryLog())


def asked(house: House, mode: str, reason: str = "the site is down", **more: Any) -> Asked:
    return house.asked(claims=claims_of(mode, reason), **more)


def record_of(issued: Issued) -> Authorization:
    record = statement.parse_transparent(bundle.decode(issued.bundle).artifact)[0].record
    assert isinstance(record, Authorization)
    return record


def reports(house: House) -> list[Enforcement]:
    return [item.record for item in house.log.statements() if isinstance(item.record, Enforcement)]


def decision_of(house: House, issued: Issued) -> Decision:
    entry = house.find(issued.decision)
    assert entry is not None
    record = statement.parse(entry).record
    assert isinstance(record, Decision)
    return record


def test_observed_is_denied_and_let_through_for_a_while(permitting: House) -> None:
    #
    issued = permitting.issue(asked(permitting, OBSERVE))
    record = record_of(issued)
    assert (record.mode, record.uses, issued.expires) == ("observe", 1, NOW + 60)
    decision = decision_of(permitting, issued)
    assert (decision.outcome, decision.code, decision.reasons) == ("deny", "POLICY_FORBID", ("no-git",))
    assert permitting.verify(issued.bundle, trust=TRUST).code is None
    # A runtime that has not opted in denies it.
    assert permitting.verify(issued.bundle).code is Code.UNSUPPORTED
    assert reports(permitting) == []


def test_what_policy_allows_is_no_matter_of_modes(permitting: House) -> None:
    #
    allowed = {**world.COMMAND, "name": b"/usr/bin/make"}
    for mode in (OBSERVE, BREAK_GLASS):
        record = record_of(permitting.issue(asked(permitting, mode, descriptor=allowed)))
        assert (record.mode, record.uses) == ("enforce", 3)
    assert reports(permitting) == []


@pytest.mark.parametrize("mode", [OBSERVE, BREAK_GLASS])
@pytest.mark.parametrize(
    ("code", "rules", "claims"),
    [
        # The sum leaves 64 bits, so that a policy cannot be evaluated.
        ("POLICY_ERROR", "permit (principal, action, resource) when { 9223372036854775807 + context.uid > 0 };", {}),
        ("POLICY_NO_DECISION", RULES, {"unheard-of": 1}),
    ],
)
def test_what_could_not_be_decided_is_denied_in_every_mode(
    tmp_path: Path, code: str, rules: str, claims: dict[str, Any], mode: str
) -> None:
    #
    house = open_house(tmp_path, MemoryLog(), rules)
    request = house.asked(claims={**claims_of(mode, "the site is down"), **claims})
    for approver in ("approver", "second"):
        assert house.refuse(request).code == code
        house.approve(request, approver)
    assert house.refuse(request).code == code


def test_what_a_permit_obliges_to_holds_in_a_mode(tmp_path: Path) -> None:
    #
    obliged = '@id("ask") @require_approval("1") @ttl("30s") @uses("5") @limit_wall("9s")'
    house = open_house(tmp_path, MemoryLog(), f"{obliged} permit (principal, action, resource);")
    issued = house.issue(asked(house, OBSERVE))
    assert (record_of(issued).mode, record_of(issued).uses, issued.expires) == ("observe", 1, NOW + 30)
    terms = constraints.decode_terms(bundle.decode(issued.bundle).terms)
    assert terms.constraints.limits.wall_ms == 9000


def test_policy_is_asked_the_same_in_every_mode(permitting: House) -> None:
    #
    # The schema has no such claims, so that policy would refuse them as no valid question.
    plain = permitting.refuse(permitting.asked())
    assert plain.code == "POLICY_FORBID"
    observed = decision_of(permitting, permitting.issue(asked(permitting, OBSERVE)))
    assert observed.code == plain.code


def test_broken_glass_takes_approvals_and_is_reported_first(permitting: House) -> None:
    # A-67 A-68
    request = asked(permitting, BREAK_GLASS)
    refused = permitting.refuse(request)
    assert (refused.code, refused.approvals) == ("APPROVAL_MISSING", 2)
    assert "mode break-glass" in refused.detail
    permitting.approve(request)
    assert permitting.refuse(request).code == "APPROVAL_MISSING"
    assert reports(permitting) == []
    permitting.approve(request, "second")
    issued = permitting.issue(request)
    record = record_of(issued)
    assert (record.mode, record.approvals, issued.expires) == ("break-glass", 2, NOW + 120)
    assert decision_of(permitting, issued).outcome == "deny"
    (report,) = reports(permitting)
    assert report.links == (Link("cause", issued.authorization),)
    assert (report.action, report.code, report.detail) == ("break-glass", "POLICY_FORBID", "the site is down")
    verdict = permitting.verify(issued.bundle, trust=TRUST)
    assert verdict.code is None, verdict.failure
    # Once, however often it is asked for.
    assert permitting.issue(request) == issued
    assert len(reports(permitting)) == 1


def test_the_same_on_the_products_own_log(tmp_path: Path) -> None:
    # A-68 L-27
    log = RealLog(tmp_path / "log.db")
    house = open_house(tmp_path, log)
    request = asked(house, BREAK_GLASS)
    house.refuse(request)
    house.approve(request)
    house.approve(request, "second")
    issued = house.issue(request)
    assert house.verify(issued.bundle, trust=TRUST).code is None
    assert len(reports(house)) == 1
    assert house.verify(house.issue(asked(house, OBSERVE)).bundle, trust=TRUST).code is None
    results = replay.replay(list(replay.collect(house.log.statements(), house.find)), house.folder / "content")
    assert {one.result for one in results} == {"equal"}, results
    log.close()


def test_no_bundle_without_the_report(permitting: House) -> None:
    #
    log, request = permitting.log, asked(permitting, BREAK_GLASS)
    assert isinstance(log, MemoryLog)
    permitting.refuse(request)
    permitting.approve(request)
    permitting.approve(request, "second")
    # The request and the artifact are answered, the report is not.
    log.answers = 2
    with pytest.raises(LogUnavailableError):
        permitting.answer(request)
    log.answers = None
    assert [item.kind for item in log.statements()].count(Kind.AUTHORIZATION) == 1
    issued = permitting.open().authorize_many([request], now=NOW + 1)[0]
    assert isinstance(issued, Issued)
    assert [report.links for report in reports(permitting)] == [(Link("cause", issued.authorization),)]


def test_policy_record_asks_for_its_approvals_in_a_mode_too(tmp_path: Path) -> None:
    #
    house = open_house(tmp_path, MemoryLog(), approvals=1)
    request = asked(house, OBSERVE)
    assert house.refuse(request).approvals == 1
    house.approve(request)
    issued = house.issue(request)
    assert record_of(issued).mode == "observe"
    assert house.verify(issued.bundle, trust=TRUST).code is None


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (claims_of("silent", "x"), "the modes are"),
        (claims_of("enforce", "x"), "the modes are"),
        ({"exequatur:mode": "observe"}, "says why"),
        ({"exequatur:reason": "x"}, "the modes are"),
        (claims_of("observe", " "), "says why"),
        (claims_of("observe", "x" * 513), "says why"),
        ({"exequatur:mode": 1, "exequatur:reason": "x"}, "the modes are"),
    ],
)
def test_mode_that_is_none_is_refused_and_nothing_is_logged(
    permitting: House, claims: dict[str, Any], why: str
) -> None:
    #
    size = len(permitting.log.statements())
    refused = permitting.refuse(permitting.asked(claims=claims))
    assert (refused.code, refused.decision) == ("MODE_NOT_PERMITTED", None)
    assert why in refused.detail
    assert len(permitting.log.statements()) == size


def test_mode_that_the_settings_do_not_permit_is_refused(permitting: House) -> None:
    #
    call = {"type": "mcp.tool", "name": "book", "resource": "urn:x:y", "args": {}}
    assert permitting.refuse(asked(permitting, OBSERVE, descriptor=call)).code == "MODE_NOT_PERMITTED"
    permitting.settings = {}
    permitting.authority = permitting.open()
    assert permitting.refuse(asked(permitting, OBSERVE)).code == "MODE_NOT_PERMITTED"
