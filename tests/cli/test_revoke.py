"""``exequatur revoke``: what was permitted is denied once the newer list is there, and the log says who and why."""

from pathlib import Path

import pytest

from exequatur_cli.freshening import freshen
from exequatur_cli.home import Home
from exequatur_verifier import bundle as bundles
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq
from tests.support.founded import enter

COMMAND = ("echo", "hello")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def bundle(exq: Exq, home: Path) -> Path:
    assert exq("authorize", "-o", "x.exq", "--home", home, "--", *COMMAND).status == 0
    return Path("x.exq").absolute()


def codes(exq: Exq, home: Path, bundle: Path) -> str | None:
    code: str | None = exq("verify", bundle, "--home", home, "--json", "--", *COMMAND).json["code"]
    return code


def test_a_fresh_home_has_lists_and_trust_asks_for_them(home: Path) -> None:
    with enter(home) as opened:
        named = opened.settings.status
        assert named is not None
        assert named.period == 3600
        lists = opened.status_lists()
        assert lists is not None
        assert lists.newest(lists.first) is not None
    assert "process.exec" in parse_trust((home / "trust.toml").read_bytes()).status.required


def test_denied_from_the_refreshed_bundle_on(exq: Exq, home: Path, bundle: Path) -> None:
    # A-54 A-59
    assert codes(exq, home, bundle) is None
    revoked = exq("revoke", bundle, "--reason", "key left on a train", "--home", home, "--json")
    assert revoked.status == 0, revoked
    told = revoked.json
    assert (told["verb"], told["version"], told["published"]) == ("revoke", 2, True)
    assert 0 < told["latency_us"] < 60_000_000
    report = exq("log", "get", told["report"], "--home", home, "--json").json
    assert (report["kind"], report["record"]["action"], report["record"]["code"]) == (
        "enforcement",
        "revoke",
        "REVOKED",
    )
    assert report["record"]["detail"].endswith("key left on a train")
    # The order of events: the list, then the report; and the old bundle says nothing of either.
    assert exq("log", "get", told["record"], "--home", home, "--json").json["index"] < report["index"]
    assert codes(exq, home, bundle) is None
    assert exq("bundle", "refresh", bundle, "--home", home).status == 0
    assert codes(exq, home, bundle) == "REVOKED"
    denied = exq("run", "--bundle", bundle, "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.out, denied.reported["code"]) == (77, "", "REVOKED")
    assert exq("audit", home).status == 0
    # Who has asked once more is not told anything new.
    again = exq("revoke", bundle, "--reason", "again", "--home", home)
    assert again.status == 0
    assert "nothing: the list said so" in again.out


def test_suspended_until_it_is_resumed(exq: Exq, home: Path, bundle: Path) -> None:
    case = exq("bundle", "show", bundle, "--json").json["artifact"]["claims"]["sub"]
    record = exq("bundle", "show", bundle, "--json").json["artifact"]["id"]
    assert exq("revoke", case, "--suspend", "--reason", "a look first", "--home", home).status == 0
    listed = exq("revoke", "--list", "--home", home, "--json").json
    assert [(entry["status"], entry["subject"]) for entry in listed["lists"][0]["entries"]] == [("suspended", case)]
    assert case in exq("revoke", "--list", "--home", home).out
    exq("bundle", "refresh", bundle, "--home", home)
    assert codes(exq, home, bundle) == "REVOKED"
    assert exq("revoke", record, "--resume", "--reason", "it was nothing", "--home", home).status == 0
    exq("bundle", "refresh", bundle, "--home", home)
    assert exq("run", "--bundle", bundle, "--home", home, "--", *COMMAND).out == "hello\n"
    assert exq("revoke", record, "--reason", "done", "--home", home).status == 0
    resumed = exq("revoke", record, "--resume", "--reason", "no", "--home", home)
    assert resumed.status == 77
    assert "revoked for good" in resumed.err


@pytest.mark.parametrize("kind", ["subject", "policy", "key", "epoch", "epoch of a set"])
def test_what_is_revoked_by_name_is_not_run_again(exq: Exq, home: Path, kind: str) -> None:
    with enter(home) as opened:
        policy_set = opened.settings.policy_set
        newest = opened.log.newest_policy(policy_set)
        assert newest is not None
        option, value = {
            "subject": ("--subject", opened.settings.requester.iss),
            "policy": ("--policy", newest.record_id.hex()),
            "key": ("--key", opened.signer("requester").public_key.thumbprint.hex()),
            "epoch": ("--epoch", "1"),
            "epoch of a set": ("--epoch", f"{policy_set}@1"),
        }[kind]
    assert exq("revoke", option, value, "--suspend", "--reason", "why", "--home", home).status == 0
    denied = exq("run", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.out, denied.reported["code"]) == (77, "", "REVOKED")
    named = exq("revoke", "--list", "--home", home)
    assert "revoked by name" in named.out
    assert exq("revoke", option, value, "--resume", "--reason", "why", "--home", home).status == 0
    assert exq("run", "--home", home, "--", *COMMAND).out == "hello\n"


def test_an_epoch_is_over_and_the_next_one_is_not(exq: Exq, home: Path) -> None:
    assert exq("policy", "publish", "--home", home).status == 0
    assert exq("revoke", "--epoch", "1", "--reason", "too broad", "--home", home).status == 0
    assert exq("run", "--home", home, "--", *COMMAND).status == 0


def test_lists_are_renewed_before_they_run_out(exq: Exq, home: Path) -> None:
    before = exq("revoke", "--list", "--home", home, "--json").json["lists"][0]
    settings = home / "authority.toml"
    settings.write_text(settings.read_text().replace("period = 3600", "period = 7200"))
    renewed = exq("revoke", "--renew", "--home", home, "--json").json["lists"][0]
    assert (renewed["list"], renewed["version"]) == (before["list"], before["version"] + 1)
    assert renewed["next_update"] >= before["next_update"] + 3600
    assert renewed["list"] in exq("revoke", "--renew", "--home", home).out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 2),
        (("--reason", "why"), 2),
        (("ab" * 32,), 2),
        (("ab" * 32, "--subject", "urn:x:y", "--reason", "why"), 2),
        (("--list", "--reason", "why"), 2),
        (("--list", "--renew"), 2),
        (("ab" * 32, "--reason", "why"), 69),
        (("urn:uuid:nobody", "--reason", "why"), 69),
        (("abc", "--reason", "why"), 2),
        (("--key", "abc", "--reason", "why"), 2),
        (("--epoch", "one", "--reason", "why"), 2),
        (("--epoch", "x@1", "--reason", "why"), 65),
        (("--subject", "two\nlines", "--reason", "why"), 65),
        (("--subject", "urn:x:y", "--reason", "two\nlines"), 77),
    ],
)
def test_what_cannot_be_revoked_is_told(exq: Exq, home: Path, arguments: tuple[str, ...], status: int) -> None:
    called = exq("revoke", "--home", home, *arguments)
    assert (called.status, called.out) == (status, ""), called
    assert called.err
    assert "bug" not in called.err


