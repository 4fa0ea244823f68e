"""A directory to publish to: files appear whole and once, and their names are durable (specs/10 §9)."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_log.errors import DifferingRewriteError, StoreError
from exequatur_log.publish.bucket import BucketStore
from exequatur_log.publish.directory import DirectoryStore
from exequatur_log.publish.store import MAX_OBJECT, Bucket, Store, create, open_store
from tests.publish.conftest import files, run


def test_what_stands_is_never_written_again(store: Store, target: Path) -> None:
    """S-16."""
    assert run(create(store, "tile/0/x001/067", b"first"))
    assert not run(create(store, "tile/0/x001/067", b"first"))
    with pytest.raises(DifferingRewriteError) as raised:
        run(create(store, "tile/0/x001/067", b"other"))
    digests = (
        "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e",
        "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
    )
    assert raised.value.path == "tile/0/x001/067"
    assert all(digest in str(raised.value) for digest in ("tile/0/x001/067", *digests))
    assert files(target) == {"tile/0/x001/067": b"first"}


def test_a_checkpoint_is_replaced_only_by_who_knows_the_former(store: Store, target: Path) -> None:
    assert run(store.get("checkpoint")) is None
    assert not run(store.replace("checkpoint", b"two", b"one"))
    assert run(store.replace("checkpoint", b"one", None))
    assert not run(store.replace("checkpoint", b"two", None))
    assert run(store.replace("checkpoint", b"two", b"one"))
    assert run(store.get("checkpoint")) == b"two"
    assert files(target) == {"checkpoint": b"two"}


def test_of_many_at_once_one_succeeds(target: Path) -> None:
    """S-16: also from several processes, of which each has a store of its own."""
    stores = [DirectoryStore(target) for _ in range(8)]

    async def race() -> None:
        for path in ("tile/0/000", "tile/0/001", "tile/1/000"):
            made = await asyncio.gather(*(one.add(path, b"%d" % place) for place, one in enumerate(stores)))
            assert sorted(made) == [False] * 7 + [True]
            assert await stores[0].get(path) == b"%d" % made.index(True)
        former: bytes | None = None
        for turn in range(4):
            tried = (one.replace("checkpoint", b"%d %d" % (turn, place), former) for place, one in enumerate(stores))
            replaced = await asyncio.gather(*tried)
            assert sorted(replaced) == [False] * 7 + [True]
            former = await stores[0].get("checkpoint")
            assert former == b"%d %d" % (turn, replaced.index(True))

    run(race())
    assert [file.name for file in (target / ".new").iterdir()] == ["lock"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the kernel, in order: which call, and of which file."""
    made: list[tuple[str, str]] = []

    def watch(module: Any, name: str, place: Callable[..., str]) -> None:
        original = getattr(module, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            made.append((name, place(*arguments)))
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, watched)

    watch(os, "fsync", lambda handle: str(Path(f"/proc/self/fd/{handle}").readlink()))
    watch(os, "link", lambda _, to: str(to))
    watch(Path, "replace", lambda _, to: str(to))
    watch(Path, "mkdir", str)
    return made


def test_bytes_are_durable_before_their_name_and_the_name_before_the_answer(
    store: Store, target: Path, calls: list[tuple[str, str]]
) -> None:
    """S-17: what a checkpoint reaches survives a power cut, as the checkpoint does."""
    run(store.add("tile/0/000", b"hashes"))
    # A folder is durable by its name, which stands in the folder above.
    folders = [("mkdir", target), ("fsync", target.parent)]
    folders += [("mkdir", target / "tile"), ("fsync", target), ("mkdir", target / "tile/0"), ("fsync", target / "tile")]
    folders += [("mkdir", target / ".new"), ("fsync", target)]
    assert calls[:-3] == [(name, str(path)) for name, path in folders]
    (synced, made), *rest = calls[-3:]
    assert (synced, Path(made).parent) == ("fsync", target / ".new")
    assert rest == [("link", str(target / "tile/0/000")), ("fsync", str(target / "tile/0"))]
    calls.clear()
    run(store.replace("checkpoint", b"note", None))
    (synced, made), *rest = calls
    assert (synced, Path(made).parent) == ("fsync", target / ".new")
    assert rest == [("replace", str(target / "checkpoint")), ("fsync", str(target))]


