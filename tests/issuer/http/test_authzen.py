"""AuthZEN 1.0: the certification scenario, the specification's examples, and what an answer carries."""

import base64
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier import bundle, receipt, statement
from exequatur_verifier.records import Decision, Kind, Request
from tests.issuer.house import House
from tests.issuer.http.service import AGENT_KEY, APPROVER_KEY, SETTINGS, TOOLS, URL, Make, Service
from tests.issuer.ledger import REQUESTER, MemoryLog

BEARER = {"authorization": f"Bearer {AGENT_KEY}"}


def subject(name: str, **properties: Any) -> dict[str, Any]:
    return entity("user", name, properties)


def resource(name: str, kind: str = "record", **properties: Any) -> dict[str, Any]:
    return entity(kind, name, properties)


def entity(kind: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "id": name, **({"properties": properties} if properties else {})}


def question(
    who: dict[str, Any], name: str, what: dict[str, Any], context: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    action = {"name": name, **({"properties": more} if more else {})}
    return {"subject": who, "action": action, "resource": what} | ({} if context is None else {"context": context})


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


ALICE, BOB, FIRST = subject("alice"), subject("bob"), resource("record-1")
ARCHIVED = resource("record-2", status="archived")
TIME = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}

# The decisions that the certification scenario fixes (authorization-api-1_0-scenario, rules 1 to 8), and its requests
# with a context, further properties, and fields that nobody knows.
FIXTURE: list[tuple[str, dict[str, Any], bool]] = [
    ("1", question(ALICE, "read", FIRST), True),
    ("2", question(ALICE, "write", FIRST), True),
    ("3", question(BOB, "read", FIRST), True),
    ("4", question(BOB, "write", FIRST), False),
    ("5", question(ALICE, "write", ARCHIVED), False),
    ("6", question(subject("bob", role="admin"), "write", ARCHIVED), True),
    ("7", question(ALICE, "delete", FIRST, soft=True), True),
    ("8", question(ALICE, "delete", FIRST, soft=False), False),
    ("context", question(ALICE, "read", FIRST, TIME), True),
    (
        "properties",
        question(
            subject("alice", department="Sales", role="manager"),
            "read",
            resource("record-1", status="active", owner="bob"),
            method="GET",
        ),
        True,
    ),
    ("unknown fields", question(ALICE, "read", FIRST) | {"foo": "bar", "futureField": {"nested": True}}, True),
]

# The requests of the specification's own examples, and what it answers to them.
EXAMPLE = subject("alice@example.com")
EXAMPLES: list[tuple[str, dict[str, Any], bool]] = [
    (
        "account",
        question(EXAMPLE, "can_read", resource("123", "account"), {"time": "1985-10-26T01:22-07:00"}, method="GET"),
        True,
    ),
    ("todo", question(EXAMPLE, "can_read", resource("1", "todo"), {"time": "1985-10-26T01:22-07:00"}), True),
]
DOCUMENTS = [{"resource": resource(name, "document")} for name in ("1", "2", "3")]


@pytest.mark.parametrize(("rule", "body", "decision"), FIXTURE + EXAMPLES, ids=[one[0] for one in FIXTURE + EXAMPLES])
def test_published_questions_are_decided_as_published(
    tools: Service, rule: str, body: dict[str, Any], decision: bool
) -> None:
    """H-16"""
    for _ in range(2):
        response = tools.evaluate(body)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json()["decision"] is decision, rule


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        (None, [True, False, True]),
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_several_evaluations_follow_their_semantic(tools: Service, semantic: str | None, decisions: list[bool]) -> None:
    """H-20: the specification's example of all three."""
    body: dict[str, Any] = {"subject": EXAMPLE, "action": {"name": "read"}, "evaluations": DOCUMENTS}
    if semantic is not None:
        body["options"] = {"evaluations_semantic": semantic, "another_option": "value"}
    before = len(tools.records())
    assert [one["decision"] for one in tools.evaluations(body)] == decisions
    # What is not executed leaves nothing behind.
    made = tools.records()[before:]
    assert made.count(Kind.REQUEST) == made.count(Kind.DECISION) == len(decisions)


