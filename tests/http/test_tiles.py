"""The C2SP read side over HTTP: an auditor rebuilds the log from what a cache would hold (specs/10 §4)."""

import gzip

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_verifier import checkpoint, merkle, tiles
from exequatur_verifier.tiles import Tile
from tests.http.conftest import Serve, Served
from tests.log import scene

SIZE = 600


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a log of 600 entries."""
    path = tmp_path_factory.mktemp("large") / "log.db"
    with scene.create(path) as log:
        log.register_many([scene.request() for _ in range(SIZE - 4)])
    return path.read_bytes()


@pytest.fixture
def wide(serve: Serve, large: bytes, tmp_path: pytest.TempPathFactory) -> Served:
    path = tmp_path / "wide.db"  # type: ignore[operator]
    path.write_bytes(large)
    return serve(path)


def get(served: Served, tile: Tile, **headers: str) -> bytes:
    answer = served.client.get("/" + tiles.format_path(tile), headers=headers)
    assert answer.status_code == 200, tile
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    return answer.content


def test_an_auditor_rebuilds_the_signed_root_from_tiles_and_bundles(wide: Served) -> None:
    """S-10."""
    note = wide.client.get("/checkpoint")
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    assert note.headers["cache-control"] == "public, max-age=1"
    signed = checkpoint.open(note.content, (scene.KEYS.note_key,)).checkpoint
    assert (signed.origin, signed.size) == (scene.ORIGIN, SIZE)
    leaves: list[bytes] = []
    for number in range(3):
        width = min(256, SIZE - number * 256)
        bundle = tiles.decode_entries(get(wide, Tile(None, number, width)))
        hashes = tiles.decode_hashes(get(wide, Tile(0, number, width)))
        assert [merkle.leaf_hash(entry) for entry in bundle] == hashes
        leaves += hashes
    assert tiles.subtree_root(leaves) == signed.root
    above = tiles.decode_hashes(get(wide, Tile(1, 0, 2)))
    assert above == [tiles.subtree_root(leaves[start : start + 256]) for start in (0, 256)]
    for tile in tiles.tiles_of(SIZE):
        assert len(get(wide, tile)) == tile.width * 32


def test_every_width_up_to_the_current_one_is_served_and_none_beyond(wide: Served) -> None:
    """S-10."""
    full = get(wide, Tile(0, 1))
    for width in (1, 2, 100, 255):
        assert get(wide, Tile(0, 1, width)) == full[: 32 * width]
        assert (
            get(wide, Tile(None, 2, min(width, 88)))
            == get(wide, Tile(None, 2, 88))[: len(get(wide, Tile(None, 2, min(width, 88))))]
        )
    for beyond in (
        Tile(0, 2),
        Tile(0, 2, 89),
        Tile(0, 3, 1),
        Tile(1, 0, 3),
        Tile(2, 0, 1),
        Tile(None, 2, 89),
        Tile(63, 0),
    ):
        assert wide.client.get("/" + tiles.format_path(beyond)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/entries/000.p/",
        "tile/data/000",
        "tile/0/001.p/1/2",
        "tile/0/000?",
        "tile//000",
        "tile/",
    ],
)
def test_a_tile_has_one_spelling(wide: Served, path: str) -> None:
    answer = wide.client.get(f"/{path}")
    assert answer.status_code == (200 if path.endswith("000?") else 404)


@pytest.mark.parametrize(
    ("accept", "coded"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("", False),
    ],
)
def test_bundles_are_compressed_for_those_who_accept_it(wide: Served, accept: str, coded: bool) -> None:
    plain = get(wide, Tile(None, 0), **{"accept-encoding": "identity"})
    with wide.client.stream("GET", "/tile/entries/000", headers={"accept-encoding": accept}) as answer:
        raw = b"".join(answer.iter_raw())
        assert (answer.headers.get("content-encoding") == "gzip") is coded
        assert answer.headers["vary"] == "accept-encoding"
    assert (gzip.decompress(raw) if coded else raw) == plain


def test_a_checkpoint_never_runs_ahead_of_its_tiles(served: Served) -> None:
    for _ in range(20):
        served.post(scene.request())
        size = checkpoint.parse(served.client.get("/checkpoint").text.partition("\n\n")[0] + "\n").size
        assert len(get(served, Tile(0, 0, size))) == size * 32


def test_what_another_process_appends_is_served_too(served: Served) -> None:
    """The home's own commands append beside the server."""
    with BlockingLog.open(served.path, scene.KEYS, clock=lambda: scene.NOW) as beside:
        index = beside.register(scene.request()).leaf_index
    assert served.client.get(f"/entries/{index}").status_code == 200
    assert served.post(scene.request()).status_code == 201
