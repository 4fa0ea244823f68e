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
    # A-66 A-67
    home = permitting
    assert exq("run", "--home", home, "--", *COMMAND).status == 77
    assert "nothing was let through" in exq("observed", "--home", home).out
    for _ in range(2):
        ran = exq("run", "--mode", "observe", "--reason", "trying a rule", "--home", home, "--", *COMMAND)
        assert ran.status == 0, ran.err
    report = exq("observed", "--home", home, "--json").json
    (group,) = report["observed"]
    assert (report["total"], group["times"], group["mode"]) == (2, 2, "observe")
    assert (group["code"], group["policies"], group["reasons"]) == (
        "POLICY_FORBID",
        ["forbid-shred"],
        ["trying a rule"],
    )
    assert "forbid-shred" in exq("observed", "--home", home).out
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
