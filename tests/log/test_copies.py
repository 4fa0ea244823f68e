"""A log in one file, and a log made of it again: the same in everything, or not at all."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import FatalLogError, LogError
from exequatur_log.exporting import export_blocking, export_log
from exequatur_log.head import SignedHead, WitnessedHead, sign
from exequatur_log.importing import import_blocking
from exequatur_log.log import Log
from exequatur_log.storage import writer
from exequatur_log.storage.place import Place
from exequatur_verifier import checkpoint, note
from exequatur_verifier.keys import Algorithm
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW, Case
from tests.log.test_rotation import SECOND, reopen, rotate
from tests.support.postgres import Server, query
from tests.support.world import signer, witness_key

WITNESS = "witness.example"


def cosigned(head: SignedHead) -> WitnessedHead:
    """Return the checkpoint of a head with a line of a witness."""
    text = note.parse(head.note).text
    line = checkpoint.cosign(checkpoint.parse(text), NOW, witness_key(WITNESS), signer(WITNESS, Algorithm.ED25519))
    return WitnessedHead(head.size, NOW, head.note + note.format(text, [line]).partition(b"\n\n")[2])


def fill(place: Place) -> None:
    """Make a log with cases, more than one page and tile, rotated keys and a cosigned head."""
    policy = scene.policy()
    with scene.create(place) as log:
        log.register(policy)
        for _ in range(3):
            for entry in Case(policy):
                log.register(entry)
    rotate(place, KEYS, SECOND)
    with reopen(place, SECOND) as log:
        log.register_many([scene.request() for _ in range(600)])
        kept = cosigned(log.head())
        log.run(lambda opened: opened.keep_witnessed(kept))
        log.register(scene.request())


def everything(place: Place) -> list[object]:
    """Return what a log answers: entries, receipts, heads, tiles, cosigned checkpoint."""
    with BlockingLog.open(place) as log:
        heads = log.heads(limit=10_000)
        tiles = [log.tile(*key) for key in ((0, 0), (0, 1), (0, 2), (1, 0))]
        receipts = [log.receipt(index) for index in range(log.head().size)]
        witnessed = log.run(lambda opened: opened.witnessed())
        assert witnessed is not None
        return [list(log.entries()), receipts, heads, log.head(), tiles, log.root(log.head().size), witnessed]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log, which nobody changes."""
    path = tmp_path_factory.mktemp("full") / "log.db"
    fill(path)
    return path


@pytest.fixture(scope="module")
def exported(full: Path) -> Path:
    """Its copy, which nobody changes either."""
    file = full.with_name("copy")
    export_blocking(full, file)
    return file


@pytest.fixture(scope="module")
def newest(full: Path) -> bytes:
    """The checkpoint of its head."""
    with BlockingLog.open(full) as log:
        return log.head().note


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(copyfile(exported, tmp_path / "copy"))


def test_a_log_comes_back_the_same(full: Path, exported: Path, newest: bytes, place: Place) -> None:
    # L-45
    told: list[tuple[int, int]] = []
    head = import_blocking(exported, place, [newest], lambda done, total: told.append((done, total)))
    assert told[-1] == (head.size, head.size)
    assert check_file(place) == []
    assert everything(place) == everything(full)
    with reopen(place, SECOND) as log:
        assert log.register(scene.request()).leaf_index == head.size


def test_a_log_moves_to_a_database_and_back(
    full: Path, exported: Path, newest: bytes, server: Server, tmp_path: Path
) -> None:
    # L-45
    place, back = server.database(), tmp_path / "back.db"
    import_blocking(exported, place, [newest])
    again = export_blocking(place, tmp_path / "again")
    assert again.note == newest
    import_blocking(tmp_path / "again", back, [newest])
    assert everything(back) == everything(full)


def test_a_copy_is_made_while_others_append(place: Place, tmp_path: Path) -> None:
    scene.create(place).close()

    async def run() -> SignedHead:
        async with await Log.open(place, KEYS, clock=lambda: NOW) as log:
            exporting = asyncio.create_task(export_log(place, tmp_path / "copy"))
            while not exporting.done():
                await log.register_many([scene.request() for _ in range(20)])
            return await exporting

    head = asyncio.run(run())
    with scene.reopen(place) as log:
        assert log.head().size > head.size
        assert log.heads(after=head.size - 1, limit=1) == [head]
    there = tmp_path / "there.db"
    assert import_blocking(tmp_path / "copy", there, [head.note]) == head
    assert check_file(there) == []


def test_a_copy_is_no_log(copy: Path, full: Path, newest: bytes, path: Path) -> None:
    # L-44
    for keys in (SECOND, None):
        with pytest.raises(FatalLogError, match="is a copy"):
            BlockingLog.open(copy, keys)
    with pytest.raises(FatalLogError, match="not a copy"):
        import_blocking(full, path, [newest])
    assert not path.exists()


def test_a_copy_is_not_written_over(copy: Path, full: Path) -> None:
    before = copy.read_bytes()
    with pytest.raises(LogError, match="exists"):
        export_blocking(full, copy)
    assert copy.read_bytes() == before
    assert [item.name for item in copy.parent.iterdir()] == ["copy"]


def test_a_head_must_be_shown(copy: Path, path: Path) -> None:
    # L-44
    with pytest.raises(LogError, match="would fork"):
        import_blocking(copy, path, [])
    assert not path.exists()