def test_a_name_that_a_killed_process_left_is_made_durable_too(
    store: Store, target: Path, calls: list[tuple[str, str]]
) -> None:
    run(store.add("tile/0/000", b"hashes"))
    calls.clear()
    assert not run(DirectoryStore(target).add("tile/0/000", b"hashes"))
    synced = [path for name, path in calls if name == "fsync"]
    assert {str(target.parent), str(target), str(target / "tile"), str(target / "tile/0")} <= set(synced)
    assert synced[-1] == str(target / "tile/0")


def test_leftovers_of_killed_processes_go_once_they_are_old(target: Path) -> None:
    run(DirectoryStore(target).replace("checkpoint", b"note", None))
    old, young = target / ".new" / "old", target / ".new" / "young"
    old.write_bytes(b"")
    young.write_bytes(b"")
    for file in (old, target / ".new" / "lock"):
        os.utime(file, (1, 1))
    run(DirectoryStore(target).add("tile/0/001", b"hashes"))
    assert sorted(file.name for file in (target / ".new").iterdir()) == ["lock", "young"]


def test_what_goes_wrong_with_files_is_told(tmp_path: Path) -> None:
    missing = DirectoryStore(tmp_path / "no" / "published")
    assert run(missing.get("checkpoint")) is None
    with pytest.raises(StoreError, match="make the folder"):
        run(missing.add("tile/0/000", b"hashes"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file"):
        run(DirectoryStore(tmp_path / "file").add("tile/0/000", b"hashes"))
    with pytest.raises(StoreError, match="file"):
        run(DirectoryStore(tmp_path / "file").get("checkpoint"))
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(StoreError, match="checkpoint"):
        run(DirectoryStore(tmp_path).get("checkpoint"))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_OBJECT + 1)
    with pytest.raises(StoreError, match="large"):
        run(DirectoryStore(tmp_path).get("large"))


@pytest.mark.parametrize(
    "place",
    [
        "s3://",
        "s3:///prefix",
        "s3://user@bucket",
        "s3://bucket:80",
        "s3://bucket/a?versions",
        "s3://bucket#a",
        "gs://bucket",
        "https://example/bucket",
    ],
)
def test_a_place_is_a_directory_or_a_bucket(place: str) -> None:
    with pytest.raises(ValueError, match="neither a directory nor"):
        open_store(place)


@pytest.mark.parametrize(
    "bucket", [Bucket(endpoint="https://s3.example"), Bucket(region="eu-1"), Bucket(credentials=Path("keys"))]
)
def test_a_directory_needs_nothing_of_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    assert open_store(str(tmp_path), Bucket()).name == str(tmp_path)
    with pytest.raises(ValueError, match="is a directory"):
        open_store(str(tmp_path), bucket)


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [
        ("https://s3.example", True),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://localhost:9000", True),
        ("http://s3.example", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example", False),
        ("ftp://127.0.0.1", False),
        ("https://", False),
        ("s3.example", False),
    ],
)
def test_plain_http_is_for_this_machine_alone(endpoint: str, taken: bool, keys_file: Path) -> None:
    settings = Bucket(endpoint, "us-east-1", keys_file)
    if taken:
        assert BucketStore("bucket", "a/b", settings).name == "s3://bucket/a/b"
    else:
        with pytest.raises(ValueError, match="plain http"):
            BucketStore("bucket", "", settings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[other]\naws_access_key_id = a\naws_secret_access_key = secret",
        b"[default]\naws_access_key_id = a",
        b"secret",
        b"[default\nsecret",
        b"\xff secret",
    ],
)
def test_a_file_of_keys_that_is_none_is_refused_without_telling_it(content: bytes, keys_file: Path) -> None:
    keys_file.write_bytes(content)
    with pytest.raises(StoreError) as raised:
        BucketStore("bucket", "", Bucket("http://127.0.0.1:1", "us-east-1", keys_file))
    assert "aws_secret_access_key" in str(raised.value)
    assert "secret" not in str(raised.value).replace("aws_secret_access_key", "")


def test_a_file_of_keys_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        BucketStore("bucket", "", Bucket(None, "us-east-1", tmp_path / "keys"))
