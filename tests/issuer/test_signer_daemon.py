"""The signer daemon and its client: who may ask, for what, how long, and what is left when either goes away."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from exequatur_issuer.signers import daemon, wire
from exequatur_issuer.signers.daemon import Daemon, Held
from exequatur_issuer.signers.errors import SignerRefusedError, SignerUnavailableError
from exequatur_issuer.signers.journal import Journal
from exequatur_issuer.signers.remote import RemoteSigner
from exequatur_issuer.signers.wire import Question
from exequatur_verifier import statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Approval, Link
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims
from tests.issuer.test_signer_roles import Caught
from tests.support import world

ME = frozenset((os.geteuid(),))
OTHER = frozenset((os.geteuid() + 1,))
APPROVER = world.signer("approver")
RECORD = Approval((Link("request", bytes(32)),), bytes(32), "once", 1)
CLAIMS = Claims("urn:exequatur:approver:test", "urn:uuid:1", world.NOW, bytes(16), exp=world.NOW + 60)


def _message() -> bytes:
    statement.sign(RECORD, CLAIMS, caught := Caught(APPROVER.public_key))
    return caught.message


MESSAGE = _message()


class Slow:
    """A signer that waits until it is let go."""

    def __init__(self, signer: Signer) -> None:
        self.public_key: PublicKey = signer.public_key
        self._signer = signer
        self.begun, self.release = threading.Event(), threading.Event()

    def sign(self, message: bytes) -> bytes:
        self.begun.set()
        assert self.release.wait(20)
        return self._signer.sign(message)


class Failing:
    """A signer whose token is gone."""

    public_key = APPROVER.public_key

    def sign(self, _: bytes) -> bytes:
        raise SignerUnavailableError("the token is gone; put it back")


class Lines(list[Mapping[str, int | str]]):
    """A journal in memory, which can be full."""

    full = False

    def __call__(self, line: Mapping[str, int | str]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.append(line)

    def of(self, event: str) -> list[Mapping[str, int | str]]:
        return [line for line in self if line["event"] == event]


@contextmanager
def serving(
    path: Path, keys: Mapping[str, Held], uids: frozenset[int] = ME, *, lines: Lines | None = None, deadline: float = 5
) -> Iterator[Daemon]:
    one = Daemon(keys, uids, Lines() if lines is None else lines, deadline=deadline)
    with daemon.listening(path, uids) as listener:
        thread = threading.Thread(target=one.serve, args=(listener,))
        thread.start()
        try:
            yield one
        finally:
            one.stop()
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signer.sock"


@pytest.fixture
def lines() -> Lines:
    return Lines()


@contextmanager
def asking(path: Path, name: str = "approver", patience: float = 20) -> Iterator[RemoteSigner]:
    signer = RemoteSigner(str(path), name, patience=patience)
    try:
        yield signer
    finally:
        signer.close()


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.settimeout(20)
        yield connection


def keys(signer: Signer = APPROVER, role: str = "approver", uids: frozenset[int] | None = None) -> dict[str, Held]:
    return {"approver": Held(signer, role, uids)}


def test_a_client_signs_statements_with_a_key_that_it_does_not_hold(path: Path, lines: Lines) -> None:
    #
    with serving(path, keys(), lines=lines), asking(path) as remote:
        made = statement.parse(statement.sign(RECORD, CLAIMS, remote))
        statement.verify(made, APPROVER.public_key)
    (line,) = lines
    assert {name: line[name] for name in ("event", "name", "kind", "digest", "uid", "pid")} == {
        "event": "signed",
        "name": "approver",
        "kind": "approval",
        "digest": made.id.hex(),
        "uid": os.geteuid(),
        "pid": os.getpid(),
    }
    assert abs(int(line["time"]) - time.time()) < 60


@pytest.mark.parametrize("role", ["authority", "owner", "requester", "runtime", "operator", "receipts", "checkpoints"])
def test_a_key_signs_nothing_that_it_is_not_held_for(path: Path, lines: Lines, role: str) -> None:
    #
    with serving(path, keys(role=role), lines=lines), asking(path) as remote:
        for _ in range(2):
            with pytest.raises(SignerRefusedError, match="not-permitted"):
                remote.sign(MESSAGE)
    assert [(line["event"], line["code"]) for line in lines] == [("refused", "not-permitted")] * 2


def test_nothing_but_statements_heads_and_checkpoints_is_signed(path: Path, lines: Lines) -> None:
    #
    with serving(path, keys(), lines=lines), asking(path) as remote:
        for message in (b"", b"anything", MESSAGE + b"\x00", b"\x00" * 65_000):
            with pytest.raises(SignerRefusedError, match="not-permitted"):
                remote.sign(message)
    assert lines.of("signed") == []


def test_a_uid_that_is_not_on_the_list_is_turned_away(path: Path, lines: Lines) -> None:
    #
    with serving(path, keys(), OTHER, lines=lines), asking(path) as remote:
        with pytest.raises(SignerRefusedError, match=rf"uid {os.geteuid()} .*--allow-uid"):
            _ = remote.public_key
        with connected(path) as connection:
            assert wire.decode_answer(wire.receive(connection, 20) or b"").code == "peer"
    assert [line["code"] for line in lines] == ["peer", "peer"]


def test_a_uid_that_may_connect_may_not_use_every_key(path: Path) -> None:
    #
    with serving(path, keys(uids=OTHER)), asking(path) as remote, pytest.raises(SignerRefusedError, match="no key"):
        _ = remote.public_key
    with serving(path, keys(uids=ME)), asking(path) as remote:
        assert remote.public_key == APPROVER.public_key


def test_only_its_own_user_reaches_the_socket_unless_others_are_listed(path: Path) -> None:
    #
    with serving(path, keys()):
        assert path.stat().st_mode & 0o777 == 0o600
    with serving(path, keys(), ME | OTHER):
        assert path.stat().st_mode & 0o777 == 0o666
    assert not path.exists()


def test_an_unknown_name_is_refused(path: Path) -> None:
    with (
        serving(path, keys()),
        asking(path, "authority") as remote,
        pytest.raises(SignerRefusedError, match="no key 'authority' is held"),
    ):
        _ = remote.public_key


def test_no_line_no_signature(path: Path, lines: Lines) -> None:
    #
    with serving(path, keys(), lines=lines), asking(path) as remote:
        assert remote.sign(MESSAGE)
        lines.full = True
        with pytest.raises(SignerUnavailableError, match="No space left"):
            remote.sign(MESSAGE)
        lines.full = False
        assert remote.sign(MESSAGE)
    assert len(lines.of("signed")) == 2


def test_a_token_that_fails_is_an_error_that_says_so_and_may_be_repeated(path: Path) -> None:
    with serving(path, keys(Failing())), asking(path) as remote:
        for _ in range(2):
            with pytest.raises(SignerUnavailableError, match="put it back"):
                remote.sign(MESSAGE)


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\x00\x00\x00\x00", b"\x00\x00\x00\x01\xa0", b"\x00\x00"])
def test_what_is_no_question_ends_the_conversation_and_nothing_else(path: Path, data: bytes) -> None:
    #
    with serving(path, keys(), deadline=0.5), asking(path) as remote:
        with connected(path) as connection:
            connection.sendall(data)
            answer = wire.receive(connection, 20)
            if answer is not None:
                assert wire.decode_answer(answer).code == "malformed"
            # What was sent and never read shows as a reset.
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert remote.sign(MESSAGE)


def test_a_question_has_a_bounded_length(path: Path) -> None:
    #
    with serving(path, keys()), connected(path) as connection:
        connection.sendall((wire.MAX_FRAME + 1).to_bytes(4, "big"))
        assert "at most" in (wire.decode_answer(wire.receive(connection, 20) or b"").detail or "")
        assert wire.receive(connection, 20) is None


def test_half_a_question_is_not_waited_for_beyond_the_deadline(path: Path) -> None:
    #
    with serving(path, keys(), deadline=0.3), connected(path) as connection:
        frame = wire.encode(Question("key", "approver"))
        connection.sendall(frame[:-1])
        begun = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - begun < 10


def test_who_waits_for_a_key_longer_than_the_deadline_is_told(path: Path) -> None:
    #
    slow = Slow(APPROVER)
    with serving(path, keys(slow), deadline=0.3), asking(path) as first, asking(path) as second:
        signed: list[bytes] = []
        thread = threading.Thread(target=lambda: signed.append(first.sign(MESSAGE)))
        thread.start()
        assert slow.begun.wait(20)
        with pytest.raises(SignerUnavailableError, match="in use"):
            second.sign(MESSAGE)
        slow.release.set()
        thread.join(20)
        assert signed == [second.sign(MESSAGE)]


def test_a_client_does_not_wait_for_ever(path: Path) -> None:
    #
    slow = Slow(APPROVER)
    with serving(path, keys(slow)), asking(path, patience=0.3) as remote:
        with pytest.raises(SignerUnavailableError, match="did not answer within"):
            remote.sign(MESSAGE)
        slow.release.set()
        assert remote.sign(MESSAGE)


def test_stopping_ends_what_was_begun_and_reads_nothing_more(path: Path) -> None:
    #
    slow = Slow(APPROVER)
    with asking(path) as busy, asking(path) as idle:
        with serving(path, keys(slow)) as one:
            assert idle.public_key == APPROVER.public_key
            signed: list[bytes] = []
            thread = threading.Thread(target=lambda: signed.append(busy.sign(MESSAGE)))
            thread.start()
            assert slow.begun.wait(20)
            one.stop()
            time.sleep(0.2)
            slow.release.set()
            thread.join(20)
        (signature,) = signed
        APPROVER.public_key.verify(signature, MESSAGE)
        with pytest.raises(SignerUnavailableError, match="exequatur signer serve"):
            idle.sign(MESSAGE)


def test_a_client_finds_a_daemon_that_was_started_anew(path: Path) -> None:
    #
    with asking(path) as remote:
        with pytest.raises(SignerUnavailableError, match="exequatur signer serve"):
            _ = remote.public_key
        for _ in range(3):
            with serving(path, keys()):
                assert remote.sign(MESSAGE)


def test_another_key_under_the_name_is_not_taken_for_it(path: Path) -> None:
    #
    with asking(path) as remote:
        with serving(path, keys()):
            assert remote.sign(MESSAGE)
        other = keys(world.signer("another"))
        with serving(path, other), pytest.raises(SignerRefusedError, match="another-key"):
            remote.sign(MESSAGE)


class Liar:
    """A signer whose signatures do not hold."""

    public_key = APPROVER.public_key

    def sign(self, message: bytes) -> bytes:
        return world.signer("another").sign(message)


def test_a_signature_that_does_not_hold_is_refused(path: Path) -> None:
    #
    lying = keys(Liar())
    with serving(path, lying), asking(path) as remote, pytest.raises(SignerRefusedError, match="does not hold"):
        remote.sign(MESSAGE)


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x01\xa0", b"\xff" * 64, b"", b"\x00\x00\x00\x09abc"])
def test_what_does_not_talk_like_a_daemon_is_an_error(path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with asking(path) as remote, pytest.raises((SignerRefusedError, SignerUnavailableError)):
            _ = remote.public_key
        thread.join(20)


def test_a_path_has_one_daemon_and_nothing_else_is_removed(path: Path) -> None:
    with serving(path, keys()):
        with pytest.raises(FileExistsError, match="already"), daemon.listening(path, ME):
            pass
        with asking(path) as remote:
            assert remote.sign(MESSAGE)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="no socket"), daemon.listening(path, ME):
        pass
    assert path.read_text() == "mine"


def test_connections_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    #
    monkeypatch.setattr(daemon, "_CONNECTIONS", 2)
    with serving(path, keys()), asking(path) as first, asking(path) as second, asking(path) as third:
        assert first.public_key == second.public_key
        with pytest.raises(SignerUnavailableError, match="2 connections"):
            _ = third.public_key
        first.close()
        for _ in range(100):
            with suppress(SignerUnavailableError):
                _ = third.public_key
                break
            time.sleep(0.05)
        assert third.public_key == second.public_key


def test_a_journal_in_a_file_goes_on_after_it_was_rotated_away(tmp_path: Path) -> None:
    #
    journal = Journal(tmp_path / "journal")
    journal({"event": "signed", "name": "ä\n"})
    (tmp_path / "journal").rename(tmp_path / "journal.1")
    journal({"event": "signed", "name": "b"})
    (tmp_path / "journal").chmod(0o600)
    journal.close()
    assert (tmp_path / "journal.1").read_text().count("\n") == 1
    assert (tmp_path / "journal").read_text() == '{"event": "signed", "name": "b"}\n'
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_questions_and_answers_come_back_as_they_were() -> None:
    for question in (Question("key", "a"), Question("sign", "a", bytes(32), b"message")):
        assert wire.decode_question(wire.encode(question)[4:]) == question
    for answer in (wire.Answer(key=b"k"), wire.Answer(signature=b"s"), wire.Answer(code="busy", detail="later")):
        assert wire.decode_answer(wire.encode(answer)[4:]) == answer
    for bad in (Question("sign", "a"), Question("key", "a", bytes(32), b"m"), Question("sign", "a", bytes(32))):
        with pytest.raises(MalformedError):
            wire.decode_question(wire.encode(bad)[4:])
    for both in (wire.Answer(), wire.Answer(key=b"k", signature=b"s")):
        with pytest.raises(MalformedError):
            wire.decode_answer(wire.encode(both)[4:])