BATCHES: list[tuple[str, dict[str, Any], list[bool]]] = [
    (
        "fixture",
        {
            "subject": BOB,
            "resource": FIRST,
            "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
        },
        [True, False],
    ),
    (
        "properties",
        {
            "subject": ALICE,
            "action": {"name": "write"},
            "evaluations": [{"resource": resource("record-1", status="active")}, {"resource": ARCHIVED}],
        },
        [True, False],
    ),
    (
        "subjects",
        {
            "action": {"name": "write"},
            "resource": ARCHIVED,
            "evaluations": [{"subject": ALICE}, {"subject": subject("bob", role="admin")}],
        },
        [False, True],
    ),
    (
        "no defaults",
        {"evaluations": [question(ALICE, "read", FIRST), question(BOB, "write", FIRST)]},
        [True, False],
    ),
    (
        "inheritance",
        question(ALICE, "write", resource("record-1", status="active")) | {"evaluations": [{}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    (
        "context",
        {
            "subject": ALICE,
            "action": {"name": "read"},
            "context": TIME,
            "evaluations": [{"resource": FIRST}, {"resource": FIRST, "context": {"source": "override"}}],
        },
        [True, True],
    ),
    (
        "one of them incomplete",
        {
            "subject": ALICE,
            "action": {"name": "read"},
            "options": {"evaluations_semantic": "execute_all"},
            "evaluations": [{"resource": FIRST}, {}],
        },
        [True, False],
    ),
    (
        "boxcarred, from the specification",
        {
            "subject": EXAMPLE,
            "context": {"time": "2024-05-31T15:22-07:00"},
            "action": {"name": "can_read"},
            "evaluations": [
                {"resource": resource("boxcarring.md", "document")},
                {"resource": resource("subject-search.md", "document")},
                {"action": {"name": "can_edit"}, "resource": resource("resource-search.md", "document")},
            ],
        },
        [True, False, False],
    ),
]


@pytest.mark.parametrize(("name", "body", "decisions"), BATCHES, ids=[one[0] for one in BATCHES])
def test_published_batches_are_decided_as_published(
    tools: Service, name: str, body: dict[str, Any], decisions: list[bool]
) -> None:
    """H-20"""
    found = tools.evaluations(body)
    assert [one["decision"] for one in found] == decisions, name
    assert all(isinstance(one["context"], dict) for one in found)


@pytest.mark.parametrize("more", [{}, {"evaluations": []}])
def test_without_evaluations_there_is_one_decision(tools: Service, more: dict[str, Any]) -> None:
    """H-20"""
    response = tools.evaluate(question(ALICE, "read", FIRST) | more, path="/access/v1/evaluations")
    assert response.json()["decision"] is True


def without(*path: str) -> dict[str, Any]:
    body = question(dict(ALICE), "read", dict(FIRST))
    found = body
    for step in path[:-1]:
        found = found[step]
    del found[path[-1]]
    return body


WRONG: list[tuple[str, Any]] = [
    *((f"no {name}", without(name)) for name in ("subject", "action", "resource")),
    *(
        (f"no {entity}.{key}", without(entity, key))
        for entity, key in (("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"))
    ),
    ("no resource.id", without("resource", "id")),
    ("a subject that is text", question(ALICE, "read", FIRST) | {"subject": "alice"}),
    ("a number for a name", question(ALICE, "read", FIRST) | {"action": {"name": 123}}),
    ("properties that are none", question(ALICE, "read", FIRST) | {"subject": ALICE | {"properties": []}}),
    ("a context that is none", question(ALICE, "read", FIRST) | {"context": "now"}),
    ("an empty name", question(ALICE, "", FIRST)),
    ("an array", []),
]


@pytest.mark.parametrize("path", ["/access/v1/evaluation", "/access/v1/evaluations"])
@pytest.mark.parametrize(("what", "body"), WRONG, ids=[one[0] for one in WRONG])
def test_what_is_no_evaluation_is_a_bad_request(tools: Service, path: str, what: str, body: Any) -> None:
    """H-17"""
    response = tools.evaluate(body, path=path)
    assert response.status_code == 400, what
    assert isinstance(response.json(), str)
    assert tools.evaluate(question(ALICE, "read", FIRST), path=path).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"subject": {"type": "user", "type": "user"}}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b"[" * 4000,
        b'{"a": ' * 40 + b"1" + b"}" * 40,
    ],
)
def test_json_is_read_strictly(tools: Service, body: bytes) -> None:
    """H-17"""
    headers = {**BEARER, "content-type": "application/json"}
    assert tools.client.post("/access/v1/evaluation", content=body, headers=headers).status_code == 400


def test_other_media_types_and_long_bodies_are_refused(tools: Service) -> None:
    """H-17"""
    path = "/access/v1/evaluation"
    good = b'{"subject": {}}'
    assert tools.client.post(path, content=good, headers={**BEARER, "content-type": "text/plain"}).status_code == 400
    assert tools.client.post(path, content=good, headers=BEARER).status_code == 400
    long = tools.evaluate(question(ALICE, "read", FIRST, {"text": "x" * (300 << 10)}))
    assert long.status_code == 413


