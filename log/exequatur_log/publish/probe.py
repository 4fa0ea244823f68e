"""Does a store do what publishing rests on? Asked once, before anything is published to it (specs/10 §9).

Some that call themselves compatible take a second creation, as versioned buckets do, or give back other bytes than
they took. Two small objects below ``.probe`` are used for this, the same at every start.
"""

import asyncio
import secrets
from typing import Final

from exequatur_log.errors import StoreError

from .store import Store

_CREATED: Final = ".probe/created"
_REPLACED: Final = ".probe/replaced"
_ABSENT: Final = ".probe/absent"
_LENGTH: Final = 32
_AT_ONCE: Final = 4


async def probe(store: Store) -> None:
    """Raise ``StoreError``, which says why, if the store is not fit to publish to."""
    await _reads_absence(store)
    await _creates_once(store)
    await _replaces(store)


async def _reads_absence(store: Store) -> None:
    if await store.get(_ABSENT) is not None:
        raise _unfit(store, f"it has something at {_ABSENT}, where nobody writes")


async def _creates_once(store: Store) -> None:
    first = secrets.token_bytes(_LENGTH)
    if not await store.add(_CREATED, first):
        standing = await store.get(_CREATED)
        if standing is None:
            raise _unfit(store, "it refuses to create what is not there")
        first = standing
    if len(first) != _LENGTH or await store.get(_CREATED) != first:
        raise _unfit(store, "it does not give back the bytes that it took")
    others = [secrets.token_bytes(_LENGTH) for _ in range(_AT_ONCE)]
    if any(await asyncio.gather(*(store.add(_CREATED, other) for other in others))):
        raise _unfit(store, "it takes a second creation of what stands already, as versioned buckets of some stores do")
    if await store.get(_CREATED) != first:
        raise _unfit(store, "it says that it refuses a second creation, and changes what stands")


async def _replaces(store: Store) -> None:
    for _ in range(_AT_ONCE):
        former, data = await store.get(_REPLACED), secrets.token_bytes(_LENGTH)
        replaced = await store.replace(_REPLACED, data, former)
        standing = await store.get(_REPLACED)
        if replaced and standing == data:
            return
        if standing == former:
            raise _unfit(store, "it does not replace what it is told to, or gives back what was replaced")
        # Somebody else is asking the same store the same thing.
    raise _unfit(store, "it does not give back the bytes that it took to replace others")


def _unfit(store: Store, why: str) -> StoreError:
    return StoreError(f"{store.name} is not fit to publish to: {why}; use a bucket without versioning, or a directory")
