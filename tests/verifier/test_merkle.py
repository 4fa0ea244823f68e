"""The tree's refusals by hand. All sizes against the definition: tests/properties; others' cases: external vectors."""

import pytest

from exequatur_verifier import MalformedError, NotProvenError, merkle, tiles
from tests.support import reference

ENTRIES = [b"a", b"b", b"c", b"d", b"e"]
LEAF = merkle.leaf_hash(b"c")
PATH = reference.inclusion_path(2, ENTRIES)
ROOT, ROOT3 = reference.root(ENTRIES), reference.root(ENTRIES[:3])
PROOF = reference.consistency_path(3, ENTRIES)


def test_hashes_of_the_standard() -> None:
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    # A leaf that spells two hashes is no node.
    assert merkle.leaf_hash(LEAF + LEAF) != merkle.node_hash(LEAF, LEAF)


@pytest.mark.parametrize(
    ("index", "size", "leaf", "path"),
    [
        (5, 5, LEAF, PATH),
        (-1, 5, LEAF, PATH),
        (0, 0, LEAF, []),
        (0, 2**63, LEAF, PATH),
        (2, 5, LEAF[:-1], PATH),
        (2, 5, LEAF, PATH[:-1]),
        (2, 5, LEAF, [*PATH, bytes(32)]),
        (2, 5, LEAF, [*PATH[:-1], PATH[-1][:-1]]),
        (2, 5, LEAF, [*PATH[:-1], "x" * 32]),
        (2**62, 2**63 - 1, LEAF, [bytes(32)] * 64),
        (2, 5, LEAF, {}),
    ],
)
def test_no_inclusion(index: int, size: int, leaf: bytes, path: list[bytes]) -> None:
    assert merkle.root_from_inclusion(2, 5, LEAF, PATH) == ROOT
    with pytest.raises(MalformedError):
        merkle.root_from_inclusion(index, size, leaf, path)


@pytest.mark.parametrize(
    ("size1", "size2", "root1", "path"),
    [
        (0, 5, merkle.EMPTY_ROOT, []),
        (5, 3, ROOT, PROOF),
        (3, 2**63, ROOT3, PROOF),
        (5, 5, ROOT, [bytes(32)]),
        (3, 5, ROOT3[:-1], PROOF),
        (3, 5, ROOT3, []),
        (3, 5, ROOT3, PROOF[:-1]),
        (3, 5, ROOT3, [*PROOF, bytes(32)]),
        (4, 5, ROOT3, PROOF),
        (3, 5, ROOT3, [b"", *PROOF]),
    ],
)
def test_no_consistency_proof(size1: int, size2: int, root1: bytes, path: list[bytes]) -> None:
    merkle.check_consistency(3, 5, ROOT3, ROOT, PROOF)
    with pytest.raises(MalformedError):
        merkle.check_consistency(size1, size2, root1, ROOT, path)


def test_histories_that_differ() -> None:
    merkle.check_consistency(5, 5, ROOT, ROOT, [])
    for size1, root1, root2, path in (
        (5, ROOT, ROOT3, []),
        (3, bytes(32), ROOT, PROOF),
        (3, ROOT3, bytes(32), PROOF),
        (3, ROOT3, b"", PROOF),
        (3, ROOT3, ROOT, PROOF[::-1]),
    ):
        with pytest.raises(NotProvenError):
            merkle.check_consistency(size1, 5, root1, root2, path)


def test_an_empty_tile_row_is_the_empty_tree() -> None:
    assert tiles.subtree_root([]) == merkle.EMPTY_ROOT


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(0, 0), "tile/0/000"),
        (tiles.Tile(0, 1234067), "tile/0/x001/x234/067"),
        (tiles.Tile(1, 1000, 1), "tile/1/x001/000.p/1"),
        (tiles.Tile(None, 67, 255), "tile/entries/067.p/255"),
        (tiles.Tile(63, 0), "tile/63/000"),
    ],
)
def test_paths_of_tiles(tile: tiles.Tile, path: str) -> None:
    assert tiles.format_path(tile) == path
    assert tiles.parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/x001/x000",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000.p/",
        "tile/0/000\n",
        "tile/Entries/000",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/٠٠٠",
        "tile/0/" + "x001/" * 7 + "000",
    ],
)
def test_not_the_path_of_a_tile(path: str) -> None:
    with pytest.raises(MalformedError):
        tiles.parse_path(path)


def test_tiles_of_a_tree_of_70_000_leaves() -> None:
    cut = list(tiles.tiles_of(70_000))
    assert len(cut) == 273 + 1 + 1 + 1 + 1
    assert [tile for tile in cut if tile.width < tiles.WIDTH] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]


def test_tiles_of_full_trees() -> None:
    assert list(tiles.tiles_of(0)) == []
    assert list(tiles.tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tiles.tiles_of(65_536))[-2:] == [(1, 0, 256), (2, 0, 1)]


def test_entry_bundles() -> None:
    assert tiles.decode_entries(tiles.encode_entries([b""] * 256)) == [b""] * 256
    for bundle in (b"\x00", b"\x00\x01", b"\x00\x02a", bytes(2 * 257), b"\xff\xff" + bytes(65_534)):
        with pytest.raises(MalformedError):
            tiles.decode_entries(bundle)
    for entries in ([b""] * 257, [bytes(65_536)]):
        with pytest.raises(ValueError):
            tiles.encode_entries(entries)


def test_hashes_of_a_tile() -> None:
    assert tiles.decode_hashes(bytes(64)) == [bytes(32)] * 2
    assert len(tiles.decode_hashes(bytes(8192))) == 256
    for data in (b"", bytes(31), bytes(33), bytes(8192 + 32)):
        with pytest.raises(MalformedError):
            tiles.decode_hashes(data)
