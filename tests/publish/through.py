"""A store that asks another, for tests that change one thing about it."""

from exequatur_log.publish.store import Store


class Through:
    """What the other store does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def name(self) -> str:
        return self._store.name

    async def get(self, path: str) -> bytes | None:
        return await self._store.get(path)

    async def add(self, path: str, data: bytes) -> bool:
        return await self._store.add(path, data)

    async def replace(self, path: str, data: bytes, former: bytes | None) -> bool:
        return await self._store.replace(path, data, former)
