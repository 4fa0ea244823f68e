"""Logs to publish, the stores to publish them to, and the auditor who trusts neither."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from exequatur_log.log import Log
from exequatur_log.publish.publisher import Published, publish
from exequatur_log.publish.store import Store, open_store
from tests.log import scene
from tests.support.swift import ACCESS_KEY, SECRET_KEY, Swift

T = TypeVar("T")
SIZE = 600


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a log of 600 entries."""
    path = tmp_path_factory.mktemp("made") / "log.db"
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(SIZE - 4)])
    return path.read_bytes()


@pytest.fixture
def path(made: bytes, tmp_path: Path) -> Path:
    """A log of 600 entries of the test's own."""
    path = tmp_path / "log.db"
    path.write_bytes(made)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory to publish to, which is not there yet."""
    return tmp_path / "published"


@pytest.fixture
def store(target: Path) -> Store:
    return open_store(str(target))


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """A running Swift, one for all tests."""
    with Swift(tmp_path_factory.mktemp("swift")) as running:
        yield running


@pytest.fixture
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The keys to Swift, in a file as the AWS tools keep it; there are none in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "keys"
    path.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    return path


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def in_log(path: Path, work: Callable[[Log], Coroutine[Any, Any, T]]) -> T:
    """Do some work on a log that is open for appending."""

    async def do() -> T:
        async with await Log.open(path, scene.KEYS, clock=lambda: scene.NOW) as log:
            return await work(log)

    return run(do())


async def publish_head(log: Log, store: Store, **terms: Any) -> Published:
    return await publish(log, store, (await log.head()).note, clock=lambda: scene.NOW, **terms)


def publish_all(path: Path, store: Store, **terms: Any) -> Published:
    """Publish the current head of the log at a path."""
    return in_log(path, lambda log: publish_head(log, store, **terms))


def grow(path: Path, count: int) -> None:
    with scene.reopen(path) as log:
        log.register_many([scene.request() for _ in range(count)])


def files(target: Path) -> dict[str, bytes]:
    """Return what is published, by path, without what is the publisher's own."""
    found = {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*") if file.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(".")}
