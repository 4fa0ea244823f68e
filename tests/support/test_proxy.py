"""The proxy itself, before a server that says back in capitals what it hears."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import End, Plan, Proxy


class _Capitals(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while heard := self.request.recv(1 << 16):
                self.request.sendall(heard.upper())
        except ConnectionError:
            pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Capitals) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with Proxy(server.server_address[1]) as made:
            yield made
        server.shutdown()
        thread.join()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def say(connection: socket.socket, words: bytes, most: int = 100) -> bytes:
    connection.sendall(words)
    return connection.recv(most)


def test_what_is_not_spoiled_is_forwarded(proxy: Proxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        assert say(one, b"one") == b"ONE"
        assert say(other, b"other") == b"OTHER"
        one.shutdown(socket.SHUT_WR)
        assert one.recv(10) == b""
    assert proxy.spoiled == 0


def test_a_refused_connection_is_reset_and_so_is_one_that_is_cut(proxy: Proxy) -> None:
    with connected(proxy) as open_before:
        assert say(open_before, b"a") == b"A"
        proxy.spoil(Plan(refuse=True, times=1))
        # While it connects, or when it speaks.
        with pytest.raises(ConnectionError), connected(proxy) as one:
            say(one, b"b")
        with connected(proxy) as other:
            assert say(other, b"c") == b"C"
        assert say(open_before, b"d") == b"D"
        proxy.cut()
        with pytest.raises(ConnectionError):
            open_before.recv(10)
    assert proxy.spoiled == 1


def test_an_answer_is_cut_after_so_many_bytes_on_open_connections_too(proxy: Proxy) -> None:
    with connected(proxy) as one:
        assert say(one, b"whole") == b"WHOLE"
        proxy.spoil(Plan(answered=3, end=End.CLOSE, times=1))
        assert say(one, b"whole") == b"WHO"
        assert one.recv(10) == b""
    with connected(proxy) as again:
        assert say(again, b"whole") == b"WHOLE"


def test_the_answer_to_certain_bytes_is_withheld(proxy: Proxy) -> None:
    proxy.spoil(Plan(after=b"commit", times=1))
    with connected(proxy) as one:
        assert say(one, b"begin; com") == b"BEGIN; COM"
        with pytest.raises(ConnectionError):
            say(one, b"mit;")
    assert proxy.spoiled == 1


def test_one_direction_ends_alone(proxy: Proxy) -> None:
    proxy.spoil(Plan(answered=1, end=End.HALF, times=1))
    with connected(proxy) as half:
        assert say(half, b"ab") == b"A"
        assert half.recv(10) == b""
        half.sendall(b"still heard")


def test_one_direction_stalls_alone(proxy: Proxy) -> None:
    proxy.spoil(Plan(sent=1, end=End.STALL, times=1))
    with connected(proxy) as stalled:
        assert say(stalled, b"ab") == b"A"
        stalled.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stalled.recv(10)


def test_pieces_are_delayed(proxy: Proxy) -> None:
    proxy.spoil(Plan(delay=0.1))
    with connected(proxy) as one:
        one.settimeout(0.05)
        with pytest.raises(TimeoutError):
            say(one, b"later")
        one.settimeout(10)
        assert one.recv(10) == b"LATER"
