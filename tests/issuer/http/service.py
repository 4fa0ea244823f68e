"""The service over a house's authority: its application, an office whose ports can be changed, and a client."""

import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from exequatur_issuer import policyset
from exequatur_issuer.asked import Asked
from exequatur_issuer.authorize import Authority
from exequatur_issuer.http import asked as forms
from exequatur_issuer.http.app import create_app
from exequatur_issuer.http.asked import Form, Runtime
from exequatur_issuer.http.desk import Desk
from exequatur_issuer.http.office import Office, Ports
from exequatur_issuer.http.settings import Settings, credentials, parse
from exequatur_issuer.identity.subject import Credentials
from exequatur_issuer.policyset import PolicySet
from exequatur_verifier import cbor, statement
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Enrolment, Kind
from exequatur_verifier.signing import Signer
from tests.issuer.house import NOW, RUNTIME, House
from tests.issuer.ledger import ACTIONS, REQUESTER
from tests.support import world

AGENT_KEY = "an-agent's-api-key"
APPROVER_KEY = "an-approver's-api-key"
APPROVER = "urn:exequatur:approver:test"
URL = "https://pdp.example"
CBOR = {"content-type": forms.MEDIA_TYPE}


def digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


SETTINGS = f"""
[[agents]]
requester = "{REQUESTER}"
key = "requester"
runtime = "{RUNTIME.id}"
tokens = ["{digest(AGENT_KEY)}"]
subjects = ["user:*"]

[[approvers]]
iss = "{APPROVER}"
tokens = ["{digest(APPROVER_KEY)}"]

[authzen]
url = "{URL}"
"""
for _type in ("account", "document", "record", "todo"):
    SETTINGS += f"""
[authzen.resources.{_type}.args]
role = "subject.properties.role"
status = "resource.properties.status"
soft = "action.properties.soft"
"""

SCHEMA = b"""
entity Requester;
entity User;
entity Server;
type Claims = { user?: String };
action "read", "write", "delete", "can_read", "can_edit" appliesTo {
  principal: [Requester, User],
  resource: Server,
  context: { args: { role?: String, status?: String, soft?: Bool }, claims: Claims, now: Long },
};
"""
# What AuthZEN's certification scenario has the decision point decide (its rules 1 to 8), and its examples answer.
RULES = f"""
@id("agent") @doc("The enforcement point itself.")
permit (principal == Requester::"{REQUESTER}", action, resource);

@id("readers")
permit (principal is User, action == Action::"read", resource) when {{
  [User::"alice", User::"bob"].contains(principal)
}};

@id("alice-writes")
permit (principal == User::"alice", action == Action::"write", resource)
unless {{ context.args has status && context.args.status == "archived" }};

@id("admins-write")
permit (principal is User, action == Action::"write", resource) when {{
  context.args has role && context.args.role == "admin" && context.args has status && context.args.status == "archived"
}};

@id("alice-deletes-softly")
permit (principal == User::"alice", action == Action::"delete", resource)
when {{ context.args has soft && context.args.soft }};

@id("examples-read")
permit (principal == User::"alice@example.com", action == Action::"read", resource) when {{
  [Server::"1", Server::"3"].contains(resource)
}};

@id("examples-can-read")
permit (principal == User::"alice@example.com", action == Action::"can_read", resource) when {{
  [Server::"123", Server::"1", Server::"boxcarring.md"].contains(resource)
}};

@id("no-erasing") @doc("Nobody erases for good.")
forbid (principal is User, action == Action::"delete", resource) when {{ context.args has soft && !context.args.soft }};
"""
TOOLS = PolicySet(policyset.join({"rules.cedar": RULES.encode()}), SCHEMA)


def call(name: str = "read", resource: str = "record-1", **arguments: Any) -> dict[str, Any]:
    return {"type": "mcp.tool", "name": name, "resource": resource, "args": arguments}


def form_of(asked: Asked, **changes: Any) -> Form:
    runtime = Runtime(asked.runtime.id, asked.runtime.key, asked.runtime.heads)
    form = Form(asked.request, asked.salt, asked.descriptor, runtime, asked.facts, asked.ttl, asked.uses)
    return form._replace(**changes)


class Service:
    """The application over a house; ``ports`` may be replaced until the first request."""

    def __init__(self, house: House, settings: str = SETTINGS, folder: Path = Path()) -> None:
        self.house = house
        self.settings: Settings = parse(settings)
        self.credentials: Credentials = credentials(self.settings, folder)
        self.threads: set[int] = set()
        self.now = NOW
        self._authority: Authority | None = None
        self.ports = Ports(
            authority=self._open,
            log=house.log,
            runtime=lambda name: RUNTIME if name == RUNTIME.id else None,
            enrolment=lambda key: self._enrolments().get(key),
            signer=self._signer,
            unique=house.unique,
            clock=lambda: self.now,
            close=lambda: None,
        )
        self.counted: list[tuple[str, int, str | None]] = []
        self.desk: Desk[Office] = Desk(lambda: Office(self.ports), self.settings.queue)
        self._client: TestClient | None = None

    @property
    def app(self) -> ASGIApp:
        return create_app(
            self.desk,
            self.credentials,
            self.settings,
            lambda: self.now,
            shows_approvals=self.ports.approvals is not None,
            count=lambda route, status, _, code: self.counted.append((route, status, code)),
        )

    @property
    def client(self) -> TestClient:
        if self._client is None:
            self._client = TestClient(self.app, raise_server_exceptions=False)
        return self._client

    def close(self) -> None:
        self.desk.close()

    def _open(self, _: int) -> Authority:
        # One thread, and one authority for it.
        self.threads.add(threading.get_ident())
        if self._authority is None:
            self._authority = self.house.open()
        return self._authority

    def _signer(self, name: str) -> Signer:
        return world.signer(name)

    def _enrolments(self) -> Mapping[bytes, Enrolment]:
        key: PublicKey = world.signer("requester").public_key
        found = Enrolment((), "key", REQUESTER, cbor.decode_map(key.encoded), (Kind.REQUEST,), ACTIONS)
        return {key.thumbprint: found}

    def post(self, path: str, form: Form | bytes, **headers: str) -> httpx2.Response:
        data = form if isinstance(form, bytes) else forms.encode(form)
        return self.client.post(path, content=data, headers={**CBOR, **headers})

    def authorize(self, asked: Asked, **headers: str) -> httpx2.Response:
        return self.post("/authorize", form_of(asked), **headers)

    def evaluate(self, body: Any, *, path: str = "/access/v1/evaluation", key: str = AGENT_KEY) -> httpx2.Response:
        return self.client.post(path, json=body, headers={"authorization": f"Bearer {key}"})

    def evaluations(self, body: Any) -> list[dict[str, Any]]:
        response = self.evaluate(body, path="/access/v1/evaluations")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["evaluations"]
        return found

    def records(self) -> Sequence[Kind]:
        return [one.kind for one in self.house.log.statements()]


def problem(response: httpx2.Response) -> dict[Any, Any]:
    """The problem of a response, with its code under ``code``."""
    assert response.headers["content-type"] == "application/concise-problem-details+cbor"
    assert response.headers["cache-control"] == "no-store"
    found = cbor.decode_map(response.content)
    assert found[-4] == response.status_code
    assert "Traceback" not in found[-2]
    return {**found, "code": response.headers.get("exequatur-code")}


def parsed(data: bytes) -> statement.Statement:
    return statement.parse(data)


Make = Callable[..., Service]
