"""The probe: a store that does not do what publishing rests on is refused, and told why (specs/10 §9).

The liars are a directory with one thing about it that is not true; a real one, a versioned bucket, is in
``test_bucket``.
"""

import asyncio
from pathlib import Path

import pytest

from exequatur_log.errors import StoreError
from exequatur_log.publish.directory import DirectoryStore
from exequatur_log.publish.probe import probe
from tests.publish.conftest import files, run


def test_a_directory_is_fit_again_and_again(target: Path) -> None:
    """S-18."""
    for _ in range(3):
        run(probe(DirectoryStore(target)))
    assert files(target) == {}
    assert sorted(file.name for file in (target / ".probe").iterdir()) == ["created", "replaced"]


def test_several_may_ask_at_once(target: Path) -> None:
    async def ask() -> None:
        await asyncio.gather(*(probe(DirectoryStore(target)) for _ in range(4)))

    run(ask())


class TakesAgain(DirectoryStore):
    async def add(self, path: str, data: bytes) -> bool:
        return await super().add(path, data) or await super().replace(path, data, await self.get(path))


class ChangesSilently(DirectoryStore):
    async def add(self, path: str, data: bytes) -> bool:
        fresh = await super().add(path, data)
        if not fresh:
            await super().replace(path, data, await self.get(path))
        return fresh


class TakesNothing(DirectoryStore):
    async def add(self, *_: object) -> bool:
        return False


class ForgetsToReplace(DirectoryStore):
    async def replace(self, *_: object) -> bool:
        return True


class RefusesToReplace(DirectoryStore):
    async def replace(self, *_: object) -> bool:
        return False


class GivesNothingBack(DirectoryStore):
    async def get(self, path: str) -> bytes | None:
        found = await super().get(path)
        return None if found is None else b""


class HasEverything(DirectoryStore):
    async def get(self, path: str) -> bytes | None:
        return await super().get(path) or b"<html>welcome</html>"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (TakesAgain, "takes a second creation"),
        (ChangesSilently, "changes what stands"),
        (TakesNothing, "refuses to create what is not there"),
        (ForgetsToReplace, "does not replace"),
        (RefusesToReplace, "does not replace"),
        (GivesNothingBack, "does not give back the bytes"),
        (HasEverything, "where nobody writes"),
    ],
)
def test_a_store_that_lies_is_refused(kind: type[DirectoryStore], why: str, target: Path) -> None:
    """S-18."""
    for _ in range(2):
        with pytest.raises(StoreError, match=f"not fit to publish to: .*{why}"):
            run(probe(kind(target)))
