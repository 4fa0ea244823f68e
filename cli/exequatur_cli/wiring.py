"""What connects siblings, who know only their own protocols: one log for authority and gate, one port for two services.

What the log refuses is an answer here too; only what cannot be known, because the log did not answer, is an error.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from exequatur_gate.flush import Answer
from exequatur_issuer import log as issuer
from exequatur_log.batch import Answer as LogAnswer
from exequatur_log.blocking import BlockingLog
from exequatur_log.errors import Code, Conflict, LogError, NotFoundError, Refused
from exequatur_verifier import statement
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.memory import Proof
from exequatur_verifier.records import Kind

# ASGI's types, which nothing here needs a web framework for.
Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

_PASSING: Final = (Code.BUSY, Code.UNAVAILABLE, Code.CLOCK_BEHIND)


class AuthorityLog:
    """The embedded log for the authority (``exequatur_issuer.log.Log``)."""

    def __init__(self, log: BlockingLog, checkpoint: Callable[[int], bytes | None]) -> None:
        self._log = log
        self._checkpoint = checkpoint

    @property
    def origin(self) -> str:
        """The origin of the log."""
        return self._log.identity.origin

    def register(self, statements: Sequence[bytes]) -> list[issuer.Registered | issuer.Standing | issuer.Refusal]:
        """Register in order; raise ``LogUnavailableError`` when the log could not answer, which is safe to repeat."""
        answers: list[issuer.Registered | issuer.Standing | issuer.Refusal] = []
        for answer in self._register(statements):
            if isinstance(answer, Conflict):
                answers.append(issuer.Standing(answer.leaf_index))
            elif isinstance(answer, Refused):
                if answer.code in _PASSING:
                    raise issuer.LogUnavailableError(str(answer))
                answers.append(issuer.Refusal(answer.code, answer.detail))
            else:
                answers.append(issuer.Registered(answer.leaf_index, answer.receipt))
        return answers

    def entry(self, index: int) -> bytes:
        """Return the statement at an index."""
        return self._log.get(index).statement

    def find(self, record_id: bytes) -> int | None:
        """Return the index of a record, or ``None``."""
        try:
            return self._log.get(record_id).leaf_index
        except NotFoundError:
            return None

    def newest(
        self, kind: Kind, *, subject: str | None = None, key_id: bytes | None = None, most: int = 1
    ) -> list[issuer.Placed]:
        """Return the last entries of a kind, of a subject or a signer, the newest first."""
        found = self._log.find(kind=kind, sub=subject, key_id=key_id, limit=most, newest_first=True)
        return [issuer.Placed(entry.statement, entry.leaf_index) for entry in found]

    def receipt(self, index: int) -> bytes:
        """Return a receipt at the current head."""
        return self._log.fresh_receipt(index)

    def inclusion_paths(self, indices: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """Return inclusion paths."""
        return self._log.inclusions(indices, size)

    def consistency_paths(self, older: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
        """Return the consistency proofs from older sizes."""
        return self._log.consistencies(older, size)

    def checkpoint(self, size: int) -> bytes | None:
        """Return the checkpoint of the head of exactly that size, if one was signed."""
        return self._checkpoint(size)

    def _register(self, statements: Sequence[bytes]) -> Sequence[LogAnswer]:
        try:
            return self._log.register_many(statements)
        except LogError as error:
            raise issuer.LogUnavailableError(str(error)) from None


class Beside:
    """Two applications on one port: what the second says is its own, and everything else, beginning and end too."""

    def __init__(self, first: Application, second: Application, owns: Callable[[str], bool]) -> None:
        self._first = first
        self._second = second
        self._owns = owns

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer as ASGI asks."""
        is_second = scope["type"] == "http" and self._owns(scope["path"])
        await (self._second if is_second else self._first)(scope, receive, send)


class GateLog:
    """The embedded log for the gate: where its records go, and where it finds proofs."""

    def __init__(self, log: BlockingLog) -> None:
        self._log = log

    def append(self, statements: Sequence[bytes]) -> list[Answer]:
        """Register the gate's records; what the log could not answer is unavailable and waits."""
        try:
            answers = self._log.register_many(statements)
        except LogError:
            return []
        return [self._answer(sent, answer) for sent, answer in zip(statements, answers, strict=True)]

    def prove(self, origin: str, size1: int, size2: int) -> Proof | None:
        """Return a consistency proof of the embedded log, if it is the one asked about and has both sizes."""
        if origin != self._log.identity.origin:
            return None
        try:
            path = self._log.consistency(size1, size2)
            return Proof(origin, size1, self._log.root(size1), size2, self._log.root(size2), path)
        except LogError:
            return None

    def _answer(self, sent: bytes, answer: object) -> Answer:
        if isinstance(answer, Conflict):
            # The record stands under other signature bytes, which a key with random signatures makes; it is the same
            # record.
            return Answer("accepted") if self._stands(sent, answer.leaf_index) else Answer("refused", answer.code)
        if isinstance(answer, Refused):
            return Answer("unavailable") if answer.code in _PASSING else Answer("refused", answer.code)
        return Answer("accepted")

    def _stands(self, sent: bytes, index: int) -> bool:
        try:
            return statement.parse(self._log.get(index).statement).id == statement.parse(sent).id
        except ExequaturError:
            return False
