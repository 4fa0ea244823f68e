"""Delegation by command: a grant for somebody else's key, and what can be done with it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from exequatur_issuer.signer import create_key
from tests.cli.conftest import Exq

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

RULE = """
@id("grants") @uses("5") @ttl("1h")
permit (principal, action == Action::"exequatur.grant", resource == Grant::"process.exec") when { context.depth < 2 };
"""
COMMAND = ("echo", "hello")
LIMIT = ("--allow", "/args/1=one_of:hello,goodbye")


@pytest.fixture
def agent(exq: Exq, home: Path, tmp_path: Path) -> Path:
    """A home whose policy lets grants be asked for; the key file of somebody who can hold one."""
    enable(exq, home)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "passphrase").write_bytes(b"the agent's own\n")
    (tmp_path / "agent" / "passphrase").chmod(0o600)
    create_key(tmp_path / "agent" / "agent.pem", b"the agent's own")
    return tmp_path / "agent" / "agent.pem"


def enable(exq: Exq, home: Path) -> None:
    """Take the marks from what the starter schema has for delegation, and publish a policy that permits it."""
    schema = home / "policy" / "schema.cedarschema"
    schema.write_text(schema.read_text().replace("\n//+ ", "\n"))
    (home / "policy" / "grants.cedar").write_text(RULE)
    published = exq("policy", "publish", "--home", home)
    assert published.status == 0, published.err


def test_holder_runs_what_the_grant_covers(exq: Exq, home: Path, agent: Path) -> None:
    # A-61 A-63
    made = exq("delegate", "-o", "grant.exq", "--to", agent, *LIMIT, "--uses", "2", "--home", home, "--json")
    assert made.status == 0, made.err
    assert made.json["uses"] == 2
    held = ("--parent", "grant.exq", "--key", agent, "--home", home)
    for word in ("hello", "goodbye"):
        ran = exq("run", *held, "--", "echo", word)
        assert (ran.status, ran.out) == (0, f"{word}\n"), ran.err
    spent = exq("run", *held, "--json", "--", *COMMAND)
    assert (spent.status, spent.reported["code"]) == (77, "BUDGET_EXCEEDED")
    assert exq("audit", home, "--json").json["ok"]
    denied = exq("verify", "grant.exq", "--home", home, "--json")
    assert (denied.status, denied.json["code"]) == (77, "KIND_MISMATCH")


def test_what_is_outside_is_refused_with_what_is(exq: Exq, home: Path, agent: Path) -> None:
    #
    exq("delegate", "-o", "grant.exq", "--to", agent, *LIMIT, "--home", home)
    held = ("--parent", "grant.exq", "--key", agent, "--home", home)
    denied = exq("run", *held, "--json", "--", "echo", "other")
    assert (denied.status, denied.reported["code"]) == (77, "DELEGATION_INVALID")
    assert "/args/1" in denied.reported["detail"]
    stranger = exq("run", "--parent", "grant.exq", "--key", home / "keys" / "owner.pem", "--home", home, "--", *COMMAND)
    assert (stranger.status, "only its holder" in stranger.err) == (77, True)


def test_grant_that_has_expired_permits_nothing(
    exq: Exq, home: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A-61 A-63
    made = exq("delegate", "-o", "grant.exq", "--to", agent, *LIMIT, "--ttl", "60s", "--home", home, "--json")
    held = ("--parent", "grant.exq", "--key", agent, "--home", home)
    issued = exq("authorize", "-o", "it.exq", *held, "--json", "--", *COMMAND)
    assert (issued.status, issued.json["expires"]) == (0, made.json["expires"])
    monkeypatch.setattr("exequatur_cli.issuing.now", lambda: int(made.json["expires"]))
    denied = exq("run", *held, "--json", "--", *COMMAND)
    assert (denied.status, denied.reported["code"]) == (77, "DELEGATION_INVALID")
    assert "ask for a new one" in denied.reported["detail"]


def test_grant_is_passed_on_and_gets_narrower(exq: Exq, home: Path, agent: Path, tmp_path: Path) -> None:
    # A-63 A-64
    passphrase = (home / "keys" / "passphrase").read_bytes().strip()
    helper = tmp_path / "helper.pem"
    create_key(helper, passphrase)
    public = tmp_path / "helper.pub"
    key = load_pem_private_key(helper.read_bytes(), passphrase).public_key()
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    exq("delegate", "-o", "one.exq", "--to", agent, "--depth", "1", *LIMIT, "--home", home)
    above = ("--parent", "one.exq", "--key", agent, "--home", home)
    wide = exq("delegate", "-o", "two.exq", "--to", public, "--allow", "/args/1=glob:*", *above, "--json")
    assert (wide.status, wide.json["code"]) == (77, "DELEGATION_INVALID")
    assert "args /args/1" in wide.json["detail"]
    assert not Path("two.exq").exists()
    made = exq("delegate", "-o", "two.exq", "--to", public, "--allow", "/args/1=exact:hello", "--uses", "2", *above)
    assert made.status == 0, made.out
    # What is left open is as above, and said, so that policy and approvers see it.
    same = exq("delegate", "-o", "same.exq", "--to", public, "--uses", "1", *above, "--json")
    assert same.status == 0, same.err
    shown = exq("approve", same.json["request"], "--home", home, "--deny", "--json").json["action"]
    assert '"goodbye"' in [line["value"] for line in shown]
    below = ("--parent", "two.exq", "--key", helper, "--home", home)
    assert exq("run", *below, "--", "echo", "goodbye").status == 77
    issued = exq("authorize", "-o", "it.exq", *below, "--", *COMMAND)
    assert issued.status == 0, issued.out
    verdict = exq("verify", "it.exq", "--home", home, "--json", "--", *COMMAND).json
    assert verdict["code"] is None
    assert "delegated through 2 grants" in str(verdict["steps"])


def test_limits_of_a_file_are_those_of_the_grant(
    exq: Exq, home: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    #
    here = Path.cwd()
    limits = {"limits": {"wall_ms": 5000}, "args": {"/cwd": ["subpath", str(here)]}}
    Path("limits.json").write_text(json.dumps(limits))
    grant = here / "grant.exq"
    made = exq("delegate", "-o", grant, "--to", agent, "--constraints", "limits.json", "--home", home)
    assert made.status == 0, made.out
    held = ("--parent", grant, "--key", agent, "--home", home)
    assert exq("run", *held, "--", *COMMAND).status == 0
    monkeypatch.chdir(here.parent)
    denied = exq("run", *held, "--json", "--", *COMMAND)
    assert (denied.status, "/cwd" in denied.reported["detail"]) == (77, True)


def test_grant_that_needs_consent_waits_for_it(exq: Exq, home: Path, agent: Path) -> None:
    #
    rules = home / "policy" / "grants.cedar"
    rules.write_text(rules.read_text().replace('@uses("5") @ttl("1h")', '@uses("5") @ttl("1h") @require_approval("1")'))
    exq("policy", "publish", "--home", home)
    asked = ("delegate", "-o", "grant.exq", "--to", agent, *LIMIT, "--home", home)
    denied = exq(*asked, "--json")
    assert (denied.status, denied.json["code"]) == (77, "APPROVAL_MISSING")
    assert f"exequatur delegate --request {denied.json['request']}" in denied.err
    approved = exq("approve", denied.json["request"], "--home", home, "--yes", "--json")
    assert approved.status == 0, approved.err
    assert {"place": "/name", "value": '"process.exec"', "warnings": []} in approved.json["action"]
    made = exq(*asked, "--request", denied.json["request"])
    assert made.status == 0, made.out
    assert exq("run", "--parent", "grant.exq", "--key", agent, "--home", home, "--", *COMMAND).status == 0


@pytest.mark.parametrize(
    "wrong", ["name=exact:x", "/name", "/name=exact", "/name=like:x", "/args/1=range:a..b", "/name=subpath:usr"]
)
def test_limit_that_is_none_is_wrong_usage(exq: Exq, home: Path, agent: Path, wrong: str) -> None:
    assert exq("delegate", "-o", "x.exq", "--to", agent, "--allow", wrong, "--home", home).status == 2


def test_wrong_usage_and_files_say_so(exq: Exq, home: Path, agent: Path) -> None:
    assert exq("run", "--parent", agent, "--home", home, "--", *COMMAND).status == 2
    assert exq("run", "--key", agent, "--home", home, "--", *COMMAND).status == 2
    held = ("--parent", agent, "--key", agent, "--request", "00" * 32, "--home", home)
    assert exq("run", *held, "--", *COMMAND).status == 2
    assert exq("delegate", "-o", "x.exq", "--to", agent, *held).status == 2
    noise = exq("run", "--parent", agent, "--key", agent, "--home", home, "--", *COMMAND)
    assert (noise.status, str(agent) in noise.err) == (65, True)
    exq("authorize", "-o", "it.exq", "--home", home, "--", *COMMAND)
    none = exq("run", "--parent", "it.exq", "--key", agent, "--home", home, "--", *COMMAND)
    assert (none.status, "is no grant" in none.err) == (65, True)
    unknown = exq("delegate", "-o", "x.exq", "--to", agent, "--for", "nobody", "--home", home)
    assert unknown.status == 69
    Path("limits.json").write_text('{"moon": 1}')
    bad = exq("delegate", "-o", "x.exq", "--to", agent, "--constraints", "limits.json", "--home", home)
    assert bad.status == 65
