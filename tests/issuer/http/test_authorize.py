"""``POST /authorize`` and ``/plan``: bundles, signed denials, waits, and refusals without a decision."""

import logging
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.answer import Answerer
from exequatur_issuer.asked import Asked
from exequatur_issuer.http import asked as forms
from exequatur_issuer.http.asked import Form, Runtime
from exequatur_issuer.http.office import Office
from exequatur_issuer.http.problems import DENIAL
from exequatur_issuer.journal import JournalError
from exequatur_issuer.log import LogUnavailableError, Refusal
from exequatur_issuer.modes import BREAK_GLASS, Mode, claims_of
from exequatur_verifier import action, bundle, cbor, receipt, statement
from exequatur_verifier.records import Decision, Head, Kind, Request
from tests.issuer.delegating import Delegating, rules
from tests.issuer.house import NOW, RUNTIME, House, with_rules
from tests.issuer.http.service import AGENT_KEY, CBOR, SETTINGS, TOOLS, Make, Service, call, form_of, problem
from tests.issuer.ledger import MemoryLog
from tests.support import world
from tests.test_cddl import fits

FORBIDDEN = {**world.COMMAND, "name": b"/usr/bin/shred"}
BEARER = {"authorization": f"Bearer {AGENT_KEY}"}


def test_an_allowed_request_is_answered_with_its_bundle(service: Service) -> None:
    """H-01 H-03"""
    response = service.authorize(service.house.asked())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/vnd.exequatur.bundle+cbor"
    artifact, _ = statement.parse_transparent(bundle.decode(response.content).artifact)
    assert response.headers["location"] == f"/entries/{artifact.id.hex()}"
    assert service.house.verify(response.content).code is None
    assert service.records()[-3:] == [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION]


def test_a_request_that_is_sent_again_has_the_same_answer(service: Service) -> None:
    """H-03"""
    asked = service.house.asked()
    first = service.authorize(asked)
    count = len(service.records())
    assert service.authorize(asked).content == first.content
    assert len(service.records()) == count


def test_a_denial_is_signed_logged_and_explained(service: Service) -> None:
    """H-04"""
    asked = service.house.asked(FORBIDDEN)
    response = service.authorize(asked)
    assert response.status_code == 403
    told = problem(response)
    assert told["code"] == "POLICY_FORBID"
    denial = told[DENIAL]
    decision = statement.parse(denial["decision"])
    statement.verify(decision, world.signer("authority").public_key)
    assert isinstance(decision.record, Decision)
    assert (decision.record.outcome, denial["code"]) == ("deny", "POLICY_FORBID")
    assert denial["policies"] == ["forbid-shred"]
    assert denial["explanation"][0].startswith("forbid forbid-shred: What shred overwrites")
    assert denial["near"] == ["permit permit-every-command applies, and is overruled"]
    shown = receipt.parse(denial["receipt"])
    index = service.house.log.find(decision.id)
    assert (shown.origin, shown.inclusion.leaf_index) == (service.house.log.origin, index)
    assert denial["request"] in {one.id for one in service.house.logged(decision.claims.sub)}
    # Sent again, it is denied with the very same statement and receipt.
    assert problem(service.authorize(asked)) == told


def test_what_nobody_permits_says_so(service: Service) -> None:
    """H-04"""
    service.house.policy = service.house.publish(with_rules("// nothing is permitted\n"))
    told = problem(service.authorize(service.house.asked()))
    assert (told[-4], told["code"]) == (403, "POLICY_DEFAULT_DENY")
    assert told[DENIAL]["explanation"] == ["No policy permits this."]
    assert told[DENIAL]["policies"] == told[DENIAL]["near"] == []


def test_a_request_that_needs_approvals_waits(service: Service) -> None:
    """H-05"""
    rule = '@id("two") @require_approval("2")\npermit (principal, action, resource);'
    service.house.policy = service.house.publish(with_rules(rule))
    response = service.authorize(service.house.asked())
    assert response.status_code == 202
    told = cbor.decode_map(response.content)
    assert response.headers["location"] == f"/approvals/{told['request'].hex()}"
    decision = statement.parse(told["decision"])
    assert isinstance(decision.record, Decision)
    assert decision.record.outcome == "needs-approval"
    assert told["policies"] == ["two"]
    assert receipt.parse(told["receipt"]).origin == service.house.log.origin


def test_a_mode_that_needs_approvals_waits_where_policy_denies(service: Service) -> None:
    """H-05 A-66"""
    service.house.settings = {"modes": {BREAK_GLASS: Mode(("process.exec",), approvals=1)}}
    asked = service.house.asked(FORBIDDEN, claims=claims_of(BREAK_GLASS, "the disk is full"))
    assert service.authorize(asked).status_code == 202
    service.house.approve(asked)
    assert service.authorize(asked).status_code == 200
    other = problem(service.authorize(service.house.asked(FORBIDDEN, claims=claims_of("observe", "x"))))
    assert (other[-4], other["code"]) == (403, "MODE_NOT_PERMITTED")


