"""The approvals that are waited for: who sees them, what is shown, and what is registered."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from exequatur_issuer.http.waiting import Pending, as_json
from exequatur_issuer.log import Refusal
from exequatur_verifier import action, records, statement
from exequatur_verifier.records import Kind, Link, Request
from exequatur_verifier.statement import Claims
from tests.issuer.house import NOW
from tests.issuer.http.service import AGENT_KEY, APPROVER, APPROVER_KEY, Service, problem
from tests.issuer.ledger import MemoryLog
from tests.support import world

BEARER = {"authorization": f"Bearer {APPROVER_KEY}"}
COSE = {"content-type": "application/cose"}
# Letters that look like others, a mark that turns the direction, a sequence for terminals.
ODD = {"type": "mcp.tool", "name": "p\u0430y", "resource": "\u202egnp.exe", "args": {"text": "\x1b[2Jhidden", "n": 1.5}}


class Queue:
    """What waits, by approver."""

    def __init__(self, waiting: dict[str, list[Pending]]) -> None:
        self.waiting = waiting

    def pending(self, approver: str) -> Sequence[Pending]:
        return self.waiting.get(approver, [])


def pending(descriptor: dict[str, Any] | Any = world.COMMAND, request: bytes = bytes(32)) -> Pending:
    return Pending(
        request, "urn:uuid:1", "urn:x:requester", "urn:x:runtime", {"ticket": 7}, bytes(16),
        action.encode(descriptor), NOW, 2, (APPROVER,),
    )  # fmt: skip


@pytest.fixture
def showing(service: Service) -> Service:
    """Return a service with a queue in which two requests wait for the approver, and one for another."""
    odd = pending(ODD | {"name": "pay", "resource": "x", "args": ODD["args"]}, b"\x01" * 32)
    queue = Queue({APPROVER: [pending(), odd], "urn:x:other": [pending(request=b"\x02" * 32)]})
    service.ports = service.ports._replace(approvals=queue)
    return service


def test_an_approver_sees_what_waits_for_it(showing: Service) -> None:
    """H-23"""
    response = showing.client.get("/approvals", headers=BEARER)
    assert response.headers["cache-control"] == "no-store"
    found = response.json()["approvals"]
    assert [one["request"] for one in found] == [bytes(32).hex(), "01" * 32]
    assert (found[0]["wanted"], found[0]["given"], found[0]["since"]) == (2, [APPROVER], NOW)
    assert found[0]["location"] == f"/approvals/{bytes(32).hex()}"


@pytest.mark.parametrize("path", ["/approvals", f"/approvals/{bytes(32).hex()}"])
def test_nobody_else_sees_it(showing: Service, path: str) -> None:
    """H-23"""
    assert problem(showing.client.get(path))[-4] == 401
    told = problem(showing.client.get(path, headers={"authorization": f"Bearer {AGENT_KEY}"}))
    assert (told[-4], told["code"]) == (403, "APPROVER_UNKNOWN")
    for name in ("02" * 32, "zz", "00"):
        assert problem(showing.client.get(f"/approvals/{name}", headers=BEARER))[-4] == 404


def test_what_is_shown_is_what_is_bound(showing: Service) -> None:
    """H-24"""
    for name, waits in ((bytes(32).hex(), pending()), ("01" * 32, None)):
        response = showing.client.get(f"/approvals/{name}", headers=BEARER)
        # Nothing that a terminal, a browser or an eye would take for something else.
        assert response.content.isascii()
        assert all(32 <= byte < 127 for byte in response.content)
        found = response.json()
        encoded = base64.urlsafe_b64decode(found["encoded"] + "==")
        salt = base64.urlsafe_b64decode(found["salt"] + "==")
        assert found["commitment"] == action.commitment(action.ACTION_TAG, salt, encoded).hex()
        assert found["action"] == as_json(action.decode(encoded))
        assert waits is None or encoded == waits.encoded
    assert found["action"]["args"] == ODD["args"]


def test_bytes_and_their_maps_are_shown_as_such() -> None:
    """H-24"""
    shown = as_json({"a": b"\xff", "b": [b"x", None, 1.5], "c": {b"k": 1}, "d": {}, "e": float("-inf")})
    assert shown == {
        "a": {"bytes": "_w"},
        "b": [{"bytes": "eA", "text": "x"}, None, 1.5],
        "c": {"entries": [[{"bytes": "aw", "text": "k"}, 1]]},
        "d": {},
        "e": {"number": "-inf"},
    }


def approval(service: Service) -> bytes:
    asked = service.house.asked()
    service.authorize(asked)
    request = statement.parse(asked.request)
    assert isinstance(request.record, Request)
    record = records.Approval((Link("request", request.id),), request.record.action.commitment, "once", 1)
    claims = Claims(APPROVER, request.claims.sub, NOW, bytes(16))._replace(exp=NOW + 60)
    return statement.sign(record, claims, world.signer("approver"))


def test_a_signed_approval_is_registered(service: Service) -> None:
    """H-25"""
    data = approval(service)
    response = service.client.post("/approvals", content=data, headers=COSE)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/cose"
    index = service.house.log.find(statement.parse(data).id)
    assert response.headers["location"] == f"/entries/{index}"
    again = service.client.post("/approvals", content=data, headers=COSE)
    assert (again.status_code, again.content) == (201, response.content)


def test_what_is_no_approval_is_not_registered(service: Service) -> None:
    """H-25"""
    count = len(service.records())
    for data in (b"", b"\xa0", service.house.asked().request):
        told = problem(service.client.post("/approvals", content=data, headers=COSE))
        assert (told[-4], told["code"]) == (422, "MALFORMED")
    assert service.client.post("/approvals", content=b"", headers={"content-type": "text/plain"}).status_code == 415
    assert len(service.records()) == count


def test_what_the_log_says_of_an_approval_is_the_answer(service: Service) -> None:
    """H-25"""
    data = approval(service)
    log = service.house.log
    assert isinstance(log, MemoryLog)
    log.refuse[Kind.APPROVAL] = Refusal("KIND_NOT_ENROLLED", "it may not approve")
    told = problem(service.client.post("/approvals", content=data, headers=COSE))
    assert (told[-4], told["code"]) == (403, "KIND_NOT_ENROLLED")
    log.refuse.clear()
    assert service.client.post("/approvals", content=data, headers=COSE).status_code == 201
    log.contrary = True
    told = problem(service.client.post("/approvals", content=data, headers=COSE))
    assert (told[-4], told["code"]) == (409, "CONFLICT")


def test_without_a_keeper_nothing_is_shown(service: Service) -> None:
    assert service.client.get("/approvals", headers=BEARER).status_code == 405
    assert service.client.get(f"/approvals/{bytes(32).hex()}", headers=BEARER).status_code == 404
