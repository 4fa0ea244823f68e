"""A fresh log for each test that asks for one: in a file, or wherever a log may lie."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_log.storage.place import Place
from tests.log import scene
from tests.support.postgres import Server, server

__all__ = ["server"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log in a file may be made."""
    return tmp_path / "log.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """Where a log may be made, in each database that one may lie in."""
    if request.param == "sqlite":
        return path
    running: Server = request.getfixturevalue("server")
    return running.database()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BlockingLog, bytes]]:
    """A log for all tests of a file, whose subjects do not meet, and its first policy record."""
    policy = scene.policy()
    in_file = request.param == "sqlite"
    place = tmp_path_factory.mktemp("log") / "log.db" if in_file else request.getfixturevalue("server").database()
    with scene.create(place) as log:
        log.register(policy)
        yield log, policy


@pytest.fixture
def log(place: Place) -> Iterator[BlockingLog]:
    """A fresh log there."""
    with scene.create(place) as opened:
        yield opened
