"""Modes by command: what policy denies, let through where settings and trust both permit it, and listed."""

from pathlib import Path

import pytest

from tests.cli.conftest import Exq

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SETTINGS = """
[modes.observe]
actions = ["process.exec"]
ttl = 60
[modes.break-glass]
actions = ["process.exec"]
approvals = 1
"""
TRUST = """
[modes]
observe = ["process.exec"]
break-glass = ["process.exec"]
"""
COMMAND = ("shred", "--version")


@pytest.fixture
def permitting(home: Path) -> Path:
    for name, more in (("authority.toml", SETTINGS), ("trust.toml", TRUST)):
        (home / name).write_text((home / name).read_text() + more)
    return home


def test_observed_is_run_and_listed(exq: Exq, permitting: Path) -> None:
    # A-66 A-67 A-69
    home = permitting
    assert exq("run", "--home", home, "--", *COMMAND).status == 77
    assert "nothing was let through" in exq("observed", "--home", home).out
    for _ in range(2):
        ran = exq("run", "--mode", "observe", "--reason", "trying a rule", "--home", home, "--", *COMMAND)
        assert ran.status == 0, ran.err
    issued = exq("authorize", "-o", "it.exq", "--mode", "observe", "--reason", "later", "--home", home, "--", *COMMAND)
    assert issued.status == 0, issued.err
    report = exq("observed", "--home", home, "--json").json
    (group,) = report["observed"]
    assert (report["total"], group["times"], group["mode"], group["outcome"]) == (3, 3, "observe", "deny")
    assert (group["code"], group["policies"], group["reasons"]) == (
        "POLICY_FORBID",
        ["forbid-shred"],
        ["later", "trying a rule"],
    )
    assert [one["runs"] for one in group["artifacts"]] == [1, 1, 0]
    case = exq("lineage", group["artifacts"][0]["authorization"], "--home", home, "--json").json
    assert group["artifacts"][0]["subject"] == case["subject"]
    artifact = next(one for one in case["records"] if one["id"] == group["artifacts"][0]["authorization"])
    assert artifact["record"]["action"]["commitment"] == group["artifacts"][0]["commitment"]
    text = exq("observed", "--home", home).out
    assert "forbid-shred" in text
    assert all(one["authorization"] in text for one in group["artifacts"])
    assert exq("observed", "--home", home, "--since", "1h", "--json").json == report
    assert exq("observed", "--home", home, "--mode", "break-glass", "--json").json["total"] == 0
    assert exq("audit", home, "--json").json["ok"]


def test_broken_glass_waits_for_approval_and_is_reported(exq: Exq, permitting: Path) -> None:
    # A-67 A-68
    home = permitting
    asked = exq("run", "--mode", "break-glass", "--reason", "disk full", "--home", home, "--json", "--", *COMMAND)
    assert (asked.status, asked.reported["code"], asked.reported["approvals"]) == (77, "APPROVAL_MISSING", 1)
    request = asked.reported["request"]
    (waiting,) = exq("approve", "--home", home, "--json").json["pending"]
    assert waiting["request"] == request
    shown = exq("approve", request, "--home", home, "--yes").out
    assert '"break-glass"' in shown
    assert '"disk full"' in shown
    assert "POLICY_FORBID" in shown
    ran = exq("run", "--request", request, "--home", home, "--json", "--", *COMMAND)
    assert ran.status == 0, ran.err
    report = exq("observed", "--home", home, "--json").json["observed"][0]
    assert (report["mode"], report["reasons"]) == ("break-glass", ["disk full"])
    audit = exq("audit", home, "--json").json
    assert (audit["ok"], audit["entries"]["enforcement"]) == (True, 1)


def test_mode_that_was_taken_back_waits_for_nothing(exq: Exq, permitting: Path) -> None:
    #
    home = permitting
    asked = exq("run", "--mode", "break-glass", "--reason", "disk full", "--home", home, "--json", "--", *COMMAND)
    request = asked.reported["request"]
    assert exq("approve", request, "--home", home, "--yes").status == 0
    settings, mode = home / "authority.toml", "[modes.break-glass]\nactions = "
    settings.write_text(settings.read_text().replace(f'{mode}["process.exec"]', f'{mode}["mcp.tool"]'))
    assert exq("approve", "--home", home, "--json").json["pending"] == []
    refused = exq("approve", request, "--home", home, "--yes", "--json")
    assert (refused.status, "not permitted" in refused.json["detail"]) == (77, True)
    ran = exq("run", "--request", request, "--home", home, "--json", "--", *COMMAND)
    assert (ran.status, ran.reported["code"]) == (77, "MODE_NOT_PERMITTED")
    assert exq("observed", "--home", home, "--json").json["total"] == 0


def test_what_says_two_things_is_wrong_usage(exq: Exq, permitting: Path) -> None:
    mode = ("--mode", "observe", "--reason", "x", "--home", permitting)
    assert exq("run", "--request", "00" * 32, *mode, "--", *COMMAND).status == 2
    assert exq("run", "--bundle", "it.exq", *mode, "--", *COMMAND).status == 2
    assert exq("authorize", "-o", "it.exq", "--request", "00" * 32, *mode, "--", *COMMAND).status == 2


def test_home_that_permits_no_mode_refuses_and_logs_nothing(exq: Exq, home: Path) -> None:
    #
    before = exq("log", "checkpoint", "--home", home).out
    denied = exq("run", "--mode", "observe", "--reason", "x", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.reported["code"]) == (77, "MODE_NOT_PERMITTED")
    assert exq("log", "checkpoint", "--home", home).out == before
    assert exq("run", "--mode", "observe", "--home", home, "--", *COMMAND).status == 2
    assert exq("run", "--reason", "x", "--home", home, "--", *COMMAND).status == 2


def test_runtime_that_has_not_opted_in_denies(exq: Exq, home: Path) -> None:
    (home / "authority.toml").write_text((home / "authority.toml").read_text() + SETTINGS)
    denied = exq("run", "--mode", "observe", "--reason", "x", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.reported["code"]) == (77, "UNSUPPORTED")


@pytest.mark.parametrize(
    "wrong",
    [
        '[modes.silent]\nactions = ["process.exec"]',
        "[modes.observe]\nactions = []",
        '[modes.observe]\nactions = ["process.exec"]\nttl = 0',
        '[modes.break-glass]\nactions = ["process.exec"]',
        '[modes.observe]\nactions = ["process.exec"]\nmoon = 1',
    ],
)
def test_settings_of_a_mode_that_is_none_are_refused(exq: Exq, home: Path, wrong: str) -> None:
    (home / "authority.toml").write_text((home / "authority.toml").read_text() + wrong)
    called = exq("run", "--home", home, "--", "true")
    assert (called.status, "modes" in called.err) == (65, True)
