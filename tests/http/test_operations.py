"""Operating the served log: health, metrics, tokens, and an end that loses nothing (specs/10 §7, §8)."""

import threading
from hashlib import sha256

import httpx2

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.http.health import Settings
from exequatur_verifier import statement
from tests.http.conftest import Serve, Served
from tests.log import damage, scene


def test_a_served_log_is_alive_and_ready(served: Served) -> None:
    """S-13."""
    assert served.client.get("/healthz").json() == {"alive": True}
    ready = served.client.get("/readyz")
    assert (ready.status_code, ready.json()["size"]) == (200, 4)
    assert ready.headers["cache-control"] == "no-store"


def test_a_log_whose_head_is_not_validly_signed_is_not_ready(served: Served) -> None:
    """S-13."""
    damage.apply(served.path, damage.flip("head", "signature", "id = 1"))
    answer = served.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": "FatalLogError"})
    assert served.client.get("/healthz").status_code == 200


def test_a_log_that_has_stopped_answers_nothing_more_and_says_so(served: Served) -> None:
    """S-13: somebody put another history beneath the server."""
    assert served.post(scene.request()).status_code == 201
    damage.apply(served.path, damage.forged_head)
    answer = served.post(scene.request())
    assert answer.status_code == 503
    assert served.path.name.encode() not in answer.content
    assert served.client.get("/readyz").status_code == 503


def test_metrics_count_requests_and_every_stage(served: Served) -> None:
    served.post(scene.request())
    served.post(b"noise")
    text = served.client.get("/metrics").text
    assert 'exequatur_http_requests_total{route="Scrapi.register",status="201"} 1.0' in text
    assert 'exequatur_http_requests_total{route="Scrapi.register",status="400"} 1.0' in text
    for stage, count in (("check", 2), ("commit", 2), ("sign", 1)):
        assert f'exequatur_stage_statements_total{{stage="{stage}"}} {count}.0' in text
    assert "exequatur_head_size 5.0" in text
    assert "exequatur_queue_statements 0.0" in text


def test_metrics_are_for_operators_where_there_are_tokens(serve: Serve) -> None:
    """S-14."""
    served = serve(settings=Settings(frozenset((sha256(b"the token").digest(), sha256(b"another").digest()))))
    assert served.client.get("/metrics", headers={"authorization": "Bearer the token"}).status_code == 200
    for given in (
        {},
        {"authorization": "Bearer the tokem"},
        {"authorization": "Basic the token"},
        {"authorization": ""},
    ):
        answer = served.client.get("/metrics", headers=given)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert served.client.get("/healthz").status_code == 200


def test_the_openapi_document_describes_lookup(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/lookup" in document["paths"]


def test_stopping_under_load_answers_all_that_was_taken_and_loses_nothing(serve: Serve) -> None:
    """S-15."""
    served = serve()
    answered: list[tuple[bytes, bytes]] = []
    stopping = threading.Event()

    def load() -> None:
        with httpx2.Client(base_url=served.url, timeout=20) as client:
            while True:
                data = scene.request()
                try:
                    answer = client.post("/entries", content=data, headers={"content-type": "application/cose"})
                except httpx2.TransportError:
                    # Only once it was told to stop, and only what it had not taken.
                    assert stopping.is_set()
                    return
                assert answer.status_code == 201
                answered.append((data, answer.content))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answered) < 40:
        stopping.wait(0.01)
    stopping.set()
    served.stop()
    for thread in threads:
        thread.join(20)
    with BlockingLog.open(served.path) as log:
        for data, receipt in answered:
            entry = log.get(statement.parse(data).id)
            assert log.receipt(entry.leaf_index) == receipt
    assert check_file(served.path) == []
