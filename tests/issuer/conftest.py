"""An authority for each test: on a log in memory, and one on the product's own log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.issuer.house import House
from tests.issuer.ledger import MemoryLog, RealLog


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Return an authority under the starter policy, on a log in memory."""
    return House(tmp_path, MemoryLog())


@pytest.fixture
def real_house(tmp_path: Path) -> Iterator[House]:
    """Yield an authority under the starter policy, on the product's own log."""
    log = RealLog(tmp_path / "log.db")
    yield House(tmp_path, log)
    log.close()