def test_what_waited_for_too_long_is_refused(service: Service) -> None:
    """H-05"""
    rule = '@id("one") @require_approval("1")\npermit (principal, action, resource);'
    service.house.policy = service.house.publish(with_rules(rule))
    asked = service.house.asked()
    assert service.authorize(asked).status_code == 202
    service.now += 8 * 86_400
    late = problem(service.authorize(asked))
    assert (late[-4], late["code"]) == (409, "EXPIRED")


def test_a_holder_asks_under_its_grant(tmp_path: Path, make: Make) -> None:
    """H-03 H-06 A-61"""
    service = make(House(tmp_path, MemoryLog(), rules()))
    delegating = Delegating(service.house)
    held = delegating.grant(ttl=60)
    asked = delegating.asked(world.COMMAND, held)
    assert service.post("/plan", form_of(asked)).json()["ttl"] == 60
    assert service.authorize(asked).status_code == 200
    outside = delegating.asked({**world.COMMAND, "name": b"/bin/rm"}, held)
    for path in ("/plan", "/authorize"):
        refused = problem(service.post(path, form_of(outside)))
        assert (refused[-4], refused["code"]) == (403, "DELEGATION_INVALID")
    # Policy is laid open to nobody under a name that is not theirs.
    named = delegating.asked(world.COMMAND, held, iss="urn:exequatur:requester:other")
    assert problem(service.post("/plan", form_of(named)))["code"] == "ISSUER_MISMATCH"


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("another action", {"descriptor": {**world.COMMAND, "uid": 7}}, 422, "ACTION_MISMATCH"),
    ("another salt", {"salt": bytes(16)}, 422, "ACTION_MISMATCH"),
    ("no uses", {"uses": 0}, 422, "MALFORMED"),
    ("no statement", {"request": b"\xa0"}, 422, "MALFORMED"),
    ("unknown facts", {"facts": {"colour": "red"}}, 422, "MALFORMED"),
    ("an unknown runtime", {"runtime": Runtime("urn:exequatur:runtime:other")}, 403, "RUNTIME_UNKNOWN"),
    ("another key", {"runtime": Runtime(RUNTIME.id, b"\xa0")}, 403, "RUNTIME_UNKNOWN"),
]


