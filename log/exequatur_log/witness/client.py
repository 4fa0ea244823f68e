"""Asking the witnesses of a policy to cosign a log's checkpoint (specs/11 §2).

Each is asked at the same time; what one does never holds up the others longer than its time, and never raises.
Witnesses at one URL are one party, asked once.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import httpx2

from exequatur_verifier import checkpoint, note
from exequatur_verifier.note import NoteKey

from .conversation import Asked, Party, Prove, Told
from .outcome import Gathered, Outcome, Word
from .policy import WitnessPolicy

__all__ = ["Prove", "Witnesses", "gather"]

TIMEOUT_S: Final = 5.0
GRACE_S: Final = 0.1
LEEWAY_S: Final = 60
# Servers close a connection that was idle for five seconds or more; one is not used while that may happen.
_IDLE_S: Final = 3.0


class Witnesses:
    """The witnesses of a policy, with the connections to them and the size that each cosigned last. Close it."""

    def __init__(
        self,
        policy: WitnessPolicy,
        *,
        timeout: float = TIMEOUT_S,
        grace: float = GRACE_S,
        leeway: int = LEEWAY_S,
        clock: Callable[[], int] = lambda: int(time.time()),
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        """``timeout`` is what each witness has, ``grace`` what is left to the others when the quorum is met."""
        self._policy = policy
        self._timeout = timeout
        self._grace = grace
        self._clock = clock
        # No proxy, credential or certificate that the environment names, and no answer unpacked.
        self._client = httpx2.AsyncClient(
            trust_env=False,
            verify=tls,
            timeout=timeout,
            follow_redirects=False,
            limits=httpx2.Limits(keepalive_expiry=_IDLE_S),
            headers={"accept-encoding": "identity", "user-agent": "exequatur"},
        )
        places: dict[str, dict[str, NoteKey]] = {}
        for name, witness in policy.witnesses.items():
            if witness.url is not None:
                places.setdefault(witness.url.rstrip("/"), {})[name] = witness.key
        self._parties = [Party(url, keys, self._client, clock, leeway) for url, keys in places.items()]
        self._names = [name for keys in places.values() for name in keys]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def gather(self, signed: bytes, prove: Prove) -> Gathered:
        """Ask all witnesses to cosign a checkpoint, and return as soon as they are a quorum, or all have answered.

        Raises ``MalformedError`` or ``NotProvenError`` if no log of the policy signed the checkpoint, and nothing for
        what witnesses do. Cosignatures that the note bears already are not taken over. Where no quorum is asked for,
        all are waited for.
        """
        asked, told = self._open(signed, prove), Told({}, {})
        waiting = {asyncio.create_task(party.ask(asked, told, self._timeout)) for party in self._parties}
        running = tuple(waiting)
        loop = asyncio.get_running_loop()
        last: float | None = None
        try:
            while waiting:
                left = None if last is None else last - loop.time()
                if left is not None and left <= 0:
                    break
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if last is None and self._policy.quorum is not None and self._since(asked, told) is not None:
                    last = loop.time() + self._grace
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        late = Outcome(Word.SLOW, "the others were enough before it answered")
        lines = [told.lines[name][0] for name in self._policy.witnesses if name in told.lines]
        return Gathered(
            note.format(asked.text, [*asked.lines, *lines]),
            self._since(asked, told),
            {name: told.outcomes.get(name, late) for name in self._names},
        )

    def _open(self, signed: bytes, prove: Prove) -> Asked:
        keys = self._policy.log_keys
        opened = checkpoint.open(signed, keys).checkpoint
        parsed, named = note.parse(signed), {(key.name, key.key_id) for key in keys}
        lines = tuple(line for line in parsed.signatures if (line.name, line.key_id) in named)
        return Asked(note.format(parsed.text, lines), parsed.text, lines, opened, keys, prove, self._clock())

    def _since(self, asked: Asked, told: Told) -> int | None:
        """Return since when the cosignatures are a quorum, or ``None``."""
        if self._policy.quorum is None:
            return asked.begun
        times = {self._policy.witnesses[name].key: made for name, (_, made) in told.lines.items()}
        freshest: list[NoteKey] = []
        for key in sorted(times, key=times.__getitem__, reverse=True):
            freshest.append(key)
            if self._policy.is_quorum(freshest):
                return times[key]
        return None


async def gather(signed: bytes, policy: WitnessPolicy, prove: Prove, *, within: float = TIMEOUT_S) -> Gathered:
    """As ``Witnesses.gather``, for one checkpoint; each witness has ``within`` seconds."""
    async with Witnesses(policy, timeout=within) as witnesses:
        return await witnesses.gather(signed, prove)
