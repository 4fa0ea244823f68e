"""The conversation with one witness about one checkpoint (c2sp.org/tlog-witness, specs/11 §2).

The checkpoint is offered from the size that the witness is believed to have cosigned last, and once more from the one
that it names. Its cosignature counts only if the kernel finds it to be over exactly this checkpoint, by the key that
the policy names, made just now.

A witness that knows a larger tree, or another one, is asked for the checkpoint that it cosigned last: with the log's
own signature on it, that is proof that the log was rolled back or forked, and not only the witness's word.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import httpx2

from exequatur_log.errors import NotFoundError
from exequatur_verifier import checkpoint, merkle, note
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.note import NoteKey, NoteSignature

from . import wire
from .outcome import Outcome, Word

# From the older size to the newer, as ``Log.consistency``; a ``NotFoundError`` says that the log never had one of them.
Prove = Callable[[int, int], Awaitable[Sequence[bytes]]]

OLDEST_S: Final = 180  # before it was asked for
_SUSPICIOUS: Final = (Word.AHEAD, Word.INCONSISTENT)
_BROKEN: Final = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError)


class Asked(NamedTuple):
    """A checkpoint to be cosigned: the note with the log's lines alone, its parts, and when the asking began."""

    note: bytes
    text: str
    lines: tuple[NoteSignature, ...]
    checkpoint: Checkpoint
    log_keys: tuple[NoteKey, ...]
    prove: Prove
    begun: int


class Told(NamedTuple):
    """What the witnesses have said so far, by name: what became of each, and the lines that hold, with their times."""

    outcomes: dict[str, Outcome]
    lines: dict[str, tuple[NoteSignature, int]]


