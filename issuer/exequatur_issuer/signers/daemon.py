"""The signer daemon: it holds keys, and signs with them for those who may ask, on a Unix socket (specs/09 §9).

    accept     who connects is known by the kernel's word (SO_PEERCRED), and must be on the list
    read       one bounded question, within the deadline
    permit     what is to be signed is parsed, and must be what the key is held for (``roles``)
    sign       one signature of a key at a time; who waits longer than the deadline is told so
    journal    a line for every signature, before it leaves; no line, no signature
    answer

A thread serves each connection. Nothing that a client sends makes the daemon stop, and nothing but its journal is
written.
"""

import fcntl
import logging
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.signing import Signer

from . import wire
from .roles import ROLES, Subject, read_subject
from .wire import Answer, Question

DEADLINE_S: Final = 10.0
_IDLE_S: Final = 300.0
_CONNECTIONS: Final = 64
_CREDENTIALS: Final = "3i"

logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """A key that the daemon holds, the role it is held for, and the uids that may use it (``None``: all it serves)."""

    signer: Signer
    role: str
    uids: frozenset[int] | None = None


class Peer(NamedTuple):
    """The process at the other end, as the kernel knew it when it connected."""

    pid: int
    uid: int
    gid: int


Line = Mapping[str, int | str]