@pytest.mark.parametrize("path", ["/authorize", "/plan"])
@pytest.mark.parametrize(("what", "changes", "status", "code"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_does_not_fit_is_refused_and_nothing_is_logged(
    service: Service, path: str, what: str, changes: dict[str, Any], status: int, code: str
) -> None:
    """H-07 H-02"""
    form = form_of(service.house.asked())
    assert service.post(path, form).status_code == 200
    count = len(service.records())
    told = problem(service.post(path, form_of(service.house.asked(), **changes)))
    assert (told[-4], told["code"]) == (status, code)
    assert len(service.records()) == count


def test_a_key_and_heads_of_the_runtime_may_come_along_or_not(service: Service) -> None:
    """H-02"""
    head = Head(service.house.log.origin, 2, bytes(32))
    for runtime in (Runtime(RUNTIME.id), Runtime(RUNTIME.id, RUNTIME.key)):
        assert service.post("/authorize", form_of(service.house.asked(), runtime=runtime)).status_code == 200
    # A head that the log never had: it contradicts itself, or the runtime; either way nothing is given out.
    lied = form_of(service.house.asked(), runtime=Runtime(RUNTIME.id, heads=(head,)))
    assert problem(service.post("/authorize", lied))[-4] == 503


@pytest.mark.parametrize(
    ("code", "status"), [("UNKNOWN_KEY", 403), ("SIGNATURE_INVALID", 403), ("SKEW", 422), ("TOO_LARGE", 422)]
)
def test_what_the_log_refuses_has_the_logs_code(service: Service, code: str, status: int) -> None:
    """H-07"""
    log = service.house.log
    assert isinstance(log, MemoryLog)
    log.refuse[Kind.REQUEST] = Refusal(code, "so it says")
    told = problem(service.authorize(service.house.asked()))
    assert (told[-4], told["code"]) == (status, code)
    assert "so it says" in told[-2]


def test_a_second_answer_of_another_kind_is_a_conflict(service: Service) -> None:
    """H-07"""
    asked = service.house.asked()
    assert service.authorize(asked).status_code == 200
    told = problem(service.post("/authorize", form_of(asked, facts={"host": "elsewhere"})))
    assert (told[-4], told["code"]) == (409, "CONFLICT")
    service.now = NOW + 3600
    told = problem(service.authorize(asked))
    assert (told[-4], told["code"]) == (409, "EXPIRED")


@pytest.mark.parametrize("error", [LogUnavailableError("/srv/log.db is away"), JournalError("/srv/x"), OSError("/srv")])
def test_what_is_away_is_away_for_now_and_said_to_the_journal_only(
    service: Service, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H-08"""

    def fail(*_: object) -> None:
        raise error

    asked = service.house.asked()
    monkeypatch.setattr(Answerer, "answer", fail)
    with caplog.at_level(logging.INFO, "exequatur.authority"):
        response = service.authorize(asked)
    told = problem(response)
    assert (told[-4], told["code"], response.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    assert "/srv" not in told[-2]
    assert any("/srv" in str(getattr(record, "why", "")) for record in caplog.records)
    monkeypatch.undo()
    assert service.authorize(asked).status_code == 200


def test_a_bug_is_told_as_one_and_ends_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H-08"""
    monkeypatch.setattr(Office, "answer", lambda *_: 1 / 0)
    told = problem(service.authorize(service.house.asked()))
    assert (told[-4], told["code"]) == (500, "INTERNAL_ERROR")
    assert "division" not in told[-2]
    assert "unforeseen" in caplog.text
    monkeypatch.undo()
    assert service.authorize(service.house.asked()).status_code == 200


MALFORMED = [
    b"",
    b"\xa0",
    b"not CBOR",
    cbor.encode({"v": 2}),
    cbor.encode({"v": 1, "request": b"", "salt": bytes(16), "descriptor": b"\xa0", "runtime": {"id": "x"}}),
    cbor.encode({"v": 1, "request": b"", "salt": bytes(15), "descriptor": b"\xa0", "runtime": {"id": "x"}}),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_what_is_no_request_of_this_service_is_malformed(service: Service, data: bytes) -> None:
    """H-01"""
    told = problem(service.post("/authorize", data))
    assert (told[-4], told["code"]) == (400, "MALFORMED")


def test_every_field_of_what_is_posted_is_known_and_written_once(service: Service) -> None:
    """H-01"""
    form = form_of(service.house.asked(), ttl=60, uses=1)
    data = forms.encode(form)
    assert forms.decode(data) == form
    for flipped in (
        cbor.encode({**cbor.decode_map(data), "x": 1}),
        cbor.encode({**cbor.decode_map(data), "v": 2}),
        data + b"\x00",
        data[:-1],
    ):
        assert service.post("/authorize", flipped).status_code == 400
    assert service.post("/authorize", data).status_code == 200


def test_a_body_has_a_type_and_a_limit(service: Service) -> None:
    """H-01"""
    form = forms.encode(form_of(service.house.asked()))
    assert service.post("/authorize", form, **{"content-type": "application/cbor"}).status_code == 415
    too_much = b"\x00" * (forms.MAX_ASKED + 1)
    assert service.post("/authorize", too_much).status_code == 413
    chunks = service.client.post("/authorize", content=iter([too_much[:10], too_much]), headers=CBOR)
    assert chunks.status_code == 413
    assert service.client.get("/authorize").status_code == 405
    assert problem(service.client.get("/authorise"))[-4] == 404


def test_a_plan_is_what_would_be_decided_and_leaves_nothing_behind(service: Service) -> None:
    """H-06"""
    asked = service.house.asked()
    count = len(service.records())
    response = service.post("/plan", form_of(asked, ttl=60))
    plan = response.json()
    request = statement.parse(asked.request)
    assert isinstance(request.record, Request)
    assert plan["commitment"] == request.record.action.commitment.hex()
    committed = action.commitment(action.ACTION_TAG, asked.salt, action.encode(asked.descriptor))
    assert plan["commitment"] == committed.hex()
    assert (plan["outcome"], plan["code"], plan["policies"]) == ("allow", None, ["permit-every-command"])
    assert (plan["ttl"], plan["uses"], plan["approvals"], plan["now"]) == (60, 1, 0, NOW)
    assert (plan["epoch"], plan["policy"]) == (1, service.house.policy.statement.id.hex())
    assert len(service.records()) == count
    assert service.house.journal.find(request.id) is None
    assert not (service.house.folder / "content" / committed.hex()[:2] / committed.hex()[2:]).exists()
    denied = service.post("/plan", form_of(service.house.asked(FORBIDDEN))).json()
    assert (denied["outcome"], denied["code"], denied["ttl"]) == ("deny", "POLICY_FORBID", None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (None, "UNKNOWN_KEY"),
        ({"kinds": ()}, "ACTION_NOT_ENROLLED"),
        ({"actions": ("mcp.tool",)}, "ACTION_NOT_ENROLLED"),
        ({"iss": "urn:exequatur:requester:other"}, "ISSUER_MISMATCH"),
        ({"key": cbor.decode_map(world.signer("other").public_key.encoded)}, "SIGNATURE_INVALID"),
    ],
)
def test_a_plan_is_for_requests_that_could_be_registered(
    service: Service, changes: dict[str, Any] | None, code: str
) -> None:
    """H-06: policy is not laid open to whoever makes up a key."""
    form = form_of(service.house.asked())
    found = service.ports.enrolment(statement.parse(form.request).key_id)
    assert found is not None
    told = None if changes is None else found._replace(**changes)
    service.ports = service.ports._replace(enrolment=lambda _: told)
    refused = problem(service.post("/plan", form))
    assert (refused[-4], refused["code"]) == (403, code)


def named(house: House, user: str | None = "alice") -> Asked:
    return house.asked(call(), {}, claims=None if user is None else {"user": user})


def test_a_user_whom_a_request_names_is_proven_beside_it(tools: Service) -> None:
    """H-15"""
    for path in ("/authorize", "/plan"):
        told = problem(tools.post(path, form_of(named(tools.house))))
        assert (told[-4], told["code"]) == (401, "SUBJECT_UNPROVEN")
        told = problem(tools.post(path, form_of(named(tools.house)), authorization="Bearer not-a-key-of-anybody"))
        assert (told[-4], told["code"]) == (401, "CREDENTIAL_INVALID")
        assert tools.post(path, form_of(named(tools.house)), **BEARER).status_code == 200
    assert tools.authorize(named(tools.house, None)).status_code == 200


def test_a_credential_speaks_for_its_own_requester_and_users(tmp_path: Path, make: Make) -> None:
    """H-15"""
    house = House(tmp_path, MemoryLog(), TOOLS)
    other = make(house, SETTINGS.replace('"user:*"', '"user:bo*"'))
    told = problem(other.authorize(named(house), **BEARER))
    assert (told[-4], told["code"]) == (403, "SUBJECT_MISMATCH")
    assert other.authorize(named(house, "bob"), **BEARER).status_code == 200
    renamed = make(house, SETTINGS.replace('requester = "urn:exequatur:requester:test"', 'requester = "urn:x:y"'))
    told = problem(renamed.authorize(named(house), **BEARER))
    assert (told[-4], told["code"]) == (403, "SUBJECT_MISMATCH")


def test_an_authority_without_a_policy_is_unavailable_and_tries_again(service: Service) -> None:
    """H-08"""
    asked = service.house.asked()
    broken = service.ports.authority
    calls = []

    def fail(now: int) -> Any:
        calls.append(now)
        if len(calls) == 1:
            raise JournalError("no policy yet")
        return broken(now)

    service.ports = service.ports._replace(authority=fail)
    assert service.authorize(asked).status_code == 503
    assert service.authorize(asked).status_code == 200


def test_all_work_is_done_in_one_thread(service: Service) -> None:
    """H-08"""
    for _ in range(3):
        service.authorize(service.house.asked())
    assert len(service.threads) == 1


def test_requests_are_counted_by_route_and_code(service: Service) -> None:
    service.authorize(service.house.asked())
    service.authorize(service.house.asked(FORBIDDEN))
    service.client.get("/nothing")
    assert service.counted == [
        ("Authorize.authorize", 200, None),
        ("Authorize.authorize", 403, "POLICY_FORBID"),
        ("none", 404, None),
    ]


def test_forms_are_of_the_kernels_types() -> None:
    form = Form(b"r", bytes(16), call(n=1.5), Runtime("x", b"k", (Head("o", 1, bytes(32)),)), {"host": "h"}, 1, 2)
    assert forms.decode(forms.encode(form)) == form


def test_what_is_sent_either_way_is_as_its_rules_say(service: Service) -> None:
    """H-01 H-04 H-05: against records.cddl."""
    head = Head("o", 1, bytes(32))
    least = forms.encode(form_of(service.house.asked(), facts={}, runtime=Runtime(RUNTIME.id)))
    most = forms.encode(
        form_of(service.house.asked(), runtime=Runtime(RUNTIME.id, RUNTIME.key, (head,)), ttl=1, uses=1)
    )
    for data in (least, most):
        assert fits(data, "asked")
        assert not fits(cbor.encode({**cbor.decode_map(data), "x": 1}), "asked")
    for response in (service.authorize(service.house.asked(FORBIDDEN)), service.post("/authorize", b"")):
        assert fits(response.content, "problem")
        assert not fits(cbor.encode({**cbor.decode_map(response.content), -2: 7}), "problem")
    service.house.policy = service.house.publish(
        with_rules('@require_approval("1") permit (principal, action, resource);')
    )
    fresh = Service(service.house)
    waiting = fresh.authorize(service.house.asked())
    fresh.close()
    assert waiting.status_code == 202
    assert fits(waiting.content, "pending")
