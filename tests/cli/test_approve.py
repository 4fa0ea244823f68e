"""Approvals by command: asked for, read, given, refused, and used once."""

from pathlib import Path

from exequatur_issuer.signer import create_key
from tests.cli.conftest import Exq

ASK = """
@id("ask-for-true")
@doc("It needs somebody's consent.")
@require_approval("{count}")
permit (principal, action == Action::"process.exec", resource) when {{ context.args.contains("with-consent") }};
"""
COMMAND = ("sh", "-c", "true", "with-consent")


def asked(exq: Exq, home: Path, count: int = 1) -> str:
    """Publish a policy that asks for approvals, be refused for want of them, and return the request."""
    policy = home / "policy" / "starter.cedar"
    policy.write_text(policy.read_text() + ASK.format(count=count))
    assert exq("policy", "publish", "--home", home).status == 0
    denied = exq("run", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.reported["code"], denied.reported["approvals"]) == (77, "APPROVAL_MISSING", count)
    assert f"exequatur approve {denied.reported['request']}" in denied.err
    return str(denied.reported["request"])


def test_what_was_approved_runs_once(exq: Exq, home: Path) -> None:
    # A-06 A-07
    request = asked(exq, home)
    (waiting,) = exq("approve", "--home", home, "--json").json["pending"]
    assert (waiting["request"], waiting["approvals"]) == (request, [])
    approved = exq("approve", request, "--home", home, "--yes", "--json").json
    assert approved["approved"]
    assert {"place": "/args/3", "value": '"with-consent"', "warnings": []} in approved["action"]
    ran = exq("run", "--home", home, "--request", request, "--", *COMMAND)
    assert ran.status == 0
    again = exq("run", "--home", home, "--request", request, "--", *COMMAND)
    assert (again.status, "USES_EXHAUSTED" in again.err) == (77, True)
    assert exq("approve", "--home", home, "--json").json["pending"] == []
    audit = exq("audit", "--home", home, "--json").json
    assert (audit["ok"], audit["decisions"]) == (True, {"total": 2, "equal": 2})


def test_it_is_that_command_and_no_other(exq: Exq, home: Path) -> None:
    #
    request = asked(exq, home)
    exq("approve", request, "--home", home, "--yes")
    other = exq("run", "--home", home, "--request", request, "--json", "--", *COMMAND, "and more")
    assert (other.status, other.reported["code"]) == (77, "ACTION_MISMATCH")


def test_without_consent_it_stays_denied(exq: Exq, home: Path) -> None:
    #
    request = asked(exq, home)
    again = exq("run", "--home", home, "--request", request, "--json", "--", *COMMAND)
    assert (again.status, again.reported["code"]) == (77, "APPROVAL_MISSING")


def test_who_asked_cannot_approve(exq: Exq, home: Path) -> None:
    #
    request = asked(exq, home)
    requester = home / "keys" / "requester.pem"
    refused = exq("approve", request, "--home", home, "--key", requester, "--iss", "urn:x:other", "--yes")
    assert (refused.status, "cannot approve" in refused.out) == (77, True)


def test_a_key_that_is_not_enrolled_approves_nothing(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    request = asked(exq, home)
    passphrase = (home / "keys" / "passphrase").read_bytes().strip()
    create_key(tmp_path / "stranger.pem", passphrase)
    named = ("--key", tmp_path / "stranger.pem", "--iss", "urn:x:stranger")
    refused = exq("approve", request, "--home", home, *named, "--yes")
    assert (refused.status, "enrol" in refused.err) == (77, True)
    assert exq("run", "--home", home, "--request", request, "--", *COMMAND).status == 77


def test_a_bundle_of_what_was_approved_verifies_elsewhere(exq: Exq, home: Path, tmp_path: Path) -> None:
    # V-38 V-42
    request = asked(exq, home)
    denied = exq("authorize", "--home", home, "-o", tmp_path / "it.exq", "--json", "--", *COMMAND)
    assert (denied.status, denied.json["code"]) == (77, "APPROVAL_MISSING")
    exq("approve", request, "--home", home, "--yes", "--scope", "until", "--ttl", "1m")
    issued = exq("authorize", "--home", home, "-o", tmp_path / "it.exq", "--request", request, "--", *COMMAND)
    assert issued.status == 0
    verdict = exq("verify", tmp_path / "it.exq", "--home", home, "--json", "--", *COMMAND).json
    assert verdict["code"] is None
    assert "1 approvals, 1 needed" in str(verdict)


def test_usage(exq: Exq, home: Path) -> None:
    assert exq("approve", "--home", home).out == "nothing waits for approval\n"
    for wrong in (("beef",), ("00" * 32, "--scope", "uses"), ("00" * 32, "--iss", "urn:x:y")):
        assert exq("approve", *wrong, "--home", home).status == 2
    assert exq("approve", "00" * 32, "--home", home, "--yes").status == 77


def test_denying_records_nothing(exq: Exq, home: Path) -> None:
    request = asked(exq, home)
    before = exq("log", "checkpoint", "--home", home).out
    denied = exq("approve", request, "--home", home, "--deny", "--json")
    assert (denied.status, denied.json["approved"]) == (77, False)
    assert "nothing is recorded" in denied.err
    assert exq("log", "checkpoint", "--home", home).out == before
    assert [item["request"] for item in exq("approve", "--home", home, "--json").json["pending"]] == [request]


def test_what_is_shown_says_who_decided_and_for_how_long(exq: Exq, home: Path) -> None:
    #
    request = asked(exq, home)
    shown = exq("approve", request, "--home", home, "--deny").out
    assert "needs-approval" in shown
    assert 'ask-for-true: "It needs somebody\'s consent."' in shown
    assert "as often as policy grants" in shown


def test_key_of_another_approver_is_named_by_the_log(exq: Exq, home: Path) -> None:
    #
    request = asked(exq, home)
    approved = exq("approve", request, "--home", home, "--key", home / "keys" / "approver.pem", "--yes", "--json")
    assert approved.json["approved"]
    (waiting,) = exq("approve", "--home", home, "--json").json["pending"]
    assert len(waiting["approvals"]) == 1
    owner = exq("approve", request, "--home", home, "--key", home / "keys" / "owner.pem", "--yes")
    assert owner.status == 0
    # An owner may endorse policies, and is none of those whom trust names for approving actions.
    assert exq("run", "--home", home, "--request", request, "--", *COMMAND).status == 0


def test_scope_and_uses_go_together(exq: Exq, home: Path) -> None:
    request = asked(exq, home)
    for wrong in (("--scope", "once", "--uses", "2"), ("--scope", "until", "--uses", "2"), ("--scope", "uses")):
        assert exq("approve", request, *wrong, "--home", home, "--yes").status == 2
    task = exq("approve", request, "--scope", "task", "--home", home, "--yes")
    assert (task.status, "not 'task'" in task.out) == (77, True)
