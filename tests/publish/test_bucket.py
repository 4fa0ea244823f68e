"""Publishing to a bucket: OpenStack Swift, by its S3 interface (specs/10 §9)."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from exequatur_log.errors import DifferingRewriteError, FatalLogError, StoreError
from exequatur_log.log import Log
from exequatur_log.publish.mirror import Mirror
from exequatur_log.publish.probe import probe
from exequatur_log.publish.publisher import publish
from exequatur_log.publish.store import Bucket, Store, create, open_store
from exequatur_verifier import tiles
from tests.log import scene
from tests.publish.conftest import SIZE, grow, in_log, publish_all, publish_head, run
from tests.publish.test_publisher import copy_of
from tests.publish.through import Through
from tests.support.swift import REGION, Swift

_numbers = count()
MakeBucket = Callable[..., Store]


@pytest.fixture
def bucket(swift: Swift, keys_file: Path) -> MakeBucket:
    """Make a bucket, and return it as a store."""

    def make(*, versioned: bool = False) -> Store:
        name = f"log-{next(_numbers)}"
        swift.make_bucket(name, versioned=versioned)
        return open_store(f"s3://{name}/some/log", Bucket(swift.url, REGION, keys_file))

    return make


def test_a_bucket_is_fit_and_takes_a_log(bucket: MakeBucket, path: Path) -> None:
    """S-16, S-17, S-18."""
    store = bucket()

    async def work(log: Log) -> None:
        for _ in range(2):
            await probe(store)
        done = await publish_head(log, store)
        assert (done.size, done.objects) == (SIZE, 7)
        await log.register_many([scene.request() for _ in range(200)])
        done = await publish_head(log, store)
        assert (done.former_size, done.size, done.behind) == (SIZE, SIZE + 200, 0)
        assert (await publish_head(log, store)).objects == 0
        # A reader with none of this knowledge finds all of it, proven.
        mirror = Mirror(store, (scene.KEYS.note_key,))
        for tile in tiles.tiles_of(SIZE + 200):
            assert tile.level is not None
            assert await mirror.hashes(tile) == (await log.tile(tile.level, tile.number))[: 32 * tile.width]
        for index in (0, 255, 256, SIZE + 199):
            assert await mirror.statement(index) == (await log.get(index)).statement

    in_log(path, work)


def test_a_differing_rewrite_is_refused_and_the_checkpoint_stays(bucket: MakeBucket, path: Path) -> None:
    """S-16."""
    store = bucket()
    note = publish_all(path, store).note
    grow(path, 1)
    run(create(store, "tile/0/002.p/89", b"other bytes"))
    with pytest.raises(DifferingRewriteError) as raised:
        publish_all(path, store)
    assert raised.value.path == "tile/0/002.p/89"
    assert run(store.get("checkpoint")) == note
    assert run(store.get("tile/0/002.p/89")) == b"other bytes"


def test_a_store_that_goes_down_midway_is_gone_on_with(bucket: MakeBucket, swift: Swift, path: Path) -> None:
    """S-17."""
    store = bucket()
    note = publish_all(path, store).note
    grow(path, 300)

    class GoesDown(Through):
        """Its server is killed before the fourth write."""

        writes = 0

        async def add(self, path: str, data: bytes) -> bool:
            self.writes += 1
            if self.writes < 4:
                return await super().add(path, data)
            with swift.down():
                return await super().add(path, data)

    with pytest.raises(StoreError, match="does not let us create tile/"):
        publish_all(path, GoesDown(store), at_once=1)
    assert run(store.get("checkpoint")) == note
    done = publish_all(path, store)
    # Three tiles and two bundles came since, and three of them stood already.
    assert (done.former_size, done.size, done.objects) == (SIZE, SIZE + 300, 2)


def test_a_log_older_than_what_is_published_is_told_to_be(bucket: MakeBucket, path: Path) -> None:
    """L-46."""
    store = bucket()
    older = copy_of(path, "older.db")
    grow(path, 1)
    note = publish_all(path, store).note
    with pytest.raises(FatalLogError, match="restored from an older copy"):
        publish_all(older, store)
    assert run(store.get("checkpoint")) == note


def test_a_checkpoint_that_another_replaced_meanwhile_is_not_put_back(bucket: MakeBucket, path: Path) -> None:
    """S-19."""
    store = bucket()

    async def work(log: Log) -> None:
        older = (await log.head()).note
        await log.register(scene.request())
        newer = (await publish_head(log, store)).note
        done = await publish(log, store, older)
        assert done.note == await store.get("checkpoint") == newer
        assert not await store.replace("checkpoint", older, older)
        assert await store.get("checkpoint") == newer

    in_log(path, work)


def test_a_versioned_bucket_is_not_fit(bucket: MakeBucket, path: Path) -> None:
    """S-18: Swift's gives back nothing of what it took."""
    for _ in range(2):
        with pytest.raises(StoreError, match=r"not fit to publish to: .*without versioning"):
            run(probe(bucket(versioned=True)))
    run(probe(bucket()))


@pytest.mark.parametrize("wrong", ["bucket", "key", "port"])
def test_a_bucket_that_cannot_be_reached_is_told_without_secrets(
    wrong: str, bucket: MakeBucket, swift: Swift, keys_file: Path
) -> None:
    store = bucket()
    run(store.add("tile/0/000", b"hashes"))
    endpoint, name = swift.url, store.name
    if wrong == "bucket":
        name = "s3://not-there"
    elif wrong == "key":
        keys_file.write_text(keys_file.read_text().replace("testing", "guessing"))
    else:
        endpoint = "http://127.0.0.1:1"
    other = open_store(name, Bucket(endpoint, REGION, keys_file))
    with pytest.raises(StoreError) as raised:
        run(other.add("tile/0/001", b"hashes"))
    assert "tile/0/001" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(secret in str(raised.value) for secret in ("testing", "guessing", "Signature"))
    with pytest.raises(StoreError):
        run(probe(other))


def test_keys_may_stand_in_the_environment(
    bucket: MakeBucket, swift: Swift, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket().name
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    run(probe(open_store(name, Bucket(swift.url, REGION))))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessing")
    with pytest.raises(StoreError):
        run(probe(open_store(name, Bucket(swift.url, REGION))))


def test_nothing_larger_than_a_bundle_is_read(bucket: MakeBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bucket()
    run(store.add("tile/0/000", b"x" * 100))
    monkeypatch.setattr("exequatur_log.publish.bucket.MAX_OBJECT", 100)
    assert run(store.get("tile/0/000")) == b"x" * 100
    monkeypatch.setattr("exequatur_log.publish.bucket.MAX_OBJECT", 99)
    with pytest.raises(StoreError, match="larger than anything"):
        run(store.get("tile/0/000"))