class Daemon:
    """A daemon over the keys it was given, by name.

    ``uids`` are who may connect. ``journal`` keeps a line before it returns, and raises ``OSError`` if it cannot.
    ``deadline`` bounds, in seconds, how long a question may take to arrive, and then to be answered.
    """

    def __init__(
        self,
        keys: Mapping[str, Held],
        uids: frozenset[int],
        journal: Callable[[Line], None],
        *,
        deadline: float = DEADLINE_S,
    ) -> None:
        self._keys: Final = dict(keys)
        self._uids: Final = uids
        self._journal: Final = journal
        self._deadline: Final = deadline
        self._locks: Final = {name: threading.Lock() for name in keys}
        self._connections: Final[dict[socket.socket, threading.Thread]] = {}
        self._changing: Final = threading.Lock()
        self._woken, self._waker = socket.socketpair()

    def stop(self) -> None:
        """End ``serve``, from a signal handler or another thread: what was asked is answered, nothing more is read."""
        with suppress(OSError):
            self._waker.send(b".")

    def serve(self, listener: socket.socket) -> None:
        """Serve until ``stop`` is called, then answer what has been asked, for as long as a deadline."""
        poll = select.poll()
        for one in (listener, self._woken):
            poll.register(one, select.POLLIN)
        while self._woken.fileno() not in (ready := [descriptor for descriptor, _ in poll.poll()]):
            if listener.fileno() in ready:
                self._accept(listener)
        listener.close()
        with self._changing:
            left = dict(self._connections)
        for connection in left:
            # What has arrived can still be read; after it, every reader sees the end.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        until = time.monotonic() + self._deadline
        for thread in left.values():
            thread.join(max(0.0, until - time.monotonic()))
        self._woken.close()
        self._waker.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            # Out of descriptors, for example: those who hold them will let go of some.
            logger.warning("a connection could not be taken: %s", error.strerror)
            time.sleep(0.05)
            return
        peer = peer_of(connection)
        with self._changing:
            full = len(self._connections) >= _CONNECTIONS
        if peer.uid not in self._uids:
            self._note("refused", peer, {"code": "peer"})
            refusal = Answer(code="peer", detail=f"uid {peer.uid} may not use this daemon; start it with --allow-uid")
        elif full:
            refusal = Answer(code="busy", detail=f"there are {_CONNECTIONS} connections already; try again")
        else:
            thread = threading.Thread(target=self._converse, args=(connection, peer), daemon=True)
            with self._changing:
                self._connections[connection] = thread
            thread.start()
            return
        with connection, suppress(OSError):
            connection.settimeout(1)
            connection.sendall(wire.encode(refusal))

    def _converse(self, connection: socket.socket, peer: Peer) -> None:
        try:
            while (data := wire.receive(connection, self._deadline, idle=_IDLE_S)) is not None:
                answer = self._answer(data, peer)
                connection.settimeout(self._deadline)
                connection.sendall(wire.encode(answer))
        except MalformedError as error:
            with suppress(OSError):
                connection.sendall(wire.encode(Answer(code="malformed", detail=str(error))))
        except OSError:
            # The client is gone or says nothing more; what it was owed it can ask for again.
            pass
        except Exception:
            logger.exception("a bug ended the conversation with pid %d; nothing was signed in it since", peer.pid)
        finally:
            with self._changing:
                self._connections.pop(connection, None)
            connection.close()

    def _answer(self, data: bytes, peer: Peer) -> Answer:
        question = wire.decode_question(data)
        held = self._keys.get(question.name)
        if held is None or (held.uids is not None and peer.uid not in held.uids):
            return self._refuse(question, peer, "unknown-key", f"no key {question.name!r} is held for uid {peer.uid}")
        if question.message is None:
            return Answer(key=held.signer.public_key.encoded)
        if question.key != held.signer.public_key.thumbprint:
            detail = f"the key {question.name!r} is another one by now; start the client again"
            return self._refuse(question, peer, "another-key", detail)
        try:
            subject = read_subject(question.message, held.signer.public_key)
        except MalformedError as error:
            return self._refuse(
                question, peer, "not-permitted", f"the key {question.name!r} does not sign this: {error}"
            )
        if subject.kind not in ROLES[held.role]:
            allowed = ", ".join(sorted(ROLES[held.role]))
            detail = f"the key {question.name!r} signs {allowed}, and not {subject.kind}"
            return self._refuse(question, peer, "not-permitted", detail)
        return self._sign(question, held, subject, peer)

    def _sign(self, question: Question, held: Held, subject: Subject, peer: Peer) -> Answer:
        assert question.message is not None
        lock = self._locks[question.name]
        if not lock.acquire(timeout=self._deadline):
            return Answer(
                code="busy", detail=f"the key {question.name!r} was in use for {self._deadline:g} s; try again"
            )
        try:
            signature = held.signer.sign(question.message)
            self._journal(_line("signed", peer, {"name": question.name, "kind": subject.kind}, subject.digest))
        except (OSError, ExequaturError) as error:
            return self._refuse(question, peer, "unavailable", f"nothing was signed: {error}")
        finally:
            lock.release()
        return Answer(signature=signature)

    def _refuse(self, question: Question, peer: Peer, code: str, detail: str) -> Answer:
        self._note("refused", peer, {"name": question.name, "code": code})
        return Answer(code=code, detail=detail)

    def _note(self, event: str, peer: Peer, more: Line) -> None:
        """Journal what gives nothing away, and so need not wait for the disk to work."""
        try:
            self._journal(_line(event, peer, more))
        except OSError as error:
            logger.warning("the journal takes no lines: %s", error.strerror)


def _line(event: str, peer: Peer, more: Line, digest: bytes | None = None) -> Line:
    line: dict[str, int | str] = {"time": int(time.time()), "event": event, **more}
    if digest is not None:
        line["digest"] = digest.hex()
    return {**line, "uid": peer.uid, "pid": peer.pid}


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected, by the kernel's word (unix(7), SO_PEERCRED)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_CREDENTIALS))
    return Peer(*struct.unpack(_CREDENTIALS, raw))


@contextmanager
def listening(path: Path, uids: frozenset[int]) -> Iterator[socket.socket]:
    """Listen at ``path``, which nobody else does meanwhile: whoever holds ``path``.lock has it; raise ``OSError``.

    What a daemon left that is gone is replaced. Users other than this one can connect only if one of them is listed;
    the credentials of each are checked in any case.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f"a daemon serves {path} already; stop it, or name another --socket") from None
        if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is there and is no socket; name another --socket")
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            if uids - {os.geteuid()}:
                path.chmod(0o666)  # whoever is not listed is turned away after connecting
            listener.listen(_CONNECTIONS)
            yield listener
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)
