"""A publisher that is killed at its Nth write, counted from 0.

killed.py LOG PLACE ENDPOINT KEYS N before|after
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from exequatur_log.log import Log
from exequatur_log.publish.publisher import publish
from exequatur_log.publish.store import Bucket, Store, open_store
from tests.publish.through import Through


class Deadly(Through):
    """Kills its process."""

    def __init__(self, store: Store, writes: int, when: str) -> None:
        super().__init__(store)
        self._left = writes
        self._when = when

    async def add(self, path: str, data: bytes) -> bool:
        self._die("before")
        made = await super().add(path, data)
        self._die("after")
        return made

    async def replace(self, path: str, data: bytes, former: bytes | None) -> bool:
        self._die("before")
        made = await super().replace(path, data, former)
        self._die("after")
        return made

    def _die(self, now: str) -> None:
        if now == self._when:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1


async def main(path: str, place: str, endpoint: str, keys: str, writes: str, when: str) -> None:
    bucket = Bucket(endpoint, "us-east-1", Path(keys)) if endpoint else None
    async with await Log.open(Path(path)) as log:
        await publish(log, Deadly(open_store(place, bucket), int(writes), when), (await log.head()).note)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
