"""Start-up refuses whatever is out of order, says so, and changes nothing."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_log.errors import FatalLogError, LogError
from exequatur_log.genesis import sign_genesis
from exequatur_log.head import LogKeys
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.keys import Algorithm
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW
from tests.support.world import signer


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log of a full tile and some more."""
    path = tmp_path_factory.mktemp("sound") / "log.db"
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(300)])
    return path


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "log.db"))


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def test_a_sound_log_opens(copy: Path) -> None:
    # L-35
    with scene.reopen(copy) as log:
        assert log.head().size == 304
    with BlockingLog.open(copy) as log:
        assert log.head().size == 304


@pytest.mark.parametrize("name", damage.STARTUP)
def test_damage_is_refused_and_not_repaired(copy: Path, name: str) -> None:
    # L-35
    damage.apply(copy, damage.STARTUP[name])
    before = dump(copy)
    for keys in (KEYS, None):
        with pytest.raises(FatalLogError):
            BlockingLog.open(copy, keys, clock=lambda: NOW)
    assert dump(copy) == before


def test_a_clock_behind_the_last_head_is_refused(copy: Path) -> None:
    # L-35
    scene.reopen(copy, NOW - 60).close()
    with pytest.raises(FatalLogError, match="clock"):
        scene.reopen(copy, NOW - 61)
    BlockingLog.open(copy, KEYS, clock=lambda: NOW - 500, leeway=500).close()
    # Who only reads signs nothing, so the clock is no matter.
    BlockingLog.open(copy, clock=lambda: 0).close()


@pytest.mark.parametrize(
    "keys",
    [
        KEYS._replace(receipt=signer("other receipts")),
        KEYS._replace(checkpoint=signer("other checkpoints", Algorithm.ED25519)),
        KEYS._replace(iss="https://other.example"),
        KEYS._replace(origin="log.example/other"),
        KEYS._replace(receipt=signer("scene checkpoints", Algorithm.ED25519)),
        KEYS._replace(checkpoint=signer("scene receipts")),
    ],
    ids=["receipt key", "checkpoint key", "iss", "origin", "receipt algorithm", "checkpoint algorithm"],
)
def test_other_keys_than_the_geneses_are_refused(copy: Path, keys: LogKeys) -> None:
    # L-04
    with pytest.raises(FatalLogError, match="keys"):
        BlockingLog.open(copy, keys, clock=lambda: NOW)


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 400])
def test_what_is_no_log_is_refused(path: Path, content: bytes | None) -> None:
    # L-35
    if content is not None:
        path.write_bytes(content)
    for keys in (KEYS, None):
        with pytest.raises(LogError):
            BlockingLog.open(path, keys, clock=lambda: NOW)
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("pragma", ["application_id = 1", "user_version = 2", "journal_mode = DELETE"])
def test_another_format_is_refused(copy: Path, pragma: str) -> None:
    # L-35
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(FatalLogError, match="format"):
        BlockingLog.open(copy)


def test_a_log_is_created_once(copy: Path) -> None:
    before = dump(copy)
    with pytest.raises(LogError, match="exists"):
        BlockingLog.create(copy, scene.genesis(), KEYS, clock=lambda: NOW)
    assert dump(copy) == before
    assert sorted(item.name for item in copy.parent.iterdir()) == ["log.db"]


def genesis_of_others() -> bytes:
    return sign_genesis(
        signer("scene operator"), KEYS._replace(origin="log.example/other"), now=NOW, unique=scene.unique()
    )


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: b"", MalformedError),
        (scene.request, MalformedError),
        (lambda: scene.genesis()[:-1] + b"\x00", NotProvenError),
        (lambda: scene.enrolments()[0], MalformedError),
        (genesis_of_others, NotProvenError),
    ],
    ids=["nothing", "a request", "a wrong signature", "an enrolment", "another log's"],
)
def test_a_log_is_not_created_from_a_wrong_genesis(
    path: Path, make: Callable[[], bytes], error: type[ExequaturError]
) -> None:
    # L-04
    with pytest.raises(error):
        BlockingLog.create(path, make(), KEYS, clock=lambda: NOW)
    assert list(path.parent.iterdir()) == []
