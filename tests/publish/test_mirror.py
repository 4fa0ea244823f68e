"""The mirror answers as the log would, from a directory alone, and gives out nothing unproven (specs/10 §10)."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_log import head as heads
from exequatur_log import tlog_proof
from exequatur_log.errors import FatalLogError, NotFoundError, StoreError
from exequatur_log.kept import Kept
from exequatur_log.log import Log
from exequatur_log.publish.directory import DirectoryStore
from exequatur_log.publish.mirror import Mirror
from exequatur_verifier import note, tiles
from exequatur_verifier.tiles import Tile
from tests.log import scene
from tests.log.test_rotation import SECOND
from tests.publish.conftest import SIZE, files, grow, in_log, publish_all, run
from tests.publish.test_publisher import copy_of

KEYS = (scene.KEYS.note_key,)


@pytest.fixture
def published(path: Path, target: Path) -> Path:
    """A directory with a log of 600 entries."""
    publish_all(path, DirectoryStore(target))
    return target


def mirror_of(target: Path) -> Mirror:
    return Mirror(DirectoryStore(target), KEYS)


def expire(mirror: Mirror) -> None:
    """Let a second pass, after which a mirror looks for a newer checkpoint."""
    mirror._asked = 0.0


async def everything(mirror: Mirror) -> None:
    """Ask for whatever the tree of 600 has."""
    await mirror.checkpoint()
    for tile in tiles.tiles_of(SIZE):
        await mirror.hashes(tile)
        if tile.level == 0:
            await mirror.bundle(tile._replace(level=None))


def test_a_mirror_answers_as_its_log_does(path: Path, published: Path) -> None:
    """S-20, S-21."""
    mirror = mirror_of(published)

    async def work(log: Log) -> None:
        assert await mirror.checkpoint() == (await log.head()).note
        for index in (0, 1, 254, 255, 256, 511, 512, 598, 599):
            assert await mirror.statement(index) == (await log.get(index)).statement
            assert await mirror.tlog_proof(index) == await log.tlog_proof(index)
            for size in (index + 1, 256, 257, 513, SIZE):
                if index < size:
                    assert await mirror.inclusion(index, size) == await log.inclusion(index, size)
        for size1 in (1, 2, 255, 256, 257, 512, 599, SIZE):
            for size2 in (size1, 300, 512, 599, SIZE):
                if size1 <= size2:
                    assert await mirror.consistency(size1, size2) == await log.consistency(size1, size2)
        for level, number, most in ((0, 0, 256), (0, 1, 256), (0, 2, 88), (1, 0, 2)):
            for width in (1, 2, 87, 88, 255, 256):
                if width <= most:
                    expected = (await log.tile(level, number))[: 32 * width]
                    assert await mirror.hashes(Tile(level, number, width)) == expected
        for number, width in ((0, 256), (0, 1), (1, 255), (2, 88), (2, 87)):
            entries = [entry.statement for entry in await log.page(number * 256, number * 256 + width)]
            assert await mirror.bundle(Tile(None, number, width)) == tiles.encode_entries(entries)

    in_log(path, work)


def test_nothing_is_beyond_the_checkpoint(path: Path, published: Path) -> None:
    """S-21: also what lies in the store already, of a round that is not done."""
    grow(path, 10)
    publish_all(path, DirectoryStore(published.with_name("later")))
    note = files(published)["checkpoint"]
    shutil.copytree(published.with_name("later"), published, dirs_exist_ok=True)
    (published / "checkpoint").write_bytes(note)
    mirror = mirror_of(published)
    asked: list[Awaitable[object]] = [
        *(mirror.hashes(tile) for tile in (Tile(0, 2, 89), Tile(0, 2), Tile(0, 3, 1), Tile(1, 0, 3), Tile(2, 0, 1))),
        *(mirror.hashes(Tile(63, number)) for number in (0, 10**18)),
        *(mirror.bundle(tile) for tile in (Tile(None, 2, 89), Tile(None, 3, 1), Tile(None, 10**18))),
        *(mirror.statement(place) for place in (SIZE, 10**18, bytes(32))),
        *(mirror.tlog_proof(place) for place in (SIZE, bytes(32))),
        *(mirror.inclusion(*asked) for asked in ((SIZE, SIZE + 1), (1, 1), (0, SIZE + 1), (5, 4))),
        *(mirror.consistency(*asked) for asked in ((0, 1), (2, 1), (1, SIZE + 1))),
    ]

    async def work() -> None:
        for one in asked:
            with pytest.raises(NotFoundError):
                await one
        await everything(mirror)

    run(work())


PUBLISHED = [
    "checkpoint",
    "tile/0/000",
    "tile/0/001",
    "tile/0/002.p/88",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/001",
    "tile/entries/002.p/88",
]
Change = Callable[[bytes], bytes]
CHANGES: dict[str, Change] = {
    "flipped": lambda data: data[:-3] + bytes((data[-3] ^ 1,)) + data[-2:],
    "shortened": lambda data: data[:-32],
    "lengthened": lambda data: data + bytes(32),
    "emptied": lambda _: b"",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_changed_byte_is_given_out(name: str, published: Path) -> None:
    """S-20."""
    sound = files(published)
    for change in CHANGES.values():
        (published / name).write_bytes(change(sound[name]))
        with pytest.raises(FatalLogError):
            run(everything(mirror_of(published)))
    (published / name).unlink()
    with pytest.raises(StoreError):
        run(everything(mirror_of(published)))
    (published / name).write_bytes(sound[name])
    run(everything(mirror_of(published)))


def test_the_full_tile_stands_in_for_partial_ones(path: Path, published: Path) -> None:
    """S-21: who publishes may remove partial tiles once there is the full one."""
    older = files(published)["checkpoint"]
    grow(path, 256)
    publish_all(path, DirectoryStore(published))
    (published / "checkpoint").write_bytes(older)
    for partial in (published / "tile/0/002.p", published / "tile/entries/002.p"):
        shutil.rmtree(partial)
    mirror = mirror_of(published)
    run(everything(mirror))
    assert len(run(mirror_of(published).hashes(Tile(0, 2, 88)))) == 88 * 32


def test_a_newer_checkpoint_is_taken_when_it_extends_the_former(path: Path, published: Path) -> None:
    """S-22."""
    mirror = mirror_of(published)
    run(everything(mirror))
    older = files(published)["checkpoint"]
    grow(path, 300)
    newer = publish_all(path, DirectoryStore(published)).note

    async def look() -> bytes:
        # Within the second the former one is good enough, unless something beyond it is wanted.
        assert await mirror.checkpoint() == older
        assert len(await mirror.hashes(Tile(0, 3, 132))) == 132 * 32
        assert await mirror.checkpoint() == newer
        # Two publishers to a bucket may leave the older one there for a while.
        (published / "checkpoint").write_bytes(older)
        expire(mirror)
        return await mirror.checkpoint()

    assert run(look()) == newer


def test_a_checkpoint_of_another_history_is_not_taken(path: Path, published: Path) -> None:
    """S-22: not even with the log's own signature and a sound tree under it."""
    fork = copy_of(path, "fork.db")
    grow(path, 1)
    publish_all(path, DirectoryStore(published))
    mirror = mirror_of(published)
    run(everything(mirror))
    good = files(published)["checkpoint"]
    for more in (1, 8):
        grow(fork, more)
        other = published.with_name(f"other {more}")
        publish_all(fork, DirectoryStore(other))
        # The same folder, all of it replaced.
        published.rename(published.with_name(f"kept {more}"))
        shutil.copytree(other, published)
        run(everything(mirror_of(published)))
        expire(mirror)
        with pytest.raises(FatalLogError, match="does not extend"):
            run(everything(mirror))
        shutil.rmtree(published)
        published.with_name(f"kept {more}").rename(published)
    assert files(published)["checkpoint"] == good
    run(everything(mirror))


