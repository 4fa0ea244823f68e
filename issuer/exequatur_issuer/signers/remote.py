"""The client of a signer daemon: a ``Signer`` whose key is in another process, out of reach of this one (specs/09 §9).

The connection is made at first use and kept. One that the daemon has closed meanwhile, because it was idle or started
anew, is made again once; a daemon that does not answer is an error, and whoever repeats the call gets the same record.
"""

import socket
import threading
from contextlib import suppress
from typing import Final

from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.keys import PublicKey

from . import wire
from .errors import SignerRefusedError, SignerUnavailableError
from .wire import Answer, Question

PATIENCE_S: Final = 30.0


class RemoteSigner:
    """A signer at the daemon behind ``path``, with the key of that ``name``. Close it when it is done with.

    Several threads may use it, one at a time. Every call may raise ``SignerUnavailableError`` when there is no answer
    within ``patience`` seconds, and ``SignerRefusedError``.
    """

    def __init__(self, path: str, name: str, *, patience: float = PATIENCE_S) -> None:
        self._path: Final = path
        self._name: Final = name
        self._patience: Final = patience
        self._one_at_a_time: Final = threading.Lock()
        self._connection: socket.socket | None = None
        self._key: PublicKey | None = None

    @property
    def public_key(self) -> PublicKey:
        """The key, which is asked for once: a daemon that has another under this name later is refused."""
        if self._key is None:
            answer = self._ask(Question("key", self._name))
            if answer.key is None:
                raise self._out_of_form()
            try:
                self._key = PublicKey.from_cose(answer.key)
            except MalformedError as error:
                raise SignerRefusedError(f"what {self._path} calls the key {self._name!r} is none: {error}") from None
        return self._key

    def sign(self, message: bytes) -> bytes:
        """Return the daemon's signature over ``message``, which has been checked."""
        key = self.public_key
        answer = self._ask(Question("sign", self._name, key.thumbprint, message))
        if answer.signature is None:
            raise self._out_of_form()
        try:
            key.verify(answer.signature, message)
        except NotProvenError as error:
            raise SignerRefusedError(f"{self._path} answered for {self._name!r}, but {error}") from None
        return answer.signature

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._one_at_a_time:
            self._drop()

    def _ask(self, question: Question) -> Answer:
        with self._one_at_a_time:
            kept = self._connection is not None
            answer = self._exchange(question)
            if answer is None and kept:
                answer = self._exchange(question)
        if answer is None:
            raise SignerUnavailableError(
                f"the signer daemon at {self._path} went away before it answered; see that it runs, and call again"
            )
        if answer.code is None:
            return answer
        if answer.code in wire.PASSING:
            raise SignerUnavailableError(f"the signer daemon at {self._path} is {answer.code}: {answer.detail}")
        raise SignerRefusedError(f"the signer daemon at {self._path} refuses ({answer.code}): {answer.detail}")

    def _exchange(self, question: Question) -> Answer | None:
        """Return the answer, or ``None`` where the daemon closed the connection instead."""
        connection = self._connected()
        try:
            # A daemon that refuses the connection says so and closes, perhaps before it was asked.
            with suppress(ConnectionError):
                connection.settimeout(self._patience)
                connection.sendall(wire.encode(question))
            data = wire.receive(connection, self._patience)
            answer = None if data is None else wire.decode_answer(data)
        except ConnectionError:
            answer = None
        except TimeoutError:
            self._drop()
            raise SignerUnavailableError(
                f"the signer daemon at {self._path} did not answer within {self._patience:g} s; see what its token or"
                " its journal waits for, and call again"
            ) from None
        except MalformedError:
            self._drop()
            raise self._out_of_form() from None
        if answer is None or answer.code is not None:
            self._drop()
        return answer

    def _connected(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._patience)
                connection.connect(self._path)
            except OSError as error:
                connection.close()
                raise SignerUnavailableError(
                    f"no signer daemon is reached at {self._path} ({error.strerror or error}); start it with"
                    f" `exequatur signer serve`, or see that this user may use the socket"
                ) from None
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _out_of_form(self) -> SignerRefusedError:
        return SignerRefusedError(f"{self._path} does not talk like a signer daemon; see what listens there")
