"""The witness: checks a log's checkpoint against what it remembers, and cosigns it (specs/11 §3).

One transaction holds the look at what was cosigned last, the decision, and what is cosigned now; a cosignature leaves
only after its COMMIT. Two requests, or two processes on one memory, can therefore never cosign a fork between them.
Times are the clock's and never go back for a log; a clock behind them by more than the leeway stops the witness.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from exequatur_log.errors import LogError
from exequatur_verifier import checkpoint, note
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import NoteKey, NoteSignature, SignatureType
from exequatur_verifier.signing import Signer

from . import wire
from .decide import GRANTED, Held, authenticate, decide, own_time
from .evidence import Evidence, Kind
from .memory import Memory, MemoryUnavailableError, Transaction

LEEWAY: Final = 10
_TEXT: Final = "text/plain; charset=utf-8"
_TYPES: Final = {
    Algorithm.ED25519: SignatureType.COSIGNATURE,
    Algorithm.ML_DSA_44: SignatureType.COSIGNATURE_ML_DSA_44,
}


class UnfitError(LogError):
    """The witness must not cosign: its keys are not its memory's, its clock is behind, or its memory is an old copy."""


class Cosigning(NamedTuple):
    """A key that cosigns, and who signs with it."""

    key: NoteKey
    signer: Signer


class Answer(NamedTuple):
    """What is answered to a request."""

    status: HTTPStatus
    body: bytes
    media_type: str = _TEXT


class Status(NamedTuple):
    """What a witness knows: keys of logs, what it cosigned last, how much evidence it has by origin and kind.

    ``lost`` says that its memory was found to be an old copy.
    """

    log_keys: list[NoteKey]
    held: list[Held]
    evidence: Mapping[tuple[str, Kind], int]
    lost: bool


def status_of(memory: Memory) -> Status:
    """Return what the memory of a witness holds."""
    with memory.transaction() as transaction:
        return Status(transaction.log_keys(), transaction.held(), transaction.count_evidence(), transaction.is_lost())


def cosigning(name: str, signer: Signer) -> Cosigning:
    """Return the cosigning key of a witness; raise ``ValueError`` for one of an algorithm that does not cosign.

    An Ed25519 cosignature does not bind the name (tlog-cosignature), so no two witnesses share a key.
    """
    algorithm = signer.public_key.algorithm
    if algorithm not in _TYPES:
        raise ValueError("a witness cosigns with Ed25519 and ML-DSA-44")
    return Cosigning(note.note_key(name, _TYPES[algorithm], signer.public_key), signer)


class Cosigner:
    """A witness over its memory; its methods block, and are called by one thread at a time."""

    def __init__(
        self, memory: Memory, keys: tuple[Cosigning, ...], clock: Callable[[], int], leeway: int = LEEWAY
    ) -> None:
        """Raise ``UnfitError`` when it must not cosign (``check``). ``clock`` tells unix seconds."""
        self._memory = memory
        self._keys = keys
        self._clock = clock
        self._leeway = leeway
        if memory.keys != self.keys:
            raise UnfitError(f"{memory.path} belongs to other keys than these; a witness keeps its keys and its memory")
        self.check()

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """The keys that this witness cosigns with."""
        return tuple(key for key, _ in self._keys)

    def check(self) -> None:
        """Raise ``UnfitError`` or ``MemoryUnavailableError`` if the witness must not cosign now."""
        with self._memory.transaction() as transaction:
            self._check(transaction)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Return the answer to an ``add-checkpoint`` request."""
        try:
            request = wire.parse_request(body)
        except MalformedError as error:
            return _said(HTTPStatus.BAD_REQUEST, str(error))
        try:
            with self._memory.transaction() as transaction:
                return self._answer(transaction, request)
        except UnfitError as error:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except (MemoryUnavailableError, OSError):
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot reach its memory or its keys")

    def status(self) -> Status:
        """Return what is known."""
        return status_of(self._memory)

    def latest(self, name: str) -> bytes | None:
        """Return the note that was cosigned last for the log whose origin has that SHA-256, in hexadecimal."""
        with self._memory.transaction() as transaction:
            held = transaction.held_by_name(name)
        return None if held is None else held.note

    def _answer(self, transaction: Transaction, request: wire.AddCheckpoint) -> Answer:
        origin = request.checkpoint.origin
        log_keys = transaction.log_keys(origin)
        refused = authenticate(request, log_keys)
        if refused is not None:
            return _said(refused.status, refused.why)
        if transaction.is_lost():
            raise UnfitError(_LOST)
        held = transaction.held_of(origin)
        own = own_time(request, self.keys)
        if own > (0 if held is None else held.time):
            transaction.lose(origin, own, request.note)
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, _LOST)
        ruling = decide(request, held)
        if ruling.evidence is not None:
            earlier = None if held is None else held.note
            transaction.keep(Evidence(ruling.evidence, self._clock(), earlier, request.note, request.proof))
        if ruling.status is HTTPStatus.CONFLICT:
            size = 0 if held is None else held.checkpoint.size
            return Answer(ruling.status, wire.format_size(size), wire.SIZE_TYPE)
        if ruling is not GRANTED:
            return _said(ruling.status, ruling.why)
        return Answer(ruling.status, wire.format_lines(self._cosign(transaction, request, held, log_keys)))

    def _cosign(
        self, transaction: Transaction, request: wire.AddCheckpoint, held: Held | None, log_keys: list[NoteKey]
    ) -> list[NoteSignature]:
        """Cosign, write down that it was done, and return the lines, which leave only once that is committed."""
        now = self._check(transaction)
        lines = note.parse(request.note).signatures
        if held is not None:
            now = max(now, held.time)
            if (held.checkpoint, held.time) == (request.checkpoint, now):
                # Whoever asks again within the second is told the same, and costs no write.
                return self._of(note.parse(held.note).signatures, self.keys)
        cosigned = [checkpoint.cosign(request.checkpoint, now, key, signer) for key, signer in self._keys]
        signed = note.format(checkpoint.format(request.checkpoint), [*self._of(lines, log_keys), *cosigned])
        transaction.hold(Held(request.checkpoint, now, signed))
        return cosigned

    def _check(self, transaction: Transaction) -> int:
        """Return the time, or raise ``UnfitError``."""
        if transaction.is_lost():
            raise UnfitError(_LOST)
        now, newest = self._clock(), transaction.newest_time()
        if now < newest - self._leeway:
            raise UnfitError(
                f"the clock of this witness is {newest - now} s behind its newest cosignature; set it right, or wait"
            )
        return now

    @staticmethod
    def _of(lines: tuple[NoteSignature, ...], keys: list[NoteKey] | tuple[NoteKey, ...]) -> list[NoteSignature]:
        named = {(key.name, key.key_id) for key in keys}
        return [line for line in lines if (line.name, line.key_id) in named]


_LOST: Final = (
    "this witness has signed what it does not remember: its memory is an old copy. It cosigns nothing any more; "
    "retire its keys and make a new witness"
)


def _said(status: HTTPStatus, why: str) -> Answer:
    return Answer(status, f"{why}\n".encode())
