"""``exequatur policy``: a broken set is refused and the former stays in force; a narrowed one denies from then on."""

from pathlib import Path

import pytest

from tests.cli.conftest import Exq

TRUE = ("sh", "-c", "echo ran >> ran")


def edit(home: Path, old: str, new: str, file: str = "starter.cedar") -> None:
    path = home / "policy" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def narrow(home: Path, condition: str) -> None:
    """Permit only what meets a condition."""
    edit(home, "resource\n);", f"resource\n)\nwhen {{ {condition} }};")


def test_check_describes_the_set(exq: Exq, founded: Path) -> None:
    checked = exq("policy", "check", "--home", founded, "--json")
    assert checked.status == 0
    assert checked.json["ok"]
    assert [policy["effect"] for policy in checked.json["policies"]] == ["permit", "forbid"]
    assert set(checked.json["digests"]) == {"sources", "schema", "entities", "mapping"}
    assert "permit-every-command" in exq("policy", "check", founded / "policy").out


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("starter.cedar", "permit (", "permitt (", "starter.cedar"),
        ("starter.cedar", "context.program ==", "context.nothing ==", "nothing"),
        ("starter.cedar", '@uses("1")', '@uses("many")', "permit-every-command: @uses('many')"),
        ("starter.cedar", '@ttl("5m")', '@limit_wal("5m")', "permit-every-command: @limit_wal"),
        ("starter.cedar", '@id("forbid-shred")', '@id("permit-every-command")', "permit-every-command"),
        ("schema.cedarschema", "uid: Long", "uid: Number", "Number"),
        ("mapping.toml", "# What Cedar", "what = 1 # What Cedar", "mapping.toml"),
    ],
)
def test_broken_set_is_refused_and_the_former_stays_in_force(
    exq: Exq, home: Path, file: str, old: str, new: str, told: str
) -> None:
    edit(home, old, new, file)
    checked = exq("policy", "check", "--home", home, "--json")
    assert (checked.status, checked.json["ok"]) == (65, False)
    assert checked.json["file"]
    size = exq("log", "checkpoint", "--home", home, "--json").json["size"]
    published = exq("policy", "publish", "--home", home, "--json")
    assert (published.status, published.out) == (65, "")
    assert told in published.err
    assert told in checked.err
    assert exq("log", "checkpoint", "--home", home, "--json").json["size"] == size
    assert exq("run", "--home", home, "--", *TRUE).status == 0


def test_narrowed_set_denies_what_it_did_not(exq: Exq, home: Path) -> None:
    narrow(home, 'context.program == "git"')
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    published = exq("policy", "publish", "--home", home, "--json")
    assert (published.status, published.json["epoch"]) == (0, 2)
    denied = exq("run", "--home", home, "--json", "--", *TRUE)
    assert (denied.status, denied.reported["code"]) == (77, "POLICY_DEFAULT_DENY")
    assert exq("run", "--home", home, "--", "git", "--version").status == 0
    assert Path("ran").read_text() == "ran\n"
    assert exq("audit", home).status == 0


def test_set_of_later_comes_into_force_later(exq: Exq, home: Path) -> None:
    edit(home, '"shred"', '"dash"')
    published = exq("policy", "publish", "--home", home, "--in", "1h", "--json")
    assert published.status == 0
    assert exq("run", "--home", home, "--", *TRUE).status == 0
    assert exq("audit", home).status == 0


def test_policy_error_denies(exq: Exq, home: Path) -> None:
    edit(home, 'when { context.program == "shred" };', "when { context.now + 9223372036854775807 > 0 };")
    assert exq("policy", "publish", "--home", home).status == 0
    denied = exq("run", "--home", home, "--json", "--", *TRUE)
    assert (denied.status, denied.reported["code"]) == (77, "POLICY_ERROR")


def test_claims_are_read_by_policy(exq: Exq, home: Path) -> None:
    narrow(home, "context.claims has confirmed && context.claims.confirmed")
    assert exq("policy", "publish", "--home", home).status == 0
    assert exq("run", "--home", home, "--", *TRUE).status == 77
    assert exq("run", "--home", home, "--claim", "confirmed", "--", *TRUE).status == 0
    unknown = exq("run", "--home", home, "--claim", "other", "--json", "--", *TRUE)
    assert (unknown.status, unknown.reported["code"]) == (77, "POLICY_NO_DECISION")


def test_limits_of_policy_are_enforced(exq: Exq, home: Path) -> None:
    edit(home, '@uses("1")', '@uses("1") @limit_output("4") @limit_wall("60s")')
    published = exq("policy", "publish", "--home", home)
    assert published.status == 0, published
    called = exq("run", "--home", home, "--json", "--", "sh", "-c", "while :; do echo x; done")
    assert (called.status, called.out) == (137, "x\nx\n")
    assert called.reported["violations"] == ["output"]