def test_a_home_without_lists_says_so_and_issues_without_them(exq: Exq, home: Path) -> None:
    settings = home / "authority.toml"
    settings.write_text(settings.read_text().partition("\n[status]")[0])
    told = exq("revoke", "--list", "--home", home)
    assert told.status == 69
    assert "has no [status]" in told.err
    # Trust of a fresh home asks for a list.
    denied = exq("run", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.reported["code"]) == (77, "STATUS_STALE")
    trust = home / "trust.toml"
    trust.write_text(trust.read_text().partition("\n[status]")[0])
    assert exq("run", "--home", home, "--", *COMMAND).status == 0


def test_settings_of_a_version_that_is_due_at_once_are_refused(exq: Exq, home: Path) -> None:
    settings = home / "authority.toml"
    settings.write_text(settings.read_text().replace("period = 3600", "period = 1"))
    assert exq("revoke", "--list", "--home", home).status == 65


# What ``run --bundle`` does before the gate looks.


def test_a_bundle_is_freshened_where_the_log_has_a_newer_list(exq: Exq, opened: Home, home: Path, bundle: Path) -> None:
    #
    data = bundle.read_bytes()
    assert freshen(opened, data) == data
    exq("revoke", bundle, "--reason", "why", "--home", home)
    fresh = freshen(opened, data)
    assert fresh is not None
    assert bundles.decode(fresh).status != bundles.decode(data).status
    bundle.write_bytes(fresh)
    assert codes(exq, home, bundle) == "REVOKED"


def test_a_list_that_is_due_is_published_for_the_bundle_that_needs_it(opened: Home, bundle: Path) -> None:
    # A-55 A-60
    settings = opened.path / "authority.toml"
    # Of ten hours more than five are over.
    settings.write_text(settings.read_text().replace("period = 3600", "period = 36000"))
    data = bundle.read_bytes()
    fresh = freshen(opened, data)
    assert fresh is not None
    (old,), (new,) = bundles.decode(data).status, bundles.decode(fresh).status
    assert old.statement != new.statement


def test_a_newer_list_is_taken_even_if_none_can_be_published(exq: Exq, opened: Home, home: Path, bundle: Path) -> None:
    #
    data = bundle.read_bytes()
    exq("revoke", bundle, "--reason", "why", "--home", home)
    (home / "keys" / "authority.pem").unlink()
    fresh = freshen(opened, data)
    assert fresh is not None
    bundle.write_bytes(fresh)
    assert codes(exq, home, bundle) == "REVOKED"


def test_what_cannot_be_freshened_is_left_for_the_gate(opened: Home, bundle: Path) -> None:
    #
    data = bundle.read_bytes()
    for presented in (None, b"", b"noise", bytes(bundles.MAX_BUNDLE + 1)):
        assert freshen(opened, presented) == presented
    # Without its policy, which a runtime may know by id, it is as good as any.
    parts = bundles.decode(data)
    fresh = freshen(opened, bundles.encode(parts._replace(policy=None, status=())))
    assert fresh is not None
    assert bundles.decode(fresh).policy is None
    assert len(bundles.decode(fresh).status) == 1
    (opened.path / "authority.toml").unlink()
    del opened.__dict__["settings"]
    assert freshen(opened, data) == data
