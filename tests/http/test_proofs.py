"""Batches, statements, fresh receipts, proofs and lookup over HTTP (specs/10 §2, §5)."""

from typing import Any

import cbor2
import pytest

from exequatur_log import tlog_proof
from exequatur_verifier import checkpoint, merkle, receipt, statement
from tests.http.conftest import Served
from tests.log import scene


def batch(served: Served, statements: Any) -> Any:
    body = cbor2.dumps(statements, canonical=True)
    return served.client.post("/entries/batch", content=body, headers={"content-type": "application/cbor"})


def test_a_batch_is_answered_one_by_one_in_order(served: Served) -> None:
    """S-05: a later statement may link an earlier one; one refusal stops no other."""
    policy = scene.policy()
    case = scene.Case(policy)
    sent = [policy, *case, b"noise", policy]
    answer = batch(served, sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    told = cbor2.loads(answer.content)
    assert [one["status"] for one in told] == [201] * 6 + [400, 201]
    for index, (data, one) in enumerate(zip(sent[:6], told, strict=False), 4):
        scene.check_receipt(one["receipt"], data, index)
        assert served.client.get(one["location"]).content == one["receipt"]
    assert told[6]["code"] == "MALFORMED"
    assert told[7] == told[0]


@pytest.mark.parametrize("value", [{}, "text", 1, [1], [b"", "text"], [b""] * 4097])
def test_what_is_no_batch_is_refused_whole(served: Served, value: Any) -> None:
    answer = batch(served, value)
    assert answer.status_code == 400
    assert b"\n4\n" in served.client.get("/checkpoint").content


def test_a_batch_is_one_deterministic_item(served: Served) -> None:
    body = b"\x98\x01" + cbor2.dumps(scene.request())
    answer = served.client.post("/entries/batch", content=body, headers={"content-type": "application/cbor"})
    assert answer.status_code == 400


def test_a_fresh_receipt_is_under_the_current_head(served: Served) -> None:
    data = scene.request()
    first = served.post(data)
    served.post(scene.request())
    fresh = served.client.get(first.headers["location"] + "/fresh")
    assert fresh.headers["cache-control"] == "no-store"
    assert scene.check_receipt(fresh.content, data, 4).inclusion.size == 6
    assert receipt.parse(first.content).inclusion.size == 5
    assert served.client.get("/entries/4/fresh").content == fresh.content
    assert served.client.get("/entries/6/fresh").status_code == 404


def test_proofs_lead_from_any_size_to_any_later_one(served: Served) -> None:
    """S-06."""
    roots: dict[int, bytes] = {}
    sent = []
    for _ in range(9):
        sent.append(scene.request())
        served.post(sent[-1])
        point = checkpoint.open(served.client.get("/checkpoint").content, (scene.KEYS.note_key,)).checkpoint
        roots[point.size] = point.root
    for older, root in roots.items():
        for newer in (size for size in roots if size >= older):
            size1, size2, path = cbor2.loads(served.client.get(f"/proofs/consistency?from={older}&to={newer}").content)
            assert (size1, size2) == (older, newer)
            merkle.check_consistency(older, newer, root, roots[newer], path)
    size, index, path = cbor2.loads(served.client.get("/proofs/inclusion?index=6&size=9").content)
    assert merkle.root_from_inclusion(index, size, statement.parse(sent[2]).leaf, path) == roots[9]


def test_a_tlog_proof_is_under_the_current_checkpoint(served: Served) -> None:
    data = scene.request()
    location = served.post(data).headers["location"]
    answer = served.client.get(f"{location}/tlog-proof")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    proof = tlog_proof.decode(answer.content)
    assert proof.note == served.client.get("/checkpoint").content
    assert tlog_proof.verify(proof, data, [scene.KEYS.note_key]).size == 5


@pytest.mark.parametrize(
    "query",
    [
        "consistency?from=0&to=4",
        "consistency?from=4&to=5",
        "consistency?from=5&to=4",
        "consistency?from=4",
        "consistency",
        "consistency?from=1&from=2&to=3",
        "consistency?from=-1&to=3",
        "consistency?from=1&to=9223372036854775808",
        "consistency?from=%C2%B2&to=4",
        "inclusion?index=4&size=4",
        "inclusion?index=0&size=5",
        "inclusion?index=x&size=1",
    ],
)
def test_a_proof_that_cannot_be_is_refused(served: Served, query: str) -> None:
    assert served.client.get(f"/proofs/{query}").status_code in {400, 404}


def test_lookup_finds_by_subject_kind_and_signer_and_says_how_far_it_looked(served: Served) -> None:
    """S-11."""
    policy = scene.policy()
    case = scene.Case(policy)
    batch(served, [policy, *case])
    found = served.client.get("/lookup", params={"sub": case.sub}).json()
    assert [one["kind"] for one in found["entries"]] == [
        "request", "decision", "authorization", "verification", "outcome",
    ]  # fmt: skip
    assert (found["complete_to"], found["size"]) == (10, 10)
    for one in found["entries"]:
        assert served.client.get(one["location"] + "/statement").status_code == 200
    signer = scene.AUTHORITY.public_key.thumbprint.hex()
    by_key = served.client.get("/lookup", params={"key": signer, "kind": "decision"}).json()
    assert [one["index"] for one in by_key["entries"]] == [6]
    part = served.client.get("/lookup", params={"sub": case.sub, "limit": 2}).json()
    assert [one["index"] for one in part["entries"]] == [5, 6]
    assert part["complete_to"] == 7
    rest = served.client.get("/lookup", params={"sub": case.sub, "start": part["complete_to"]}).json()
    assert [one["index"] for one in rest["entries"]] == [7, 8, 9]


def test_lookup_finds_by_issuer_and_time(served: Served) -> None:
    batch(served, [scene.request(iat=scene.NOW + offset) for offset in (-2, 0, 2)])

    def found(**params: str | int) -> list[int]:
        return [one["index"] for one in served.client.get("/lookup", params=params).json()["entries"]]

    issuer = scene.ISSUERS[scene.REQUESTER][0]
    assert found(iss=issuer) == [4, 5, 6]
    assert found(iss=issuer, since=scene.NOW) == [5, 6]
    assert found(iss=issuer, before=scene.NOW) == [4]
    assert found(iss=issuer, since=scene.NOW, before=scene.NOW + 2) == [5]
    assert found(iss=issuer + "x") == []


@pytest.mark.parametrize(
    "query", ["kind=nothing", "key=ab", "start=-1", "limit=0", "limit=257", "start=99999999999999999999"]
)
def test_a_lookup_that_is_none_is_refused(served: Served, query: str) -> None:
    assert served.client.get(f"/lookup?{query}").status_code == 422