def test_a_copy_that_is_older_than_the_log_was_is_refused(
    full: Path, newest: bytes, path: Path, tmp_path: Path
) -> None:
    # L-44
    original = Path(copyfile(full, tmp_path / "original.db"))
    older = tmp_path / "older"
    export_blocking(original, older)
    with reopen(original, SECOND) as log:
        log.register(scene.request())
        later = log.head().note
    for shown in ([later], [newest, later]):
        with pytest.raises(LogError, match="newer copy"):
            import_blocking(older, path, shown)
        assert not path.exists()
    # A copy made since holds both.
    export_blocking(original, tmp_path / "since")
    import_blocking(tmp_path / "since", path, [newest, later])


def shown_by_another(size: int) -> bytes:
    return sign(size, bytes(32), NOW, SECOND).note


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (b"", "not signed"),
        (sign(7, bytes(32), NOW, SECOND._replace(checkpoint=signer("x", Algorithm.ED25519))).note, "not signed"),
        (sign(7, bytes(32), NOW, SECOND._replace(origin="log.example/other")).note, "not signed"),
        (shown_by_another(7), "another history"),
        (shown_by_another(100), "another history"),
    ],
    ids=["nothing", "another key", "another origin", "another root", "a size that was never signed"],
)
def test_a_head_of_another_log_or_history_is_refused(
    copy: Path, newest: bytes, path: Path, shown: bytes, why: str
) -> None:
    # L-44
    with pytest.raises(LogError, match=why):
        import_blocking(copy, path, [newest, shown])
    assert not path.exists()


FLIPS = {
    "a statement": damage.flip("entries", "statement", "leaf_index = 7", 60),
    "the genesis": damage.flip("entries", "statement", "leaf_index = 0", -1),
    "the newest statement": damage.flip("entries", "statement", "leaf_index = (SELECT max(leaf_index) FROM entries)"),
    "a leaf": damage.flip("entries", "leaf_hash", "leaf_index = 7"),
    "a record id": damage.flip("entries", "record_id", "leaf_index = 7"),
    "the head of a receipt": damage.sql("UPDATE entries SET head_size = head_size + 1 WHERE leaf_index = 7"),
    "an issuer": damage.sql("UPDATE entries SET iss = 'x' WHERE leaf_index = 7"),
    "an old root": damage.flip("heads", "root", "size = 1"),
    "an old receipt signature": damage.flip("heads", "signature", "size = 1"),
    "an old header": damage.flip("heads", "protected", "size = 1", 40),
    "an old checkpoint": damage.flip("heads", "note", "size = 1", -8),
    "the head's signature": damage.flip("head", "signature", "id = 1"),
    "the head's edge": damage.flip("head", "edge", "id = 1"),
    "a full tile": damage.flip("tiles", "hashes", "level = 0 AND number = 0"),
    "a partial tile": damage.flip("tiles", "hashes", "level = 0 AND number = 2"),
    "a key": damage.flip("keys", "encoded", "rowid = 2"),
    "the log's line of a cosigned checkpoint": damage.flip("witnessed", "note", "TRUE", 120),
}


@pytest.mark.parametrize("name", FLIPS)
def test_a_copy_with_one_byte_flipped_is_refused(copy: Path, newest: bytes, path: Path, name: str) -> None:
    # L-45
    damage.apply(copy, FLIPS[name])
    with pytest.raises(LogError):
        import_blocking(copy, path, [newest])
    assert [item.name for item in path.parent.iterdir()] == ["copy"]


def test_a_damaged_copy_leaves_nothing_in_a_database(copy: Path, newest: bytes, server: Server) -> None:
    # L-45
    place = server.database()
    damage.apply(copy, FLIPS["the newest statement"])
    with pytest.raises(LogError):
        import_blocking(copy, place, [newest])
    assert query(place, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == "0\n"


def test_an_import_that_is_interrupted_leaves_nothing(
    copy: Path, newest: bytes, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # L-45
    real, pages = writer.restore, iter(range(10))

    async def restore(*arguments: object) -> None:
        await real(*arguments)  # type: ignore[arg-type]
        if next(pages) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(writer, "restore", restore)
    with pytest.raises(KeyboardInterrupt):
        import_blocking(copy, place, [newest])
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == ["copy"]
    import_blocking(copy, place, [newest])
    assert check_file(place) == []


def test_a_log_is_not_imported_over_another(copy: Path, newest: bytes, place: Place) -> None:
    scene.create(place).close()
    with pytest.raises(LogError, match=r"already"):
        import_blocking(copy, place, [newest])
    assert check_file(place) == []
    with scene.reopen(place) as log:
        assert log.head().size == 4


def test_what_would_not_open_is_not_exported(full: Path, path: Path, tmp_path: Path) -> None:
    damaged = Path(copyfile(full, path))
    damage.apply(damaged, damage.STARTUP["its receipt signature"])
    with pytest.raises(FatalLogError):
        export_blocking(damaged, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_copy_stands_alone(copy: Path, newest: bytes, path: Path) -> None:
    """It needs no file beside it, and can be read where nothing can be written."""
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    copy.chmod(0o400)
    import_blocking(copy, path, [newest])
    assert sorted(item.name for item in path.parent.iterdir()) == ["copy", "log.db"]
