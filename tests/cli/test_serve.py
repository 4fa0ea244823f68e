"""``exequatur serve``: the home's log and its authority over HTTP, while its other commands go on."""

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from exequatur_issuer.asked import Asked
from exequatur_issuer.http import asked as forms
from exequatur_issuer.http.asked import Form, Runtime
from exequatur_log.blocking import check_file
from exequatur_verifier import action, bundle, cbor, statement
from exequatur_verifier.host import hash_file, measure, offered
from tests.cli.conftest import Exq
from tests.cli.test_approve import asked
from tests.support.founded import ENVIRON, SHELL, ask, enter

EXQ = str(Path(sys.executable).with_name("exequatur"))
KEY = "an-api-key-of-an-agent"


@contextmanager
def serving(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [EXQ, "serve", "--home", str(home), "--listen", "127.0.0.1:0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def process(home: Path) -> Iterator[subprocess.Popen[str]]:
    with serving(home) as running:
        yield running


def told_by(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads("".join(process.stdout.readline() for _ in range(5)))
    assert told.keys() == {"url", "origin", "authority"}
    return told


def url_of(process: subprocess.Popen[str]) -> str:
    url: str = told_by(process)["url"]
    return url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_home_is_served_while_its_commands_go_on(
    exq: Exq, home: Path, process: subprocess.Popen[str], number: signal.Signals
) -> None:
    url = url_of(process)
    before = httpx2.get(f"{url}/readyz").json()["size"]
    assert exq("run", "--home", home, "--", "true").status == 0
    assert httpx2.get(f"{url}/readyz").json()["size"] == before + 5
    process.send_signal(number)
    assert process.wait(30) == 0
    assert check_file(home / "log.db") == []
    assert exq("audit", home, "--json").json["ok"]


@pytest.mark.parametrize("address", ["8080", "localhost:", ":80", "localhost:x", "localhost:65536"])
def test_an_address_is_a_host_and_a_port(exq: Exq, home: Path, address: str) -> None:
    assert exq("serve", "--home", home, "--listen", address).status == 2


@pytest.mark.parametrize("content", ["", "# nobody", "word", "ab" * 31, "AB" * 32 + "x"])
def test_a_file_of_tokens_holds_digests(exq: Exq, home: Path, content: str) -> None:
    Path("tokens").write_text(content)
    assert exq("serve", "--home", home, "--tokens", "tokens").status == 2


@pytest.mark.parametrize("quota", ["0", "-1", "nan", "inf"])
def test_a_quota_is_a_rate(exq: Exq, home: Path, quota: str) -> None:
    assert exq("serve", "--home", home, "--quota", quota).status == 2


def test_a_port_that_is_taken_is_said_to_be(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    address = url_of(process).removeprefix("http://")
    assert exq("serve", "--home", home, "--listen", address).status == 69


def posted(asked: Asked) -> bytes:
    runtime = Runtime(asked.runtime.id, asked.runtime.key, asked.runtime.heads)
    return forms.encode(Form(asked.request, asked.salt, asked.descriptor, runtime, asked.facts))


def requested(home: Path) -> Asked:
    """Return a request of the home's own requester, to run the shell."""
    argv = [SHELL, b"-c", b"exit 0"]
    command = measure(argv, cwd=b"/", environ=ENVIRON, load=hash_file, enforcement=offered())
    with enter(home) as opened:
        return ask(opened, command.descriptor, command.facts.measured)


def post(url: str, path: str, data: Asked | bytes) -> httpx2.Response:
    data = data if isinstance(data, bytes) else posted(data)
    return httpx2.post(url + path, content=data, headers={"content-type": forms.MEDIA_TYPE}, timeout=30)


def test_the_authority_answers_beside_the_log(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    """H-01 H-08: on the log that is served, while other commands register in it too."""
    told = told_by(process)
    assert told["authority"].startswith("urn:exequatur:authority:")
    url = told["url"]
    size = httpx2.get(f"{url}/readyz").json()["size"]
    answer = post(url, "/authorize", requested(home))
    assert answer.status_code == 200, answer.content
    assert httpx2.get(f"{url}/readyz").json()["size"] == size + 3
    artifact, _ = statement.parse_transparent(bundle.decode(answer.content).artifact)
    location = answer.headers["location"]
    assert httpx2.get(f"{url}{location}/statement").content == artifact.entry
    assert exq("run", "--home", home, "--", "true").status == 0
    assert post(url, "/plan", requested(home)).json()["outcome"] == "allow"
    assert post(url, "/authorize", requested(home)).status_code == 200
    assert "Authorize.authorize" in httpx2.get(f"{url}/metrics").text
    assert httpx2.get(f"{url}/authority/openapi.json").json()["paths"].keys() == {
        "/authorize", "/plan", "/approvals", "/approvals/{request}",
    }  # fmt: skip
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert check_file(home / "log.db") == []
    assert exq("audit", home, "--json").json["decisions"]["total"] == 3


def test_a_policy_that_is_published_meanwhile_is_followed(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    """A-30"""
    url = url_of(process)
    assert post(url, "/authorize", requested(home)).status_code == 200
    rules = home / "policy" / "starter.cedar"
    rules.write_text(rules.read_text() + '\n@id("none") @doc("Not today.") forbid (principal, action, resource);\n')
    assert exq("policy", "publish", "--home", home).status == 0
    denied = post(url, "/authorize", requested(home))
    assert (denied.status_code, denied.headers["exequatur-code"]) == (403, "POLICY_FORBID")
    told = cbor.decode_map(denied.content)["urn:exequatur:problem:denial"]
    assert told["explanation"] == ["forbid none: Not today."]
    logged = httpx2.get(f"{url}/entries/{statement.parse(told['decision']).id.hex()}")
    assert logged.content == told["receipt"]


def test_a_runtime_that_is_enrolled_meanwhile_is_known(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    """H-02"""
    url = url_of(process)
    assert post(url, "/authorize", requested(home)).status_code == 200
    assert exq("enrol", "other", Path("elsewhere").absolute(), "--home", home).status == 0
    with enter(home) as opened:
        entry = opened.settings.runtimes["other"]
    form = forms.decode(posted(requested(home)))
    for identity, code in ((entry.id, "AUDIENCE_MISMATCH"), (f"{entry.id}:x", "RUNTIME_UNKNOWN")):
        answer = post(url, "/authorize", forms.encode(form._replace(runtime=Runtime(identity))))
        assert answer.headers["exequatur-code"] == code


def test_agents_of_the_settings_are_answered_by_authzen(exq: Exq, home: Path) -> None:
    """H-16 H-18"""
    with enter(home) as opened:
        requester = opened.settings.requester.iss
    (home / "service.toml").write_text(
        f"""
[[agents]]
requester = "{requester}"
key = "requester"
runtime = "local"
tokens = ["{sha256(KEY.encode()).hexdigest()}"]
[authzen]
url = "https://pdp.example"
[authzen.resources.tool]
args = "context.arguments"
"""
    )
    (home / "policy" / "schema.cedarschema").write_text(
        (home / "policy" / "schema.cedarschema").read_text()
        + """
entity Server;
action "read" appliesTo {
  principal: Requester, resource: Server, context: { args: { path: String }, claims: Claims, now: Long },
};
"""
    )
    rules = home / "policy" / "starter.cedar"
    rules.write_text(rules.read_text() + '\n@id("docs") permit (principal, action == Action::"read", resource);\n')
    assert exq("policy", "publish", "--home", home).status == 0
    body = {
        "subject": {"type": "agent", "id": requester},
        "action": {"name": "read"},
        "resource": {"type": "tool", "id": "docs"},
        "context": {"arguments": {"path": "/a"}},
    }
    with serving(home) as process:
        url = url_of(process)
        assert httpx2.get(f"{url}/.well-known/authzen-configuration").status_code == 200
        assert httpx2.post(f"{url}/access/v1/evaluation", json=body).status_code == 401
        shown = {"authorization": f"Bearer {KEY}"}
        answer = httpx2.post(f"{url}/access/v1/evaluation", json=body, headers=shown, timeout=30).json()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        journal = process.stderr.read()
    assert answer["decision"] is True
    data = answer["context"]["bundle"]
    assert bundle.decode(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
    # Nothing of a credential is in the journal.
    assert "refused" in journal
    assert KEY not in journal


def test_an_approver_sees_what_waits(exq: Exq, home: Path) -> None:
    """H-23 H-24"""
    request = asked(exq, home, 2)
    with enter(home) as opened:
        assert opened.settings.approver is not None
        approver, requester = opened.settings.approver.iss, opened.settings.requester.iss
    named = ((approver, KEY), (requester, f"{KEY}-who-asks"), ("urn:x:stranger", f"{KEY}-of-a-stranger"))
    (home / "service.toml").write_text(
        "\n".join(
            f'[[approvers]]\niss = "{iss}"\ntokens = ["{sha256(key.encode()).hexdigest()}"]' for iss, key in named
        )
    )
    with serving(home) as process:
        url = url_of(process)

        def get(path: str, key: str) -> httpx2.Response:
            return httpx2.get(url + path, headers={"authorization": f"Bearer {key}"}, timeout=30)

        (shown,) = get("/approvals", KEY).json()["approvals"]
        whole = get(shown["location"], KEY).json()
        # Neither who asked nor whom trust does not name has anything to approve.
        assert [get("/approvals", key).json() for _, key in named[1:]] == [{"approvals": []}] * 2
        assert exq("approve", request, "--home", home, "--yes").status == 0
        assert get("/approvals", KEY).json() == {"approvals": []}
    assert (shown["request"], shown["requester"], shown["wanted"], shown["given"]) == (request, requester, 2, [])
    assert whole["action"]["args"][-1]["text"] == "with-consent"
    salt, encoded = (base64.urlsafe_b64decode(whole[name] + "==") for name in ("salt", "encoded"))
    assert action.commitment(action.ACTION_TAG, salt, encoded).hex() == whole["commitment"]


def test_a_log_can_be_served_alone(home: Path) -> None:
    with serving(home, "--no-authority") as process:
        told = told_by(process)
        assert told["authority"] is None
        assert post(told["url"], "/authorize", requested(home)).status_code == 404
        assert httpx2.get(f"{told['url']}/readyz").json()["ready"]


def test_a_home_without_an_authoritys_key_serves_its_log(home: Path) -> None:
    (home / "keys" / "authority.pem").unlink()
    with serving(home) as process:
        assert told_by(process)["authority"] is None


@pytest.mark.parametrize("text", ["x = 1", "[[agents]]", "not TOML", "queue = 0"])
def test_settings_of_the_service_that_are_none_stop_it(exq: Exq, home: Path, text: str) -> None:
    """H-10"""
    (home / "service.toml").write_text(text)
    called = exq("serve", "--home", home)
    assert called.status == 65
    assert "service.toml" in called.err


def test_another_home_asks_over_http(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    """H-03 H-04: the bundle that is fetched is good in the runtime's own home."""
    url = url_of(process)
    command = ("authorize", "--home", home, "-o", "fetched.exq", "--url", url, "--json")
    fetched = exq(*command, "--", "true").json
    assert fetched["issued"]
    assert exq("verify", "fetched.exq", "--home", home, "--", "true").status == 0
    assert exq("run", "--home", home, "--bundle", "fetched.exq", "--", "true").status == 0
    denied = exq(*command, "--", "shred", "--version")
    assert denied.status == 77
    assert (denied.json["code"], denied.json["decision"] is None) == ("POLICY_FORBID", False)
    assert denied.json["explanation"][0].startswith("forbid forbid-shred")
    assert httpx2.get(f"{url}/entries/{denied.json['decision']}").status_code == 200
    # A user who is named has to be proven, and nobody is known here.
    unproven = exq(*command, "--user", "alice", "--", "true")
    assert (unproven.status, unproven.json["code"]) == (77, "SUBJECT_UNPROVEN")
    Path("token").write_text("an-api-key-of-nobody\n")
    unknown = exq(*command, "--user", "alice", "--token-file", "token", "--", "true")
    assert unknown.json["code"] == "CREDENTIAL_INVALID"
    assert exq("authorize", "--home", home, "-o", "x.exq", "--token-file", "token", "--", "true").status == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:x", "nothing", "http://[::1"])
def test_an_authority_that_is_away_is_unavailable(exq: Exq, home: Path, url: str) -> None:
    assert exq("authorize", "--home", home, "-o", "x.exq", "--url", url, "--", "true").status == 69
    assert not Path("x.exq").exists()


def test_an_answer_that_is_none_is_unavailable(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    # The log's own answer below a path that is neither's.
    url = url_of(process) + "/entries"
    assert exq("authorize", "--home", home, "-o", "x.exq", "--url", url, "--", "true").status == 69
