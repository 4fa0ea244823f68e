"""The life of a policy set by command: linted, tried, explained, compared, published by several, and taken back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exequatur_cli.home import Home, now, unique
from exequatur_cli.settings import text_of
from exequatur_issuer.signer import create_key
from exequatur_log import genesis
from exequatur_verifier import statement
from exequatur_verifier.records import Kind
from tests.cli.conftest import Exq
from tests.cli.test_policy import edit, narrow
from tests.support.founded import enter

TRUE = ("sh", "-c", "true")


def starter_file(home: Path) -> Path:
    return home / "policy" / "starter.cedar"


def newest(exq: Exq, home: Path) -> tuple[int, str]:
    """Return the newest epoch and its state."""
    epoch = exq("policy", "list", "--home", home, "--json").json["epochs"][0]
    return epoch["epoch"], epoch["state"]


# check


def test_findings_are_told_and_only_the_strict_fail(exq: Exq, home: Path) -> None:
    checked = exq("policy", "check", home / "policy", "--json")
    assert (checked.status, checked.json["ok"]) == (0, True)
    (finding,) = checked.json["findings"]
    assert (finding["level"], finding["code"], finding["policy"]) == ("warning", "BROAD", "permit-every-command")
    assert (finding["file"], finding["line"]) == ("starter.cedar", 16)
    strict = exq("policy", "check", home / "policy", "--strict", "--json")
    assert (strict.status, strict.json["ok"]) == (77, False)
    assert "warning BROAD starter.cedar:16" in exq("policy", "check", home / "policy").out
    narrow(home, 'context.program == "git"')
    assert exq("policy", "check", home / "policy", "--strict").status == 0


def test_set_with_an_unreachable_policy_is_neither_sound_nor_signed(exq: Exq, home: Path) -> None:
    #
    narrow(home, 'context.program == "git" && context.program == "ls"')
    checked = exq("policy", "check", "--home", home, "--json")
    assert (checked.status, checked.json["ok"]) == (65, False)
    assert [finding["code"] for finding in checked.json["findings"]] == ["UNREACHABLE"]
    published = exq("policy", "publish", "--home", home)
    assert published.status == 65
    assert "can never apply" in published.err
    assert newest(exq, home) == (1, "in force")


# test


def test_cases_of_a_new_home_hold(exq: Exq, home: Path) -> None:
    tested = exq("policy", "test", "--home", home, "--json")
    assert (tested.status, tested.json["ok"]) == (0, True)
    assert [case["ok"] for case in tested.json["cases"]] == [True] * 4
    # What is published is tried like what lies in a directory, which needs no home.
    assert exq("policy", "test", home / "policy" / "cases.toml", "in-force", "--home", home).status == 0
    assert exq("policy", "test", home / "policy" / "cases.toml", home / "policy").status == 0


def test_case_that_comes_out_otherwise_is_told(exq: Exq, home: Path) -> None:
    edit(home, '"shred"', '"dash"')
    tested = exq("policy", "test", "--home", home, "--json")
    assert (tested.status, tested.json["ok"]) == (1, False)
    (failed,) = [case for case in tested.json["cases"] if not case["ok"]]
    assert (failed["name"], failed["outcome"]) == ("shred never runs", "allow")
    shown = exq("policy", "test", "--home", home)
    assert "FAIL  shred never runs" in shown.out
    assert "allow instead of deny" in shown.out


def test_cases_that_cannot_be_run_are_refused(exq: Exq, home: Path) -> None:
    edit(home, 'expect = "allow"', 'expect = "maybe"', "cases.toml")
    tested = exq("policy", "test", "--home", home)
    assert (tested.status, tested.out) == (65, "")
    assert "a program: expects 'maybe'" in tested.err
    assert exq("policy", "test", "nowhere.toml", "--home", home).status == 69
    assert exq("policy", "test", home / "policy" / "cases.toml", "7", "--home", home).status == 69
    assert exq("policy", "test", home / "policy" / "cases.toml", "nowhere", "--home", home).status == 69


# explain


def test_explanation_names_policies_places_and_what_is_missing(exq: Exq, home: Path) -> None:
    narrow(home, 'context.program == "git" && context.cwd like "/srv/*"')
    allowed = exq("policy", "explain", "--home", home, "--json", "--", *TRUE)
    assert (allowed.status, allowed.json["outcome"], allowed.json["policies"]) == (0, "allow", "epoch 1")
    assert allowed.json["determining"][0]["place"] == "starter.cedar:16"
    denied = exq("policy", "explain", "--home", home, "--policies", home / "policy", "--json", "--", *TRUE)
    assert (denied.status, denied.json["code"]) == (77, "POLICY_DEFAULT_DENY")
    (near,) = denied.json["near"]
    assert [unmet["condition"] for unmet in near["unmet"]] == ['context.program == "git"', 'context.cwd like "/srv/*"']
    shown = exq("policy", "explain", "--home", home, "--policies", home / "policy", "--", *TRUE)
    assert 'permit permit-every-command would apply but for: context.program == "git"' in shown.out
    other = exq("policy", "explain", "--home", home, "--requester", "urn:another", "--", *TRUE)
    assert "would apply but for: principal ==" in other.out


def test_explanation_takes_claims_and_a_time(exq: Exq, home: Path) -> None:
    narrow(home, "context.claims has confirmed && context.claims.confirmed && context.now < 1800000000")
    base = ("policy", "explain", "--home", home, "--policies", home / "policy")
    assert exq(*base, "--", *TRUE).status == 77
    assert exq(*base, "--claim", "confirmed", "--at", "2026-01-01T00:00:00Z", "--", *TRUE).status == 0
    assert exq(*base, "--claim", "confirmed", "--at", "2030-01-01T00:00:00Z", "--", *TRUE).status == 77
    assert exq(*base, "--at", "soon", "--", *TRUE).status == 2


def test_explanation_of_an_action_that_no_permit_is_about(exq: Exq, home: Path) -> None:
    action = Path("action.json")
    action.write_text(json.dumps({"type": "http.request", "name": "GET", "resource": "urn:x", "args": {}}))
    shown = exq("policy", "explain", "--home", home, "--action", action)
    assert shown.status == 77
    assert "no mapping for actions of type" in shown.out
    assert exq("policy", "explain", "--home", home).status == 2
    assert exq("policy", "explain", "--home", home, "--", "no-such-command").status == 2


def test_nothing_is_logged_by_asking(exq: Exq, home: Path) -> None:
    size = exq("log", "checkpoint", "--home", home, "--json").json["size"]
    exq("policy", "explain", "--home", home, "--", *TRUE)
    exq("policy", "test", "--home", home)
    exq("policy", "diff", "--home", home)
    assert exq("log", "checkpoint", "--home", home, "--json").json["size"] == size


# diff


def test_difference_tells_what_logged_decisions_become(exq: Exq, home: Path) -> None:
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    assert exq("run", "--home", home, "--", "git", "--version").status == 0
    same = exq("policy", "diff", "--home", home, "--json").json
    assert (same["parts"], same["policies"], same["outcomes"], same["asked"]) == ([], [], [], 2)
    narrow(home, 'context.program == "git"')
    edit(home, '@ttl("5m")', '@ttl("1m")')
    found = exq("policy", "diff", "--home", home, "--json").json
    assert (found["old"], found["parts"]) == ("epoch 1", ["sources"])
    (change,) = found["policies"]
    assert (change["policy"], change["change"]) == ("permit-every-command", "rule")
    assert change["annotations"] == {"ttl": ["5m", "1m"]}
    assert sorted(outcome["new"]["outcome"] for outcome in found["outcomes"]) == ["allow", "deny"]
    shown = exq("policy", "diff", "--home", home).out
    assert "sh -c true" in shown
    assert "allow → deny POLICY_DEFAULT_DENY" in shown
    assert "allow, with other obligations" in shown
    assert exq("policy", "diff", "--home", home, "--last", "1", "--json").json["asked"] == 1


def test_difference_on_cases_and_between_epochs(exq: Exq, home: Path) -> None:
    edit(home, '"shred"', '"dash"')
    assert exq("policy", "publish", "--home", home).status == 0
    found = exq("policy", "diff", "1", "2", "--cases", home / "policy" / "cases.toml", "--home", home, "--json").json
    assert (found["old"], found["new"], found["asked"]) == ("epoch 1", "epoch 2", 4)
    assert [outcome["name"] for outcome in found["outcomes"]] == ["shred never runs"]


def test_decision_that_was_erased_is_told_as_missing(exq: Exq, home: Path) -> None:
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    with enter(home) as opened:
        (entry,) = opened.log.find(kind=Kind.REQUEST)
        opened.content.drop(statement.parse(entry.statement).record.action.commitment)  # type: ignore[union-attr]
    found = exq("policy", "diff", "--home", home, "--json").json
    assert (found["asked"], len(found["missing"])) == (0, 1)
    assert "erased" in found["missing"][0]


# publish, list, rollback


def test_set_comes_into_force_at_a_time(exq: Exq, home: Path) -> None:
    edit(home, '"shred"', '"dash"')
    published = exq("policy", "publish", "--home", home, "--at", "2099-01-01T00:00:00Z", "--json")
    assert (published.status, published.json["activation"]) == (0, 4_070_908_800)
    assert newest(exq, home) == (2, "waits for its activation")
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    for wrong in (("--at", "2001-01-01T00:00:00Z"), ("--at", "soon"), ("--at", "4102444800", "--in", "1h")):
        assert exq("policy", "publish", "--home", home, *wrong).status == 2
    assert newest(exq, home)[0] == 2


def test_older_epoch_is_taken_back_as_a_new_one(exq: Exq, home: Path) -> None:
    #
    edit(home, '"shred"', '"dash"')
    assert exq("policy", "publish", "--home", home).status == 0
    assert exq("run", "--home", home, "--", *TRUE).status == 77
    back = exq("policy", "rollback", "1", "--home", home, "--json")
    assert (back.status, back.json["epoch"]) == (0, 3)
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    assert exq("policy", "diff", "1", "3", "--home", home, "--json").json["parts"] == []
    listed = exq("policy", "list", "--home", home, "--json").json["epochs"]
    assert [(one["epoch"], one["state"]) for one in listed] == [
        (3, "in force"),
        (2, "superseded"),
        (1, "superseded"),
    ]
    assert exq("policy", "rollback", "9", "--home", home).status == 69
    assert exq("audit", home).status == 0


def test_publisher_who_was_overtaken_is_told_to_look_again(
    exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = None
    with enter(home) as opened:
        stale = opened.log.newest_policy(opened.settings.policy_set)
    assert exq("policy", "publish", "--home", home).status == 0
    size = exq("log", "checkpoint", "--home", home, "--json").json["size"]
    monkeypatch.setattr("exequatur_log.blocking.BlockingLog.newest_policy", lambda *_: stale)
    lost = exq("policy", "publish", "--home", home)
    assert (lost.status, lost.out) == (77, "")
    assert "another epoch was published after 1; nothing was published" in lost.err
    monkeypatch.undo()
    monkeypatch.setattr("exequatur_gate.home.INSTALLED", "/nowhere")
    assert exq("log", "checkpoint", "--home", home, "--json").json["size"] == size
    assert newest(exq, home) == (2, "in force")
    expected = exq("policy", "publish", "--home", home, "--after", "1")
    assert expected.status == 77
    assert "the newest epoch is 2, not 1" in expected.err
    assert exq("policy", "publish", "--home", home, "--after", "2").status == 0


@pytest.mark.slow
def test_of_publishers_at_once_each_gets_an_epoch_of_its_own_or_is_told_to_look_again(exq: Exq, home: Path) -> None:
    command = [sys.executable, "-c", "import sys; from exequatur_cli.main import main; sys.exit(main(sys.argv[1:]))"]
    arguments = ["policy", "publish", "--home", str(home), "--after", "1"]
    running = [
        subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in running]
    assert sorted(status for _, status in ended) == [0, 77, 77], ended
    assert all("publish again" in words for words, status in ended if status == 77)
    assert newest(exq, home) == (2, "in force")
    assert exq("log", "fsck", "--home", home).status == 0


# Several owners.


def second_owner(home: Path, opened: Home) -> Path:
    """Make and enrol a second owner's key, trust it, and ask for two."""
    path = home / "keys" / "second.pem"
    passphrase = (home / "keys" / "passphrase").read_bytes().rstrip()
    key = create_key(path, passphrase).public_key
    opened.log.register(
        genesis.sign_enrolment(
            opened.signer("operator"),
            key,
            iss="urn:exequatur:owner:second",
            enroller=opened.log.identity.iss,
            kinds=(Kind.POLICY, Kind.APPROVAL),
            now=now(),
            unique=unique(),
        )
    )
    trust = home / "trust.toml"
    first = text_of(opened.signer("owner").public_key)
    text = trust.read_text()
    assert f'owners = ["{first}"]' in text
    owners = f'owners = ["{first}", "{text_of(key)}"]\nthreshold = 2'
    trust.write_text(text.replace(f'owners = ["{first}"]', owners))
    return path


