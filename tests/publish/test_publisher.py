"""Publishing to a directory: what an auditor then finds there, and what stops it (specs/10 §9, specs/03 §6)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from exequatur_log import head as heads
from exequatur_log.errors import DifferingRewriteError, FatalLogError, StoreError
from exequatur_log.log import Log
from exequatur_log.publish.directory import DirectoryStore
from exequatur_log.publish.publisher import check_published, publish
from exequatur_log.publish.store import Store
from exequatur_verifier import checkpoint, merkle, note, tiles
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.tiles import Tile
from tests.log import damage, scene
from tests.log.damage import Damage
from tests.log.test_rotation import SECOND, rotate
from tests.publish.conftest import SIZE, files, grow, in_log, publish_all, publish_head, run
from tests.support import world
from tests.support.world import signer


def paths_of(*sizes: int) -> set[str]:
    """Return what is published of a log whose heads of these sizes were."""
    found = {"checkpoint"}
    for size in sizes:
        for tile in tiles.tiles_of(size):
            found.add(tiles.format_path(tile))
            if tile.level == 0:
                found.add(tiles.format_path(tile._replace(level=None)))
    return found


def check(target: Path, size: int) -> None:
    """Check what is published as an auditor would, from the signed root down to each entry."""
    found = files(target)
    signed = checkpoint.open(found["checkpoint"], (scene.KEYS.note_key,)).checkpoint
    assert (signed.origin, signed.size) == (scene.ORIGIN, size)
    leaves: list[bytes] = []
    for number in range(-(-size // 256)):
        width = min(256, size - number * 256)
        entries = tiles.decode_entries(found[tiles.format_path(Tile(None, number, width))])
        hashes = tiles.decode_hashes(found[tiles.format_path(Tile(0, number, width))])
        assert [merkle.leaf_hash(entry) for entry in entries] == hashes
        leaves += hashes
    assert tiles.subtree_root(leaves) == signed.root
    above = [tiles.subtree_root(leaves[start : start + 256]) for start in range(0, size - size % 256, 256)]
    assert tiles.decode_hashes(found[tiles.format_path(Tile(1, 0, len(above)))]) == above


def test_an_auditor_finds_everything_that_the_checkpoint_reaches(path: Path, store: Store, target: Path) -> None:
    """S-17."""
    seen: list[tuple[int, int]] = []
    done = publish_all(path, store, progress=lambda done, total: seen.append((done, total)))
    assert files(target).keys() == paths_of(SIZE)
    check(target, SIZE)
    assert seen == [(number, 4) for number in (1, 2, 3, 4)]
    assert (done.size, done.former_size, done.objects, done.behind, done.lag) == (SIZE, 0, 7, 0, 0)
    assert done.bytes == sum(len(data) for name, data in files(target).items() if name != "checkpoint")


def test_a_round_adds_what_came_since_and_changes_nothing_else(path: Path, store: Store, target: Path) -> None:
    """S-16, S-17."""
    publish_all(path, store)
    sizes = [SIZE]
    for more in (1, 167, 1, 300):
        before = files(target)
        grow(path, more)
        sizes.append(sizes[-1] + more)
        done = publish_all(path, store)
        after = files(target)
        check(target, sizes[-1])
        assert after.keys() == paths_of(*sizes)
        assert {name: after[name] for name in before if name != "checkpoint"}.items() <= before.items()
        assert (done.former_size, done.objects) == (sizes[-2], len(after) - len(before))
    before = files(target)
    assert publish_all(path, store).objects == 0
    assert files(target) == before


def test_an_older_head_is_never_put_over_a_newer_one(path: Path, store: Store, target: Path) -> None:
    """S-19: the older head's tiles are not needed either."""
    with scene.reopen(path) as log:
        older = log.head().note
    grow(path, 1)
    publish_all(path, store)
    before = files(target)
    done = in_log(path, lambda log: publish(log, store, older, clock=lambda: scene.NOW))
    assert (done.size, done.note, done.objects) == (SIZE + 1, before["checkpoint"], 0)
    assert files(target) == before


def test_cosignatures_are_added_to_a_checkpoint_and_not_taken_away(path: Path, store: Store, target: Path) -> None:
    witness = world.witness_key("w.example")
    with scene.reopen(path) as log:
        bare = log.head().note
    point = checkpoint.open(bare, (scene.KEYS.note_key,)).checkpoint
    parsed = note.parse(bare)
    line = checkpoint.cosign(point, scene.NOW, witness, signer("w.example", Algorithm.ED25519))
    cosigned = note.format(parsed.text, (*parsed.signatures, line))
    for sent, stands in ((bare, bare), (cosigned, cosigned), (bare, cosigned), (cosigned, cosigned)):
        done = in_log(path, lambda log, sent=sent: publish(log, store, sent, clock=lambda: scene.NOW))  # type: ignore[misc]
        assert done.note == files(target)["checkpoint"] == stands


