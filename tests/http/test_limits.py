"""What the service refuses to wait for and to keep: full queues, bodies and heads that do not end (specs/10)."""

import asyncio
import socket
import threading
import time

import cbor2
import pytest

from exequatur_log.errors import Code, Refused
from exequatur_log.log import Log
from exequatur_log.sequencer import MAX_WAITING
from tests.http.conftest import Served
from tests.log import scene

CBOR = {"content-type": "application/cbor"}


def connected(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 20)


RESET = b"(reset)"


def said(connection: socket.socket) -> bytes:
    """Return everything that is said until the connection is closed, or reset because it still sends then."""
    heard = b""
    try:
        while piece := connection.recv(1 << 16):
            heard += piece
    except ConnectionResetError:
        heard += RESET
    return heard


def batch(count: int = 3) -> bytes:
    return cbor2.dumps([scene.request() for _ in range(count)])


def test_a_full_queue_pushes_back_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-26: one statement and many, and a batch as a whole."""
    monkeypatch.setattr("exequatur_log.sequencer.MAX_WAITING", 2)
    assert served.post(scene.request()).status_code == 201
    pushed = served.client.post("/entries/batch", content=batch(), headers=CBOR)
    assert (pushed.status_code, pushed.headers["exequatur-code"]) == (429, Code.BUSY)
    assert int(pushed.headers["retry-after"]) >= 1
    assert served.client.post("/entries/batch", content=batch(2), headers=CBOR).status_code == 200
    monkeypatch.setattr("exequatur_log.sequencer.MAX_WAITING", 0)
    alone = served.post(scene.request())
    assert (alone.status_code, alone.headers["exequatur-code"]) == (429, Code.BUSY)
    assert int(alone.headers["retry-after"]) >= 1
    assert b"\n7\n" in served.client.get("/checkpoint").content
    metrics = served.client.get("/metrics").text
    assert 'exequatur_http_refusals_total{code="BUSY"} 2.0' in metrics
    assert 'exequatur_stage_statements_total{stage="wait"} 3.0' in metrics


def test_a_batch_beyond_a_queue_that_is_really_full_is_refused_while_others_wait(served: Served) -> None:
    """S-26: by the log itself, whose queue other callers have filled."""

    async def overload(log: Log) -> list[object]:
        waiting = [asyncio.create_task(log.register_many([b""] * 4096)) for _ in range(MAX_WAITING // 4096)]
        await asyncio.sleep(0)
        refused: list[object] = []
        try:
            await log.register_many([scene.request()], waits=False)
        except Refused as busy:
            refused.append(busy.code)
        await asyncio.gather(*waiting)
        return refused

    async def run() -> list[object]:
        async with await Log.open(served.path, scene.KEYS, clock=lambda: scene.NOW) as log:
            return await overload(log)

    assert asyncio.run(run()) == [Code.BUSY]


def test_a_batch_whose_deadline_cannot_be_met_is_refused_at_once(served: Served) -> None:
    """S-07, S-26."""
    late = served.client.post("/entries/batch", content=batch(), headers={**CBOR, "exequatur-deadline": "0.0000001"})
    assert (late.status_code, late.headers["exequatur-code"]) == (429, Code.BUSY)
    in_time = served.client.post("/entries/batch", content=batch(), headers={**CBOR, "exequatur-deadline": "60"})
    assert in_time.status_code == 200
    nonsense = served.client.post("/entries/batch", content=batch(), headers={**CBOR, "exequatur-deadline": "soon"})
    assert nonsense.status_code == 400


def test_a_body_that_does_not_end_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-27."""
    monkeypatch.setattr("exequatur_log.http.protocol.SECONDS", 0.2)
    with connected(served) as slow:
        slow.sendall(
            b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-type: application/cose\r\ncontent-length: 9\r\n\r\nslow"
        )
        heard = said(slow)
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert heard.count(b"HTTP/1.1 ") == 1
    assert served.post(scene.request()).status_code == 201


def test_a_head_that_does_not_end_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-27: the first of a connection, which may not even begin, and a later one."""
    monkeypatch.setattr("exequatur_log.http.protocol.SECONDS", 0.2)
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nhost"):
        with connected(served) as slow:
            slow.sendall(begun)
            assert said(slow).startswith(b"HTTP/1.1 408 ")
    with connected(served) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /healthz HTTP/1.1\r\nho")
        assert b"HTTP/1.1 408 " in said(slow)


@pytest.mark.parametrize("piece", [b"x: " + b"y" * 1000 + b"\r\n", b"x" * 1000], ids=["many fields", "one long field"])
def test_a_head_that_grows_is_given_up(served: Served, piece: bytes) -> None:
    """S-27."""
    with connected(served) as long:
        long.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n")
        heard: list[bytes] = []
        listening = threading.Thread(target=lambda: heard.append(said(long)))
        listening.start()
        for _ in range(100):
            try:
                long.sendall(piece)
            except ConnectionError:
                break
            # Until it was heard; together they would be one piece, whose size the system bounds.
            time.sleep(0.001)
        listening.join(20)
    assert heard
    assert heard[0].startswith(b"HTTP/1.1 200 ")
    # What was said last is lost to whoever goes on sending into a closed connection.
    assert b"HTTP/1.1 431 " in heard[0] or heard[0].endswith(RESET)


def test_requests_of_one_connection_are_answered_whatever_they_are_together(served: Served) -> None:
    """S-27: what is bounded is one head, not all that a connection says."""
    body = bytes(1 << 20)
    head = (
        f"POST /entries/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/cbor\r\ncontent-length: {len(body)}\r\n"
    )
    padded = head.encode() + b"x-pad: " + b"y" * 40_000 + b"\r\n\r\n"
    with connected(served) as busy:
        # Pieces end within the next head, as those of pipelined requests do.
        busy.sendall(padded + 3 * (body + padded) + body)
        busy.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        heard = said(busy)
    assert heard.count(b"HTTP/1.1 400 ") == 4
    assert heard.endswith(b'{"alive":true}')
