"""SCRAPI over HTTP, by its clauses (specs/10 §1, §3)."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cbor2
import pytest

from exequatur_log.blocking import check_file
from exequatur_log.errors import Code
from exequatur_verifier import cose, statement
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.statement import MAX_STATEMENT
from tests.http.conftest import Serve, Served
from tests.log import scene
from tests.oracles.test_oracles import ask, pem

PROBLEM = "application/concise-problem-details+cbor"


def problem(answer: Any) -> dict[int, Any]:
    assert answer.headers["content-type"] == PROBLEM
    body: dict[int, Any] = cbor2.loads(answer.content)
    assert {-1, -2} <= body.keys()
    assert body[-4] == answer.status_code
    return body


def test_a_statement_is_answered_with_its_receipt_and_location(served: Served) -> None:
    """S-01."""
    data = scene.request()
    answer = served.post(data)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/cose"
    assert answer.headers["exequatur-ack"] == "durable"
    assert answer.headers["location"] == f"/entries/{statement.parse(data).id.hex()}"
    scene.check_receipt(answer.content, data, 4)
    found = served.client.get(answer.headers["location"])
    assert (found.status_code, found.content) == (200, answer.content)
    assert "immutable" in found.headers["cache-control"]
    assert served.client.get("/entries/4").content == answer.content


def test_every_entry_that_is_sent_again_is_answered_with_the_same_bytes(served: Served) -> None:
    """S-02: the first of the log included, whoever sends it."""
    served.post(scene.request())
    for index in range(5):
        data = served.client.get(f"/entries/{index}/statement").content
        first = served.client.get(f"/entries/{index}").content
        again = served.post(data)
        assert (again.status_code, again.content) == (201, first)
        assert again.headers["location"] == f"/entries/{statement.parse(data).id.hex()}"
    assert b"\n5\n" in served.client.get("/checkpoint").content


def test_who_prefers_to_come_back_finds_the_receipt_at_the_location(served: Served) -> None:
    """S-03."""
    data = scene.request()
    answer = served.post(data, prefer="respond-async")
    assert (answer.status_code, answer.content) == (202, b"")
    for _ in range(200):
        found = served.client.get(answer.headers["location"])
        if found.status_code == 200:
            break
        assert found.status_code == 204
        assert found.headers["retry-after"]
        assert found.headers["cache-control"] == "no-store"
        time.sleep(0.01)
    scene.check_receipt(found.content, data, 4)


def test_who_comes_back_for_a_refused_statement_is_told_so(served: Served) -> None:
    """S-03."""
    answer = served.post(scene.request(iss="urn:scene:somebody"), prefer="respond-async")
    assert answer.status_code == 202
    for _ in range(200):
        found = served.client.get(answer.headers["location"])
        if found.status_code == 404:
            break
        assert found.status_code == 204
        time.sleep(0.01)
    assert problem(found)[-1] == "Registration Failed"
    assert found.headers["exequatur-code"] == Code.ISSUER_MISMATCH


def test_so_many_that_prefer_to_come_back_are_taken_and_no_more(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exequatur_log.http.scrapi.MAX_WAITING", 0)
    answer = served.post(scene.request(), prefer="respond-async")
    assert (answer.status_code, answer.headers["exequatur-code"]) == (429, Code.BUSY)
    assert answer.headers["retry-after"] == "1"
    assert served.post(scene.request()).status_code == 201


def _unsigned() -> bytes:
    data = bytearray(scene.request())
    data[-1] ^= 1
    return bytes(data)


def _without_payload() -> bytes:
    message = cose.decode(scene.request())
    return cose.assemble(message.protected, None, message.signature)


def _of_algorithm(number: int) -> bytes:
    message = cose.decode(scene.request())
    protected = cbor2.dumps({**message.headers, 1: number}, canonical=True)
    return cose.assemble(protected, message.payload, message.signature)


@pytest.mark.parametrize(
    ("data", "title", "code"),
    [
        (b"", "Malformed request", Code.MALFORMED),
        (b"noise", "Malformed request", Code.MALFORMED),
        (_unsigned(), "Rejected", Code.SIGNATURE_INVALID),
        (_without_payload(), "Payload Missing", Code.MALFORMED),
        (_of_algorithm(-257), "Bad Signature Algorithm", Code.UNSUPPORTED),
        (scene.request(iss="urn:scene:somebody"), "Rejected", Code.ISSUER_MISMATCH),
        (scene.request(iat=scene.NOW + 10_000), "Rejected", Code.SKEW),
    ],
    ids=["empty", "noise", "signature", "payload", "algorithm", "issuer", "skew"],
)
def test_a_refusal_has_scrapi_s_title_and_the_log_s_code(served: Served, data: bytes, title: str, code: Code) -> None:
    """S-08."""
    answer = served.post(data)
    assert answer.status_code == 400
    assert problem(answer)[-1] == title
    assert answer.headers["exequatur-code"] == code
    assert answer.headers["cache-control"] == "no-store"


def test_a_record_under_other_signature_bytes_is_a_conflict_that_says_where(served: Served) -> None:
    """S-08."""
    data = scene.request()
    served.post(data)
    message = cose.decode(data)
    r, s = message.signature[:32], int.from_bytes(message.signature[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = cose.assemble(message.protected, message.payload, r + (order - s).to_bytes(32, "big"))
    answer = served.post(other)
    assert (answer.status_code, problem(answer)[-1]) == (409, "Conflict")
    standing = served.client.get(answer.headers["location"] + "/statement").content
    assert standing == data


@pytest.mark.parametrize("media_type", ["application/cbor", "text/plain", ""])
def test_another_media_type_is_refused(served: Served, media_type: str) -> None:
    """S-09."""
    answer = served.post(scene.request(), **{"content-type": media_type})
    assert answer.status_code == 415
    problem(answer)
    assert served.post(scene.request(), **{"content-type": "application/cose; charset=x"}).status_code == 201


def test_a_body_beyond_the_limit_is_refused_declared_or_not(served: Served) -> None:
    """S-09."""
    declared = served.post(bytes(MAX_STATEMENT + 1))
    assert declared.status_code == 413
    problem(declared)

    def chunks() -> Any:
        for _ in range(70):
            yield bytes(1000)

    streamed = served.client.post("/entries", content=chunks(), headers={"content-type": "application/cose"})
    assert streamed.status_code == 413
    assert served.post(bytes(MAX_STATEMENT)).status_code == 400


@pytest.mark.parametrize("seconds", ["0.0000001", "0", "-1", "nan", "inf", "soon", "3601"])
def test_a_deadline_that_cannot_be_met_or_is_none_is_refused_at_once(served: Served, seconds: str) -> None:
    """S-07."""
    answer = served.post(scene.request(), **{"exequatur-deadline": seconds})
    if seconds == "0.0000001":
        assert (answer.status_code, problem(answer)[-1]) == (429, "Too Many Requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["exequatur-code"] == Code.BUSY
    else:
        assert answer.status_code == 400
    assert served.post(scene.request(), **{"exequatur-deadline": "5"}).status_code == 201


def test_an_ack_level_that_is_not_offered_is_refused(served: Served) -> None:
    assert served.post(scene.request(), **{"exequatur-ack": "witnessed"}).status_code == 400
    assert served.post(scene.request(), **{"exequatur-ack": "durable"}).status_code == 201


@pytest.mark.parametrize("name", ["5", "00", "-1", "1" * 30, "ab", "AB" * 32, "ab" * 32, "ab" * 31, "%00"])
def test_an_entry_that_is_not_here_is_not_found(served: Served, name: str) -> None:
    answer = served.client.get(f"/entries/{name}")
    assert answer.status_code == 404
    assert problem(answer)[-1] == "Not Found"


def test_keys_are_served_as_a_set_and_one_by_one(served: Served) -> None:
    """S-04."""
    answer = served.client.get("/.well-known/scitt-keys", headers={"accept": "application/cbor"})
    assert answer.headers["content-type"] == "application/cbor"
    (key,) = cbor2.loads(answer.content)
    kid = key.pop(2)
    assert PublicKey(key) == scene.KEYS.receipt.public_key
    assert kid == scene.KEYS.receipt.public_key.thumbprint
    name = base64.urlsafe_b64encode(kid).rstrip(b"=").decode()
    one = served.client.get(f"/.well-known/scitt-keys/{name}")
    assert cbor2.loads(one.content) == {**key, 2: kid}
    for other in (name[:-1] + ("A" if name[-1] != "A" else "E"), name + "=", name[:-1], "x" * 43):
        missing = served.client.get(f"/.well-known/scitt-keys/{other}")
        assert (missing.status_code, problem(missing)[-1]) == (404, "No such key")


def test_retired_keys_are_served_on(serve: Serve) -> None:
    """S-04: those in force come first."""
    from tests.log.test_rotation import SECOND, rotate

    first = serve()
    early = first.post(scene.request())
    first.stop()
    rotate(first.path, scene.KEYS, SECOND)
    second = serve(first.path, keys=SECOND)
    kids = [key[2] for key in cbor2.loads(second.client.get("/.well-known/scitt-keys").content)]
    assert kids == [SECOND.receipt.public_key.thumbprint, scene.KEYS.receipt.public_key.thumbprint]
    assert second.client.get(early.headers["location"]).content == early.content


def test_a_foreign_verifier_accepts_a_receipt_taken_over_http(served: Served) -> None:
    data = scene.request()
    receipt = served.post(data).content
    message = cose.decode(data)
    transparent = cose.assemble(
        message.protected, message.payload, message.signature, cbor2.dumps({394: [receipt]}, canonical=True)
    )
    request = {
        "transparent": transparent.hex(),
        "entry": data.hex(),
        "statement_key": pem(scene.REQUESTER),
        "log_key": pem(scene.KEYS.receipt),  # type: ignore[arg-type]  # the scene's signers are local
    }
    flipped = {**request, "entry": (data[:-1] + bytes((data[-1] ^ 1,))).hex()}
    good, bad = ask("scitt-cose", "judge.py", [request, flipped])
    assert good["statement"]["signature_verified"]
    assert [one["receipts"][0]["bytes"]["ok"] for one in (good, bad)] == [True, False]


def test_many_clients_at_once_get_one_index_each(served: Served) -> None:
    """S-02: also when two send the same statement."""
    sent = [scene.request() for _ in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(served.post, sent + sent))
    assert {answer.status_code for answer in answers} == {201}
    assert [answer.content for answer in answers[:60]] == [answer.content for answer in answers[60:]]
    indices = [scene.check_receipt_of(answer.content, data) for answer, data in zip(answers[:60], sent, strict=True)]
    assert sorted(indices) == list(range(4, 64))
    served.stop()
    assert check_file(served.path) == []


def test_a_quota_is_each_key_s_own_and_never_stands_between_a_retry_and_its_receipt(serve: Serve) -> None:
    """S-12."""
    from exequatur_log.quota import Rate

    served = serve(rate=Rate(0.001, 2))
    sent = [scene.request() for _ in range(3)]
    answers = [served.post(data) for data in sent]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[2].headers["retry-after"]) > 60
    again = served.post(sent[0])
    assert (again.status_code, again.content) == (201, answers[0].content)
    other = scene.policy()
    assert served.post(other).status_code == 201