def test_what_is_not_published_yet_is_counted(path: Path, store: Store) -> None:
    async def work(log: Log) -> None:
        older = (await log.head()).note
        await log.register_many([scene.request() for _ in range(3)])
        await log.register(scene.request())
        done = await publish(log, store, older, clock=lambda: scene.NOW + 7)
        assert (done.size, done.behind, done.lag) == (SIZE, 4, 7)
        done = await publish(log, store, (await log.head()).note, clock=lambda: scene.NOW + 7)
        assert (done.size, done.behind, done.lag) == (SIZE + 4, 0, 0)

    in_log(path, work)


@pytest.mark.parametrize("name", ["tile/0/002.p/89", "tile/entries/002.p/89"])
def test_a_differing_rewrite_is_refused_and_the_checkpoint_stays(
    name: str, path: Path, store: Store, target: Path
) -> None:
    """S-16."""
    publish_all(path, store)
    grow(path, 1)
    note = files(target)["checkpoint"]
    (target / name).write_bytes(b"other bytes")
    for _ in range(2):
        with pytest.raises(DifferingRewriteError) as raised:
            publish_all(path, store)
        assert raised.value.path == name
        assert files(target)["checkpoint"] == note
        assert files(target)[name] == b"other bytes"
    (target / name).unlink()
    publish_all(path, store)
    check(target, SIZE + 1)


def test_a_store_that_fails_midway_is_gone_on_with(path: Path, store: Store, target: Path) -> None:
    """S-17."""
    publish_all(path, store)
    grow(path, 200)
    note = files(target)["checkpoint"]
    (target / "tile" / "1").rename(target / "away")
    (target / "tile" / "1").write_bytes(b"")
    with pytest.raises(StoreError, match="failed"):
        publish_all(path, DirectoryStore(target))
    assert files(target)["checkpoint"] == note
    (target / "tile" / "1").unlink()
    (target / "away").rename(target / "tile" / "1")
    publish_all(path, store)
    check(target, SIZE + 200)


@pytest.mark.parametrize(
    "change",
    [
        damage.flip("entries", "statement", "leaf_index = 5"),
        damage.flip("tiles", "hashes", "level = 0 AND number = 1", 40),
        damage.flip("tiles", "hashes", "level = 1 AND number = 0", 3),
        damage.flip("tiles", "hashes", "level = 0 AND number = 2", 5),
        damage.sql("UPDATE tiles SET hashes = substr(hashes, 1, 32) WHERE level = 0 AND number = 0"),
        damage.sql("DELETE FROM entries WHERE leaf_index = 255"),
    ],
    ids=["entry", "full tile", "tile above", "partial tile", "short tile", "missing entry"],
)
def test_what_a_damaged_log_cannot_prove_is_not_published(
    change: Damage, path: Path, store: Store, target: Path
) -> None:
    """S-17: what is once published could never be put right."""
    sound = target.with_name("sound")
    note = publish_all(copy_of(path, "sound.db"), DirectoryStore(sound)).note
    damage.apply(path, change)

    async def work() -> None:
        async with await Log.open(path) as log:
            await publish(log, store, note)

    with pytest.raises(FatalLogError):
        run(work())
    assert "checkpoint" not in files(target)
    assert files(target).items() <= files(sound).items()


def copy_of(path: Path, name: str) -> Path:
    copy = path.with_name(name)
    copy.write_bytes(path.read_bytes())
    return copy


def check_at(path: Path, store: Store) -> int | None:
    standing = in_log(path, lambda log: check_published(log, store))
    return None if standing is None else standing.checkpoint.size


def test_a_log_older_than_what_is_published_is_told_to_be(path: Path, store: Store, target: Path) -> None:
    """L-46."""
    assert check_at(path, store) is None
    older = copy_of(path, "older.db")
    publish_all(path, store)
    assert check_at(path, store) == check_at(older, store) == SIZE
    grow(path, 1)
    publish_all(path, store)
    assert check_at(path, store) == SIZE + 1
    before = files(target)
    with pytest.raises(FatalLogError, match="restored from an older copy"):
        check_at(older, store)
    with pytest.raises(FatalLogError, match="restored from an older copy"):
        publish_all(older, store)
    assert files(target) == before


