"""Status lists that a service keeps from lapsing."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exequatur_cli.office import keep_lists
from exequatur_issuer.http.office import Office
from tests.issuer.house import NOW
from tests.issuer.http.service import Service
from tests.issuer.listed import PERIOD, ListedHouse, listed_house


@pytest.fixture
def listed(tmp_path: Path) -> ListedHouse:
    return listed_house(tmp_path)


@pytest.fixture
def keeping(listed: ListedHouse) -> Iterator[Service]:
    """Return a service of an authority with status lists, one of which is in use."""
    service = Service(listed)
    service.ports = service.ports._replace(lists=listed.lists())
    assert service.authorize(listed.asked()).status_code == 200
    yield service
    service.close()


def test_lists_in_use_are_published_again_when_half_their_time_is_over(keeping: Service, listed: ListedHouse) -> None:
    """H-27"""
    for elapsed, versions in ((PERIOD // 2, [1]), (PERIOD // 2 + 1, [1, 2]), (PERIOD // 2 + 2, [1, 2])):
        keeping.now = NOW + elapsed
        asyncio.run(keeping.desk.run(Office.keep))
        assert [version.version for version in listed.versions()] == versions
    assert listed.versions()[-1].next_update == NOW + PERIOD // 2 + 1 + PERIOD


def test_an_authority_without_lists_publishes_none(service: Service) -> None:
    """H-27"""
    before = service.records()
    asyncio.run(service.desk.run(Office.keep))
    assert service.records() == before


def test_it_is_tried_again_when_it_failed(
    keeping: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H-27"""
    asked = asyncio.Event()
    attempts: list[Any] = []

    async def run(work: Any) -> None:
        attempts.append(work)
        if len(attempts) == 1:
            raise OSError("the disk is full")
        asked.set()

    monkeypatch.setattr(keeping.desk, "run", run)

    async def twice() -> None:
        task = asyncio.create_task(keep_lists(keeping.desk, 0.001))
        await asked.wait()
        task.cancel()

    with caplog.at_level(logging.WARNING, "exequatur.authority"):
        asyncio.run(twice())
    assert attempts[:2] == [Office.keep, Office.keep]
    assert "the disk is full" in caplog.text