@pytest.fixture
def two(home: Path) -> Path:
    """The key of a second owner, both of whom must sign."""
    with enter(home) as opened:
        return second_owner(home, opened)


def test_record_of_one_owner_of_two_decides_nothing(exq: Exq, home: Path, two: Path) -> None:
    #
    assert newest(exq, home) == (1, "waits for 1 more owners")
    denied = exq("authorize", "--home", home, "-o", "b", "--", *TRUE)
    assert denied.status == 77
    assert "signed by enough owners" in denied.err
    assert exq("policy", "endorse", "1", "--home", home, "--key", two).status == 0
    assert newest(exq, home) == (1, "in force")
    assert exq("policy", "explain", "--home", home, "--", *TRUE).status == 0


def test_the_former_stays_until_enough_owners_signed(exq: Exq, home: Path, two: Path) -> None:
    #
    assert exq("policy", "endorse", "1", "--home", home, "--key", two).status == 0
    edit(home, '"shred"', '"dash"')
    published = exq("policy", "publish", "--home", home, "--json")
    assert (published.status, published.json["endorsements_needed"]) == (0, 1)
    assert "exequatur policy endorse 2" in published.err
    assert exq("policy", "explain", "--home", home, "--", *TRUE).status == 0
    listed = exq("policy", "list", "--home", home, "--json").json["epochs"]
    assert [(one["epoch"], one["state"]) for one in listed] == [(2, "waits for 1 more owners"), (1, "in force")]
    endorsed = exq("policy", "endorse", published.json["record"], "--home", home, "--key", two, "--ttl", "1h", "--json")
    assert (endorsed.status, endorsed.json["owners"], endorsed.json["in_force"]) == (0, 2, True)
    assert exq("policy", "explain", "--home", home, "--", *TRUE).status == 77
    (one, _) = exq("policy", "list", "--home", home, "--json").json["epochs"]
    assert (one["state"], len(one["endorsements"]), len(one["owners"])) == ("in force", 1, 2)
    assert exq("log", "fsck", "--home", home).status == 0