class _Stop(Exception):  # noqa: N818  (an answer that ends the conversation, not an error)
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Party:
    """The witnesses at one URL, by their names in the policy, and the size that they last cosigned of each log."""

    def __init__(
        self, url: str, keys: Mapping[str, NoteKey], client: httpx2.AsyncClient, clock: Callable[[], int], leeway: int
    ) -> None:
        self._url = url
        self._keys = keys
        self._client = client
        self._clock = clock
        self._leeway = leeway
        self._sizes: dict[str, int] = {}

    async def ask(self, asked: Asked, told: Told, seconds: float) -> None:
        """Ask for cosignatures, and tell what came of it, within so many seconds, and as many to look for evidence."""
        outcome = await self._outcome(asked, told, seconds)
        if outcome is None:
            return
        # Told before it is looked into, so that it is not lost when nobody waits for that.
        told.outcomes.update(dict.fromkeys(self._keys, outcome))
        if outcome.word in _SUSPICIOUS:
            try:
                async with asyncio.timeout(seconds):
                    outcome = await self._look(asked, outcome)
            except (_Stop, TimeoutError, *_BROKEN):
                return
            told.outcomes.update(dict.fromkeys(self._keys, outcome))

    async def _outcome(self, asked: Asked, told: Told, seconds: float) -> Outcome | None:
        """Return why there are no cosignatures from here, or ``None`` if they, or what is wrong with them, is told."""
        try:
            async with asyncio.timeout(seconds):
                await self._converse(asked, told)
        except _Stop as stop:
            return stop.outcome
        except (TimeoutError, httpx2.TimeoutException):
            return Outcome(Word.SLOW, f"no answer in {seconds:g} s")
        except _BROKEN as error:
            return Outcome(Word.DOWN, f"{type(error).__name__}: {error}")
        return None

    async def _converse(self, asked: Asked, told: Told) -> None:
        (origin, size, _), known = asked.checkpoint, self._sizes.get(asked.checkpoint.origin, 0)
        old = known if known <= size else 0
        for last in (False, True):
            status, body = await self._offer(asked, old)
            if status == 200:
                if old < known:
                    raise _Stop(Outcome(Word.FORGOT, f"it cosigned {known} entries before, and now {size}", size=old))
                self._take(asked, body, told)
                if any(name in told.lines for name in self._keys):
                    self._sizes[origin] = size
                return
            if status == 422:
                raise _Stop(Outcome(Word.INCONSISTENT, _said(body)))
            if status != 409:
                raise _Stop(Outcome(Word.REFUSED, _said(body), status))
            old = self._next(_size_of(body), old, known, size, last=last)

    def _next(self, named: int, old: int, known: int, size: int, *, last: bool) -> int:
        """Return the size to offer the checkpoint from after a 409 that ``named`` another."""
        if named < known:
            raise _Stop(Outcome(Word.FORGOT, f"it cosigned {known} entries before", size=named))
        if named > size:
            raise _Stop(Outcome(Word.AHEAD, f"it says that it cosigned {named} entries", size=named))
        if named == old == size:
            # Until version 1.1 of the protocol this meant another root at this size.
            raise _Stop(Outcome(Word.INCONSISTENT, "another root at this size", size=named))
        if named == old:
            raise _Stop(Outcome(Word.LIED, f"it refuses the size {old} and names it", size=named))
        if last:
            raise _Stop(Outcome(Word.REFUSED, "its size changed meanwhile", 409, named))
        return named

    async def _offer(self, asked: Asked, old: int) -> tuple[int, bytes]:
        try:
            proof = () if old in (0, asked.checkpoint.size) else await asked.prove(old, asked.checkpoint.size)
        except ExequaturError as error:
            raise _Stop(Outcome(Word.UNPROVEN, str(error), size=old)) from None
        body = wire.format_request(old, proof, asked.note)
        status, media_type, answer = await self._call("POST", "add-checkpoint", body)
        if status == 409 and media_type != wire.SIZE_TYPE:
            raise _Stop(Outcome(Word.LIED, f"409 with {media_type or 'no media type'}"))
        return status, answer

    async def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
        async with self._client.stream(method, f"{self._url}/{path}", content=body) as answer:
            parts, length = [], 0
            async for part in answer.aiter_raw():
                length += len(part)
                if length > wire.MAX_ANSWER:
                    raise _Stop(Outcome(Word.LIED, f"an answer of more than {wire.MAX_ANSWER} bytes"))
                parts.append(part)
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return answer.status_code, media_type, b"".join(parts)

    def _take(self, asked: Asked, body: bytes, told: Told) -> None:
        """Check the cosignatures of each witness at this URL; lines of other keys are ignored."""
        try:
            lines = wire.parse_lines(body)
        except MalformedError as error:
            raise _Stop(Outcome(Word.LIED, str(error))) from None
        for name, key in self._keys.items():
            own = [line for line in lines if (line.name, line.key_id) == (key.name, key.key_id)]
            try:
                told.lines[name] = self._check(asked, key, own)
                told.outcomes[name] = Outcome(Word.COSIGNED)
            except ExequaturError as error:
                told.outcomes[name] = Outcome(Word.LIED, str(error))

    def _check(self, asked: Asked, key: NoteKey, lines: list[NoteSignature]) -> tuple[NoteSignature, int]:
        """Return a witness's one cosignature and its time; raise ``MalformedError`` or ``NotProvenError``."""
        if len(lines) != 1:
            raise NotProvenError(f"{len(lines)} cosignatures by the key of {key.name}, not one")
        data = note.format(asked.text, [*asked.lines, *lines])
        made = checkpoint.open(data, asked.log_keys, [key]).cosigned[key]
        if not asked.begun - OLDEST_S <= made <= self._clock() + self._leeway:
            raise NotProvenError(f"a cosignature of another time, {made - asked.begun:+} s")
        return lines[0], made

    async def _look(self, asked: Asked, said: Outcome) -> Outcome:
        """Look for the log's own signature on what a witness says; without it, what it said is the outcome."""
        origin, size, root = asked.checkpoint
        status, _, data = await self._call("GET", f"{wire.name_of_origin(origin)}/checkpoint")
        try:
            held = checkpoint.open(data, asked.log_keys).checkpoint
        except ExequaturError:
            return said
        if status != 200 or held.origin != origin or held.size == 0:
            return said
        (size1, root1), (size2, root2) = sorted(((size, root), (held.size, held.root)))
        try:
            proof = () if size1 == size2 else await asked.prove(size1, size2)
        except NotFoundError:
            # The log does not have what its key has signed.
            return Outcome(said.word, said.detail, size=held.size, evidence=data)
        except ExequaturError:
            return said
        try:
            merkle.check_consistency(size1, size2, root1, root2, proof)
        except ExequaturError as error:
            return Outcome(Word.INCONSISTENT, str(error), size=held.size, evidence=data)
        if held.size > size:
            return Outcome(Word.STALE, "it has cosigned a later head of this log", size=held.size)
        return said


def _size_of(body: bytes) -> int:
    try:
        return wire.parse_size(body)
    except MalformedError as error:
        raise _Stop(Outcome(Word.LIED, f"409 with {error}")) from None


def _said(body: bytes) -> str:
    """Return what a refusal says, for the operator: the beginning of it, with nothing that a terminal obeys."""
    text = body[:200].decode(errors="replace").strip()
    return "".join(character if character.isprintable() else " " for character in text)
