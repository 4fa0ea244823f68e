"""A clock that steps back: nothing is signed with a time that is too early, and nothing has to be repaired after it."""

from pathlib import Path

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import Code, FatalLogError, Refused
from exequatur_log.log import LEEWAY
from exequatur_log.storage.place import Place
from tests.log import scene
from tests.log.scene import KEYS, NOW
from tests.support.postgres import Server, server

__all__ = ["server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return tmp_path / "log.db"
    running: Server = request.getfixturevalue("server")
    return running.database()


def test_clock_that_steps_back_stops_registration_until_it_is_right(place: Place) -> None:
    # L-14 L-35
    scene.create(place).close()
    time = NOW

    def clock() -> int:
        return time

    early = NOW - LEEWAY - 1
    with BlockingLog.open(place, KEYS, clock=clock) as log:
        first, later = scene.request(), scene.request()
        standing = log.register(first)
        time = early
        with pytest.raises(Refused) as refused:
            log.register(later)
        assert refused.value.code is Code.CLOCK_BEHIND
        assert log.register(first).receipt == standing.receipt
        size = log.head().size
        with pytest.raises(FatalLogError, match="clock"):
            BlockingLog.open(place, KEYS, clock=clock)
        time = early + 1
        assert log.register(later).leaf_index == size
        heads = log.heads()
    assert [head.iat for head in heads] == [NOW] * len(heads)
    BlockingLog.open(place, KEYS, clock=clock).close()
    assert check_file(place) == []