@pytest.mark.parametrize(
    "more",
    [
        {"options": {"evaluations_semantic": "at_random"}},
        {"options": "execute_all"},
        {"evaluations": {}},
        {"evaluations": [{}] * 65},
        {"subject": "alice"},
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_is_a_bad_request(tools: Service, more: dict[str, Any]) -> None:
    """H-20"""
    body = question(ALICE, "read", FIRST) | {"evaluations": [{}]} | more
    assert tools.evaluate(body, path="/access/v1/evaluations").status_code == 400


def test_one_evaluation_that_is_none_is_a_denial_among_others(tools: Service) -> None:
    """H-20"""
    body = question(ALICE, "read", FIRST) | {
        "evaluations": [
            {},
            "nothing",
            {"subject": {"type": "robot", "id": "r2"}},
            {"resource": resource("x", "planet")},
        ]
    }
    found = tools.evaluations(body)
    assert [one["decision"] for one in found] == [True, False, False, False]
    assert [one["context"]["error"]["status"] for one in found[1:]] == [400, 403, 404]


def test_a_request_id_is_given_back(tools: Service) -> None:
    """H-21"""
    headers = {**BEARER, "x-request-id": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
    path = "/access/v1/evaluation"
    for body in (question(ALICE, "read", FIRST), {}):
        response = tools.client.post(path, json=body, headers=headers)
        assert response.headers["x-request-id"] == headers["x-request-id"]
        assert "x-request-id" not in tools.client.post(path, json=body, headers=BEARER).headers
    unknown = tools.client.post(path, json={}, headers={"x-request-id": "a"})
    assert (unknown.status_code, unknown.headers["x-request-id"]) == (401, "a")
    assert tools.client.post(path, json={}, headers={**BEARER, "x-request-id": "a" * 513}).status_code == 400


def test_the_configuration_is_published(tools: Service, service: Service) -> None:
    """H-22"""
    response = tools.client.get("/.well-known/authzen-configuration")
    assert response.json() == {
        "policy_decision_point": URL,
        "access_evaluation_endpoint": f"{URL}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{URL}/access/v1/evaluations",
    }
    assert response.headers["content-type"] == "application/json"


def test_without_settings_there_is_no_authzen(house: House, make: Make) -> None:
    """H-22"""
    bare = make(house, "")
    assert bare.client.get("/.well-known/authzen-configuration").status_code == 404
    assert bare.evaluate(question(ALICE, "read", FIRST)).status_code == 404


def test_an_allow_carries_its_bundle(tools: Service) -> None:
    """H-18"""
    context = tools.evaluate(question(ALICE, "write", resource("record-1", status="active"))).json()["context"]
    data = unpadded(context["bundle"])
    artifact, _ = statement.parse_transparent(bundle.decode(data).artifact)
    assert context["authorization"] == artifact.id.hex()
    assert context["reasons"] == ["agent", "alice-writes"]
    action = {"type": "mcp.tool", "name": "write", "resource": "record-1", "args": {"status": "active"}}
    facts = tools.house.verify(data, action).code
    assert facts is None
    assert tools.house.verify(data, action | {"args": {}}).code is not None
    request = tools.house.find(bytes.fromhex(context["id"]))
    assert request is not None
    signed = statement.parse(request)
    assert isinstance(signed.record, Request)
    assert (signed.claims.iss, dict(signed.record.claims)) == (REQUESTER, {"user": "alice"})


def test_a_denial_carries_the_signed_decision(tools: Service) -> None:
    """H-18"""
    context = tools.evaluate(question(ALICE, "delete", FIRST, soft=False)).json()["context"]
    decision = statement.parse(unpadded(context["statement"]))
    assert isinstance(decision.record, Decision)
    assert (context["code"], decision.record.code, context["policies"]) == (
        "POLICY_FORBID",
        "POLICY_FORBID",
        ["no-erasing"],
    )
    assert any("Nobody erases for good." in reason for reason in context["reasons"])
    assert receipt.parse(unpadded(context["receipt"])).origin == tools.house.log.origin


def test_a_wait_for_approvals_is_a_denial_that_says_where(tmp_path: Path, make: Make) -> None:
    """H-18"""
    rules = TOOLS.sources.replace(b'@id("readers")', b'@id("readers") @require_approval("1")')
    waiting = make(House(tmp_path, MemoryLog(), TOOLS._replace(sources=rules)))
    found = waiting.evaluate(question(ALICE, "read", FIRST)).json()
    assert found["decision"] is False
    context = found["context"]
    assert context["code"] == "APPROVAL_MISSING"
    assert context["access_request"] == {"id": context["id"], "location": f"/approvals/{context['id']}"}


def test_resources_that_are_not_declared_are_denied_and_leave_nothing(tools: Service) -> None:
    """H-19"""
    before = len(tools.records())
    found = tools.evaluate(question(ALICE, "read", resource("record-1", "planet"))).json()
    assert found["decision"] is False
    assert found["context"]["code"] == "RESOURCE_UNMAPPED"
    assert len(tools.records()) == before


def test_arguments_may_be_one_object_as_it_is(tmp_path: Path, make: Make) -> None:
    """H-19"""
    settings = SETTINGS + '\n[authzen.resources.tool]\nargs = "context.arguments"\n'
    service = make(House(tmp_path, MemoryLog(), TOOLS), settings)
    tool = resource("record-1", "tool")
    good = question(ALICE, "write", tool, {"arguments": {"status": "active"}})
    bad = question(ALICE, "write", tool, {"arguments": {"status": "archived"}})
    assert [service.evaluate(one).json()["decision"] for one in (good, bad)] == [True, False]
    # What the schema does not know is no valid question to policy.
    odd = question(ALICE, "write", tool, {"arguments": {"colour": "red"}})
    assert service.evaluate(odd).json()["context"]["code"] == "POLICY_NO_DECISION"
    entity_ = question(ALICE, "write", tool, {"arguments": {"who": {"__entity": {"type": "User", "id": "bob"}}}})
    assert service.evaluate(entity_).json()["context"]["code"] == "POLICY_ERROR"
    assert service.evaluate(question(ALICE, "write", tool, {"arguments": []})).status_code == 400
    assert service.evaluate(question(ALICE, "write", tool)).json()["decision"] is True


def test_who_is_nobodys_agent_may_not_ask(tools: Service) -> None:
    """H-10"""
    body = question(ALICE, "read", FIRST)
    assert tools.client.post("/access/v1/evaluation", json=body).headers["www-authenticate"].startswith("Bearer")
    for key in ("", "short", "x" * 600, "not-a-key-of-anybody", AGENT_KEY.upper()):
        assert tools.evaluate(body, key=key).status_code == 401
    assert tools.evaluate(body, key=APPROVER_KEY).status_code == 403
    for scheme in ("Basic", "bearer"):
        shown = {"authorization": f"{scheme} {AGENT_KEY}"}
        status = tools.client.post("/access/v1/evaluation", json=body, headers=shown).status_code
        assert status == (200 if scheme == "bearer" else 401)


def test_an_agent_speaks_for_itself_and_for_whom_it_may(tools: Service) -> None:
    """H-13 H-14: as an agent it is one principal, for a user there are two."""
    itself = {"type": "agent", "id": REQUESTER}
    found = tools.evaluate(question(itself, "write", FIRST)).json()
    assert found["context"]["reasons"] == ["agent"]
    for other in ({"type": "agent", "id": "urn:x:other"}, {"type": "robot", "id": "alice"}):
        assert tools.evaluate(question(other, "read", FIRST)).status_code == 403


def test_the_agent_lends_the_user_nothing_and_the_user_nothing_to_the_agent(tmp_path: Path, make: Make) -> None:
    """H-14"""
    rules = TOOLS.sources + b'\nforbid (principal is Requester, action == Action::"write", resource);\n'
    narrowed = make(House(tmp_path, MemoryLog(), TOOLS._replace(sources=rules)))
    # The user may, and its agent may not.
    denied = narrowed.evaluate(question(ALICE, "write", FIRST)).json()
    assert denied["context"]["code"] == "POLICY_FORBID"
    # The agent may, and its user may not.
    denied = narrowed.evaluate(question(subject("mallory"), "read", FIRST)).json()
    assert denied["context"]["code"] == "POLICY_DEFAULT_DENY"
    assert "the requester is allowed this, and its user is not" in denied["context"]["reasons"]
    assert narrowed.evaluate(question(ALICE, "read", FIRST)).json()["decision"] is True


def test_names_cannot_be_spelled_as_other_names(tools: Service) -> None:
    """H-13"""
    for name in ("alice ", "alice\u00e9", "Alice", "alice:x", "a" * 600):
        response = tools.evaluate(question(subject(name), "read", FIRST))
        assert response.status_code == 403 or response.json()["decision"] is False, name