def test_owner_signs_nothing_that_would_count_for_nothing(exq: Exq, home: Path, two: Path) -> None:
    own = exq("policy", "endorse", "1", "--home", home)
    assert (own.status, own.out) == (77, "")
    assert "another owner endorses it" in own.err
    stranger = home / "keys" / "requester.pem"
    foreign = exq("policy", "endorse", "1", "--home", home, "--key", stranger)
    assert foreign.status == 77
    assert "is no owner in" in foreign.err
    assert exq("policy", "endorse", "5", "--home", home, "--key", two).status == 69


def test_owner_signs_nothing_that_does_not_load(exq: Exq, home: Path, two: Path) -> None:
    with enter(home) as opened:
        (entry,) = opened.log.find(kind=Kind.POLICY)
        opened.content.drop(statement.parse(entry.statement).record.sources)  # type: ignore[union-attr]
    refused = exq("policy", "endorse", "1", "--home", home, "--key", two)
    assert (refused.status, refused.out) == (77, "")
    assert "is not in the store" in refused.err


def test_owner_who_is_not_enrolled_is_told_whom_to_ask(exq: Exq, home: Path) -> None:
    path = home / "keys" / "third.pem"
    passphrase = Path("passphrase")
    passphrase.write_bytes(b"another one\n")
    passphrase.chmod(0o600)
    key = create_key(path, b"another one").public_key
    trust = home / "trust.toml"
    trust.write_text(trust.read_text().replace('owners = ["', f'owners = ["{text_of(key)}", "'))
    refused = exq("policy", "endorse", "1", "--home", home, "--key", path, "--passphrase-file", passphrase)
    assert refused.status == 69
    assert "ask its operator to enrol it" in refused.err
