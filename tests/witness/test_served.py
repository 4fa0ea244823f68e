"""A served witness: c2sp.org/tlog-witness over HTTP, what auditors see, and what operators do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from exequatur_log.witness import wire
from exequatur_verifier import note
from tests.support.world import Log
from tests.witness import scene
from tests.witness.conftest import Serve, Served
from tests.witness.scene import FORK, LOG, NOW, STRANGER

NAME = scene.name_of(0)


def test_a_checkpoint_is_cosigned_over_http(served: Served) -> None:
    # W-09 W-12
    answer = served.add(0, 16)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert len(scene.cosigned(answer.content, 16, name=NAME)) == 2
    # As the specification's client does: the answer after the checkpoint is the cosigned checkpoint.
    assert len(note.parse(LOG.checkpoint(size=16) + answer.content).signatures) == 3


def test_every_refusal_has_its_status(served: Served) -> None:
    # W-10
    served.add(0, 16)
    conflict = served.add(3, 20)
    assert (conflict.status_code, conflict.content, conflict.headers["content-type"]) == (
        409,
        b"16\n",
        "text/x.tlog.size",
    )
    assert served.add(16, 20, FORK).status_code == 422
    assert served.add(0, 16, STRANGER).status_code == 404
    assert served.client.post("/add-checkpoint", content=b"noise").status_code == 400
    forged = scene.body(16, 20).replace(b"\n20\n", b"\n21\n")
    assert served.client.post("/add-checkpoint", content=forged).status_code == 403
    assert served.client.get("/add-checkpoint").status_code == 405
    assert served.client.post("/add-checkpoint/", content=scene.body(16, 20)).status_code == 404


def test_a_request_beyond_the_limit_is_not_read(served: Served) -> None:
    # W-10
    huge = b"old 0\n\n" + b"x" * wire.MAX_REQUEST
    assert served.client.post("/add-checkpoint", content=huge).status_code == 413
    assert served.client.post("/add-checkpoint", content=iter([huge[:9], huge[9:]])).status_code == 413
    assert served.add(0, 16).status_code == 200


def test_auditors_see_what_was_cosigned_last(served: Served) -> None:
    # W-19
    path = scene.monitored()
    assert served.client.get(path).status_code == 404
    lines = served.add(0, 16).content
    shown = served.client.get(path)
    assert shown.content == LOG.checkpoint(size=16) + lines
    assert shown.headers["content-type"] == "text/plain; charset=utf-8"
    for wrong in (path.upper(), path.replace("checkpoint", "other"), "/x/checkpoint", scene.monitored(STRANGER)):
        assert served.client.get(wrong).status_code == 404


def test_readiness_is_whether_it_would_cosign(served: Served) -> None:
    # W-20
    served.add(0, 16)
    assert served.client.get("/readyz").json() == {"ready": True}
    served.witness.clock.now -= 3600
    refused = served.client.get("/readyz")
    assert (refused.status_code, refused.json()) == (503, {"ready": False, "why": "UnfitError"})
    assert served.add(16, 20).status_code == 503
    assert served.client.get("/healthz").json() == {"alive": True}


def test_a_memory_that_is_gone_is_told_without_its_path(served: Served) -> None:
    # W-18 W-20
    served.add(0, 16)
    path = served.witness.memory.path
    aside = path.rename(path.with_name("aside.db"))
    answers = [served.add(16, 20), served.client.get("/readyz"), served.client.get(scene.monitored())]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert not any(path.name.encode() in answer.content for answer in answers)
    aside.rename(path)
    assert served.add(16, 20).status_code == 200


def test_metrics_say_what_was_cosigned_and_what_evidence_there_is(served: Served) -> None:
    served.add(0, 16)
    served.add(16, 16, FORK)
    text = served.client.get("/metrics").text
    assert f'exequatur_cosigned_size{{origin="{LOG.origin}"}} 16.0' in text
    assert f'exequatur_cosigned_timestamp_seconds{{origin="{LOG.origin}"}} {NOW:.1e}' in text
    assert f'exequatur_witness_evidence{{kind="fork",origin="{LOG.origin}"}} 1.0' in text
    assert 'exequatur_http_requests_total{route="WitnessRoutes.add_checkpoint",status="422"} 1.0' in text


def test_a_log_that_is_added_is_known_at_once(served: Served) -> None:
    assert served.add(0, 16, STRANGER).status_code == 404
    served.witness.memory.add_logs([STRANGER.vkey])
    assert served.add(0, 16, STRANGER).status_code == 200


def test_of_two_forks_at_once_one_alone_is_ever_cosigned(serve: Serve) -> None:
    # W-11
    served = serve()
    forks = [Log(LOG.origin, [*LOG.entries[:10], *(b"%d %d" % (fork, n) for n in range(30))]) for fork in range(2)]
    assert served.add(0, 10).status_code == 200
    barrier = threading.Barrier(8)

    def offer(worker: int) -> list[tuple[int, int, int]]:
        fork = worker % 2
        done = []
        with httpx2.Client(base_url=served.url, timeout=30) as client:
            barrier.wait(20)
            for size in range(11, 31):
                # From everywhere, the right size included: whoever comes first decides the branch.
                for old in (10, size - 1, size):
                    body = scene.body(old, size, forks[fork])
                    answer = client.post("/add-checkpoint", content=body)
                    assert answer.status_code in (200, 409, 422)
                    if answer.status_code == 200:
                        scene.cosigned(answer.content, size, forks[fork], NAME)
                        done.append((fork, size, answer.status_code))
        return done

    with ThreadPoolExecutor(8) as pool:
        cosigned = [one for found in pool.map(offer, range(8)) for one in found]
    assert len({fork for fork, _, _ in cosigned}) == 1
    assert {size for _, size, _ in cosigned} == set(range(11, 31))


def test_a_witness_that_is_stopped_answers_what_it_took(serve: Serve) -> None:
    served = serve()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.add, 0, 16)
        assert answer.result().status_code == 200
        served.stop()
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{served.url}/healthz")