def test_a_signature_is_asked_for_where_there_is_a_key(published: Path) -> None:
    """S-22."""
    good = files(published)["checkpoint"]
    point = note.parse(good).text.split("\n")
    forged = heads.sign(int(point[1]), note.decode_base64(point[2]), scene.NOW, SECOND).note
    (published / "checkpoint").write_bytes(forged)
    with pytest.raises(FatalLogError, match="does not hold"):
        run(everything(mirror_of(published)))
    run(everything(Mirror(DirectoryStore(published))))
    run(everything(Mirror(DirectoryStore(published), (SECOND.note_key, scene.KEYS.note_key))))


def test_a_store_without_a_checkpoint_is_no_log_yet(target: Path, path: Path) -> None:
    """S-22."""
    mirror = mirror_of(target)
    with pytest.raises(StoreError, match="publish the log there first"):
        run(mirror.point())
    publish_all(path, DirectoryStore(target))
    assert run(mirror.point()).size == SIZE


def test_a_proof_leads_to_the_checkpoint_it_comes_with(published: Path) -> None:
    mirror = mirror_of(published)

    async def ask() -> tuple[bytes, bytes]:
        return await mirror.statement(257), await mirror.tlog_proof(257)

    entry, proof = run(ask())
    assert tlog_proof.verify(tlog_proof.decode(proof), entry, KEYS).size == SIZE


def test_many_questions_at_once_are_answered(published: Path) -> None:
    mirror = mirror_of(published)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(mirror.tlog_proof(index) for index in range(0, SIZE, 40)))

    assert len(set(run(ask()))) == 15


def test_what_is_kept_is_bounded() -> None:
    kept: Kept[int] = Kept(100)
    for number in range(20):
        kept.keep(number, bytes(10))
        kept.keep(number, bytes(10))
    assert [number for number in range(20) if kept.get(number) is not None] == list(range(10, 20))
    kept.keep(99, bytes(101))
    assert kept.get(99) is None
    kept.keep(98, bytes(100))
    assert [number for number in range(100) if kept.get(number) is not None] == [98]
