"""``exequatur authorize`` and ``exequatur verify``: a bundle to carry elsewhere, and the offline verdict on it."""

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from exequatur_verifier.verdict import Code
from tests.cli.conftest import Exq
from tests.support.founded import copy

COMMAND = ("echo", "hello")
ACTION = {"type": "mcp.tool", "name": "book", "resource": "urn:example:desk", "args": {"seats": 2}}


def digests(home: Path) -> Mapping[str, bytes]:
    """Return what every file of a home holds, but for the locks and the index that readers share."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): sha256(path.read_bytes()).digest() for path in files}


def test_authorized_command_would_be_admitted(exq: Exq, home: Path) -> None:
    made = exq("authorize", "-o", "x.exq", "--home", home, "--json", "--", *COMMAND)
    assert made.status == 0
    assert made.json["issued"]
    assert made.json["uses"] == 1
    verdict = exq("verify", "x.exq", "--home", home, "--json", "--", *COMMAND)
    assert verdict.status == 0
    assert verdict.json["admissible"]
    assert verdict.json["record"] == made.json["authorization"]
    assert verdict.json["subject"] == made.json["subject"]
    assert [step["number"] for step in verdict.json["steps"]] == list(range(15))
    assert "nothing was consumed" in exq("verify", "x.exq", "--home", home, "--", *COMMAND).out


def test_verdict_without_memory_says_so(exq: Exq, home: Path) -> None:
    exq("authorize", "-o", "x.exq", "--home", home, "--", *COMMAND)
    verdict = exq("verify", "x.exq", "--trust", home / "trust.toml", "--json", "--", *COMMAND)
    assert verdict.status == 0
    assert {step["status"] for step in verdict.json["steps"]} == {"passed", "no memory"}
    assert verdict.json["steps"][6]["status"] == "no memory"
    (home / "state.db").unlink()
    forgotten = exq("verify", "x.exq", "--home", home, "--", *COMMAND)
    assert forgotten.status == 69
    assert "--trust" in forgotten.err


def test_verify_writes_nothing(exq: Exq, home: Path) -> None:
    exq("authorize", "-o", "x.exq", "--home", home, "--", *COMMAND)
    before = digests(home)
    for _ in range(2):
        assert exq("verify", "x.exq", "--home", home, "--", *COMMAND).status == 0
    assert exq("verify", "x.exq", "--home", home, "--", "echo", "other").status == 77
    assert digests(home) == before
    assert exq("run", "--bundle", "x.exq", "--home", home, "--", *COMMAND).status == 0
    assert exq("verify", "x.exq", "--home", home, "--", *COMMAND).status == 0


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(None, 77, Code.ARTIFACT_MISSING), (b"", 77, Code.ARTIFACT_MISSING), (bytes(1 << 21), 77, Code.ARTIFACT_TOO_LARGE),
     (b"noise", 65, Code.ARTIFACT_MALFORMED)],
)  # fmt: skip
def test_what_is_no_bundle_is_denied_at_its_step(
    exq: Exq, founded: Path, content: bytes | None, status: int, code: Code
) -> None:
    if content is not None:
        Path("x.exq").write_bytes(content)
    denied = exq("verify", "x.exq", "--home", founded, "--json", "--", *COMMAND)
    assert (denied.status, denied.json["code"]) == (status, code.name)
    assert f"({denied.json['steps'][denied.json['step']]['name']})" in denied.err
    assert denied.json["condition"] == code.condition.value


def test_bundle_of_another_home_is_denied(exq: Exq, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert exq("init", "--home", other).status == 0
    exq("authorize", "-o", "x.exq", "--home", other, "--", *COMMAND)
    denied = exq("verify", "x.exq", "--home", home, "--json", "--", *COMMAND)
    assert (denied.status, denied.json["code"], denied.json["step"]) == (77, "ISSUER_UNTRUSTED", 3)
    assert exq("run", "--bundle", "x.exq", "--home", home, "--", *COMMAND).status == 77


def test_copy_of_a_home_is_the_same_runtime(exq: Exq, founded: Path, tmp_path: Path) -> None:
    here, there = copy(founded, tmp_path / "here"), copy(founded, tmp_path / "there")
    exq("authorize", "-o", "x.exq", "--home", here, "--", *COMMAND)
    assert exq("verify", "x.exq", "--home", there, "--", *COMMAND).status == 0


def test_options_only_narrow(exq: Exq, home: Path) -> None:
    wide = exq("authorize", "-o", "wide.exq", "--home", home, "--ttl", "2d", "--uses", "9", "--json", "--", *COMMAND)
    narrow = exq("authorize", "-o", "narrow.exq", "--home", home, "--ttl", "10s", "--json", "--", *COMMAND)
    for file, made, seconds in (("wide.exq", wide, 300), ("narrow.exq", narrow, 10)):
        claims = exq("bundle", "show", file, "--json").json["artifact"]["claims"]
        assert claims["exp"] - claims["nbf"] == seconds
        assert made.json["uses"] == 1


def test_refusal_leaves_no_bundle(exq: Exq, home: Path) -> None:
    denied = exq("authorize", "-o", "x.exq", "--home", home, "--json", "--", "shred", "x")
    assert (denied.status, denied.json["issued"], denied.json["code"]) == (77, False, "POLICY_FORBID")
    assert exq("log", "get", denied.json["decision"], "--home", home).status == 0
    assert not Path("x.exq").exists()


def test_action_that_policy_does_not_know_is_denied_and_logged(exq: Exq, home: Path) -> None:
    Path("action.json").write_text(json.dumps(ACTION))
    denied = exq("authorize", "-o", "x.exq", "--home", home, "--action", "action.json", "--json")
    assert (denied.status, denied.json["code"]) == (77, "POLICY_NO_DECISION")
    assert "book" in denied.json["explanation"][0]
    assert not Path("x.exq").exists()
    assert exq("audit", home).status == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":"mcp.tool"}',
        json.dumps(ACTION | {"type": "process.exec"}),
        json.dumps(ACTION)[:-1] + ',"type":"x"}',
        '{"type":"mcp.tool","name":"a","resource":"b","args":{"n":1e999}}',
    ],
)
def test_action_that_is_none_is_malformed(exq: Exq, home: Path, text: str) -> None:
    Path("action.json").write_text(text)
    for arguments in (("authorize", "-o", "x.exq"), ("verify", "x.exq")):
        called = exq(*arguments, "--home", home, "--action", "action.json")
        assert called.status == 65, called.err
    assert not Path("x.exq").exists()


def test_permitted_action_is_issued_and_verified(exq: Exq, home: Path) -> None:
    policy = home / "policy"
    entity, context = "entity Tool;", "context: { args: { seats: Long }, claims: Claims, now: Long }"
    declared = f'{entity}\naction "book" appliesTo {{ principal: Requester, resource: Server, {context} }};\n'
    schema = policy / "schema.cedarschema"
    schema.write_text(schema.read_text() + declared.replace(entity, "entity Server;"))
    (policy / "tools.cedar").write_text('@id("book") permit (principal, action == Action::"book", resource);\n')
    published = exq("policy", "publish", "--home", home)
    assert published.status == 0, published
    Path("action.json").write_text(json.dumps(ACTION))
    Path("other.json").write_text(json.dumps(ACTION | {"args": {"seats": 3}}))
    made = exq("authorize", "-o", "x.exq", "--home", home, "--action", "action.json")
    assert made.status == 0, made
    assert exq("verify", "x.exq", "--home", home, "--action", "action.json").status == 0
    other = exq("verify", "x.exq", "--home", home, "--action", "other.json", "--json")
    assert (other.status, other.json["code"]) == (77, "ACTION_MISMATCH")


def test_unknown_runtime_is_named_with_those_that_are_known(exq: Exq, home: Path) -> None:
    called = exq("authorize", "-o", "x.exq", "--home", home, "--for", "nobody", "--", *COMMAND)
    assert called.status == 69
    assert "nobody" in called.err
    assert "local" in called.err


def test_verify_wants_one_source_of_trust_and_one_action(exq: Exq, founded: Path) -> None:
    Path("action.json").write_text(json.dumps(ACTION))
    shutil.copy(founded / "trust.toml", "trust.toml")
    assert exq("verify", "x.exq", "--home", founded, "--trust", "trust.toml").status == 2
    assert exq("verify", "x.exq", "--home", founded, "--action", "action.json", "--", *COMMAND).status == 2
    Path("trust.toml").write_text(Path("trust.toml").read_text() + "\nunknown = 1\n")
    called = exq("verify", "x.exq", "--trust", "trust.toml", "--", *COMMAND)
    assert called.status == 65
    assert "unknown" in called.err
