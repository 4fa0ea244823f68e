"""The content store: by digest, hashed again, erased for good, whole or not at all."""

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from exequatur_issuer.content import ContentDamagedError, ContentMissingError, ContentStore
from exequatur_verifier import action
from tests.support import world


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def path_of(tmp_path: Path, digest: bytes) -> Path:
    name = digest.hex()
    return tmp_path / "content" / name[:2] / name[2:]


def test_content_comes_back_by_its_digest(store: ContentStore) -> None:
    #
    assert store.put(b"descriptor") == sha256(b"descriptor").digest()
    assert store.get(sha256(b"descriptor").digest()) == b"descriptor"


def test_many_contents_are_put_in_order_and_twice_is_once(store: ContentStore, tmp_path: Path) -> None:
    digests = store.put_many([b"one", b"two", b"one", b""])
    assert digests == [sha256(content).digest() for content in (b"one", b"two", b"one", b"")]
    assert sum(path.is_file() for path in (tmp_path / "content").rglob("*")) == 3


def test_a_preimage_is_found_under_the_commitment(store: ContentStore) -> None:
    encoded = action.encode(world.COMMAND)
    store.put(action.preimage(action.ACTION_TAG, world.SALT, encoded))
    committed = action.commitment(action.ACTION_TAG, world.SALT, encoded)
    assert store.get(committed).endswith(encoded)


def test_what_was_never_stored_is_missing(store: ContentStore) -> None:
    with pytest.raises(ContentMissingError) as caught:
        store.get(sha256(b"nothing").digest())
    assert caught.value.digest == sha256(b"nothing").digest()


def test_one_flipped_bit_is_damage_and_putting_it_again_mends_it(store: ContentStore, tmp_path: Path) -> None:
    #
    digest = store.put(b"descriptor")
    path_of(tmp_path, digest).write_bytes(b"descriptos")
    with pytest.raises(ContentDamagedError):
        store.get(digest)
    store.put(b"descriptor")
    assert store.get(digest) == b"descriptor"


def test_dropped_content_is_gone_and_dropping_it_again_is_nothing(store: ContentStore) -> None:
    digest, kept = store.put_many([b"descriptor", b"policy"])
    store.drop(digest)
    store.drop(digest)
    with pytest.raises(ContentMissingError):
        store.get(digest)
    assert store.get(kept) == b"policy"


def test_only_the_owner_can_read(store: ContentStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = path_of(tmp_path, store.put(b"descriptor"))
    finally:
        os.umask(old)
    for place in (path, path.parent, path.parent.parent):
        assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0


def test_a_failed_write_leaves_nothing_behind(
    store: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(b"before")

    def fail(_: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            store.put(b"descriptor")
    assert [path.read_bytes() for path in (tmp_path / "content").rglob("*") if path.is_file()] == [b"before"]


def test_bytes_are_synced_before_they_get_their_name_and_the_folder_after(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watch_fsync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def watch_rename(path: Path, target: Path) -> Path:
        events.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(Path, "rename", watch_rename)
    store.put(b"descriptor")
    assert events == ["file", "rename", "folder", "folder"]