def test_a_log_of_another_history_than_what_is_published_is_told_to_be(path: Path, store: Store, target: Path) -> None:
    """L-47: also when it is longer by now."""
    fork = copy_of(path, "fork.db")
    grow(path, 1)
    publish_all(path, store)
    before = files(target)
    for more in (1, 5):
        grow(fork, more)
        with pytest.raises(FatalLogError, match="never had"):
            check_at(fork, store)
        with pytest.raises(FatalLogError, match="never had"):
            publish_all(fork, store)
    assert files(target) == before
    assert check_at(path, store) == SIZE + 1


def of_another_key(good: bytes) -> bytes:
    head = checkpoint.parse(note.parse(good).text)
    return heads.sign(head.size, head.root, scene.NOW, SECOND).note


def of_another_origin(good: bytes) -> bytes:
    head = checkpoint.parse(note.parse(good).text)
    return heads.sign(head.size, head.root, scene.NOW, scene.KEYS._replace(origin="log.example/other")).note


def flipped(good: bytes) -> bytes:
    return good.replace(b"\n600\n", b"\n599\n")


@pytest.mark.parametrize(
    "change",
    [of_another_key, of_another_origin, flipped, lambda _: b"", lambda _: b"<html>"],
    ids=["another key", "another origin", "another size", "nothing", "no note"],
)
def test_a_checkpoint_that_the_log_did_not_sign_is_no_start(
    change: Callable[[bytes], bytes], path: Path, store: Store, target: Path
) -> None:
    """L-47."""
    publish_all(path, store)
    good = files(target)["checkpoint"]
    changed = change(good)
    assert changed != good
    (target / "checkpoint").write_bytes(changed)
    with pytest.raises(FatalLogError, match="not one that this log signed"):
        check_at(path, store)
    with pytest.raises(FatalLogError, match="not one that this log signed"):
        publish_all(path, store)
    assert files(target)["checkpoint"] == changed
    (target / "checkpoint").write_bytes(good)
    assert check_at(path, store) == SIZE


@pytest.mark.parametrize("change", [of_another_key, of_another_origin, flipped], ids=lambda change: change.__name__)
def test_a_note_that_the_log_did_not_sign_is_not_published(
    change: Callable[[bytes], bytes], path: Path, store: Store, target: Path
) -> None:
    with scene.reopen(path) as log:
        good = log.head().note
    with pytest.raises(ExequaturError):
        in_log(path, lambda log: publish(log, store, change(good)))
    assert files(target) == {}
    in_log(path, lambda log: publish(log, store, good))
    check(target, SIZE)


def test_a_note_of_another_history_is_not_published(path: Path, store: Store, target: Path) -> None:
    """The log's own signature under what is not its tree: its keys sign elsewhere too."""
    forged = heads.sign(SIZE, bytes(32), scene.NOW, scene.KEYS).note
    later = heads.sign(SIZE + 1, bytes(32), scene.NOW, scene.KEYS).note
    for sent in (forged, later):
        with pytest.raises(FatalLogError):
            in_log(path, lambda log, sent=sent: publish(log, store, sent))  # type: ignore[misc]
    assert files(target) == {}
    publish_all(path, store)
    with pytest.raises(FatalLogError):
        in_log(path, lambda log: publish(log, store, forged))
    check(target, SIZE)


def test_rotated_keys_go_on_from_what_older_ones_signed(path: Path, store: Store, target: Path) -> None:
    publish_all(path, store)
    rotate(path, scene.KEYS, SECOND)

    async def work() -> None:
        async with await Log.open(path, SECOND, clock=lambda: scene.NOW) as log:
            done = await publish_head(log, store)
            assert (done.former_size, done.size) == (SIZE, SIZE + 2)

    run(work())
    signed = checkpoint.open(files(target)["checkpoint"], (SECOND.note_key,)).checkpoint
    assert signed.size == SIZE + 2


def test_publishers_of_different_heads_meet_in_one_store(path: Path, target: Path) -> None:
    """S-19: whoever is last, the newest checkpoint stands."""

    async def work(log: Log) -> None:
        notes = [(await log.head()).note]
        for more in (1, 30, 80, 200):
            await log.register_many([scene.request() for _ in range(more)])
            notes.append((await log.head()).note)
        # Each with a store of its own, as another process would have; the newest first, and the oldest first.
        for order in (notes, notes[::-1]):
            done = await asyncio.gather(*(publish(log, DirectoryStore(target), one) for one in order))
            assert max(one.size for one in done) == SIZE + 311
            check(target, SIZE + 311)

    in_log(path, work)
