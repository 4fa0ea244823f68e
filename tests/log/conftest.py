"""A fresh log for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exequatur_log.blocking import BlockingLog
from tests.log import scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[BlockingLog]:
    with scene.create(path) as opened:
        yield opened
