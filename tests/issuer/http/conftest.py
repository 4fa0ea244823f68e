"""A service for each test: under the starter policy, and under the rules of AuthZEN's scenario."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.issuer.house import House
from tests.issuer.http.service import TOOLS, Make, Service
from tests.issuer.ledger import MemoryLog


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make services over a house, and close them."""
    made: list[Service] = []

    def start(house: House, *arguments: object) -> Service:
        made.append(Service(house, *arguments))  # type: ignore[arg-type]  # a service's own
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def service(house: House, make: Make) -> Service:
    """Return a service under the starter policy."""
    return make(house)


@pytest.fixture
def tools(tmp_path: Path, make: Make) -> Service:
    """Return a service under the rules of AuthZEN's scenario."""
    return make(House(tmp_path, MemoryLog(), TOOLS))
