"""A publisher that is killed at any write leaves what the next one goes on from (specs/10 §9)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exequatur_log.publish.store import Bucket, Store, open_store
from exequatur_verifier import checkpoint
from tests.data import ROOT
from tests.log import scene
from tests.publish.conftest import SIZE, publish_all, run
from tests.publish.test_publisher import paths_of
from tests.support.swift import REGION, Swift

# A tree of 600 has 4 tiles and 3 bundles, then comes the checkpoint.
WRITES = 8


class Place:
    """Where the killed ones publish to, and what they need to get there."""

    def __init__(self, place: str, endpoint: str, keys: Path) -> None:
        self.store = open_store(place, Bucket(endpoint, REGION, keys) if endpoint else None)
        self.arguments = [place, endpoint, str(keys)]


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, target: Path, keys_file: Path) -> Iterator[Place]:
    if request.param == "directory":
        yield Place(str(target), "", keys_file)
        return
    swift: Swift = request.getfixturevalue("swift")
    swift.make_bucket("killed")
    yield Place("s3://killed/log", swift.url, keys_file)


def published(store: Store) -> dict[str, bytes]:
    found = ((path, run(store.get(path))) for path in sorted(paths_of(SIZE)))
    return {path: data for path, data in found if data is not None}


def test_a_killed_publisher_is_gone_on_from(path: Path, place: Place, target: Path) -> None:
    """S-17: at no moment does a checkpoint stand without all that it reaches."""
    whole = target.with_name("whole")
    publish_all(path, open_store(str(whole)))
    expected = published(open_store(str(whole)))
    packages = [str(ROOT), *(str(ROOT / part) for part in ("verifier", "log"))]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    for writes, when in ((2, "after"), (WRITES - 1, "before"), (WRITES - 1, "after")):
        command = [sys.executable, "-m", "tests.publish.killed", str(path), *place.arguments, str(writes), when]
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        found = published(place.store)
        assert found.items() <= expected.items()
        assert ("checkpoint" in found) == (when == "after" and writes == WRITES - 1)
        assert len(found) >= writes
    signed = checkpoint.open(found["checkpoint"], (scene.KEYS.note_key,)).checkpoint
    assert (found, signed.size) == (expected, SIZE)
    assert publish_all(path, place.store).objects == 0
