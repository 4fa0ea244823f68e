"""The tree of the log against the slow reference, for every small size, and against the kernel for large ones."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exequatur_log import tree
from exequatur_log.errors import FatalLogError
from exequatur_log.tree import Edge, Growth, TileKey
from exequatur_verifier import MalformedError, merkle, tiles
from tests.support import reference

SMALL = 130
LARGE = 66_000
ENTRIES = tuple(f"entry {number}".encode() for number in range(SMALL))
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reference remember its roots: as slow as it is, all sizes would take minutes."""
    monkeypatch.setattr(reference, "root", lru_cache(maxsize=None)(reference.root))


def grow(leaves: list[bytes], *steps: int) -> tuple[Growth, dict[TileKey, bytes]]:
    """Append the leaves in steps of the tree's size; return the last growth and all tiles."""
    growth = tree.append(tree.EMPTY, [])
    held: dict[TileKey, bytes] = {}
    for start, end in pairwise((0, *steps)):
        growth = tree.append(growth.edge, leaves[start:end])
        for key, gain in growth.gains.items():
            held[key] = held.get(key, b"") + gain
    return growth, held


@lru_cache(maxsize=1)
def large() -> tuple[list[bytes], list[bytes], Mapping[TileKey, bytes]]:
    """Return the leaves, the root of every thousandth size, and the tiles of a tree with two levels of full tiles."""
    leaves = [sha256(number.to_bytes(4, "big")).digest() for number in range(LARGE)]
    roots: list[bytes] = []
    growth = tree.append(tree.EMPTY, [])
    held: dict[TileKey, bytes] = {}
    for start in range(0, LARGE, 1000):
        growth = tree.append(growth.edge, leaves[start : start + 1000])
        roots.append(growth.root)
        for key, gain in growth.gains.items():
            held[key] = held.get(key, b"") + gain
    return leaves, roots, held


def test_every_append_up_to_130_makes_the_reference_root() -> None:
    roots = [reference.root(ENTRIES[:size]) for size in range(SMALL + 1)]
    edges = [grow(LEAVES, size)[0].edge for size in range(SMALL + 1)]
    for old in range(SMALL + 1):
        for new in range(old, SMALL + 1):
            growth = tree.append(edges[old], LEAVES[old:new])
            assert growth.root == roots[new]
            assert growth.edge == edges[new]


@pytest.mark.parametrize("old", [0, 1, 2, 3, 7, 8, 63, 64, 65, 100])
def test_paths_of_what_was_appended_are_the_reference_paths(old: int) -> None:
    edge = grow(LEAVES, old)[0].edge
    for new in range(old + 1, SMALL + 1):
        growth = tree.append(edge, LEAVES[old:new])
        paths = [tree.path(growth, index) for index in range(old, new)]
        tree.check_paths(old, LEAVES[old:new], paths, new, growth.root)
        for index in {old, (old + new) // 2, new - 1}:
            assert paths[index - old] == reference.inclusion_path(index, ENTRIES[:new])


def test_every_inclusion_path_up_to_130_comes_from_the_tiles_of_the_largest() -> None:
    # L-30
    _, held = grow(LEAVES, SMALL)
    for size in range(1, SMALL + 1):
        assert tree.fold(tree.compute([(node,) for node in tree.edge_span(size)], held)) == reference.root(
            ENTRIES[:size]
        )
        for index in range(size):
            path = tree.compute(tree.inclusion_spans(index, size), held)
            assert list(path) == reference.inclusion_path(index, ENTRIES[:size])


def test_every_consistency_path_up_to_130_comes_from_the_tiles_of_the_largest() -> None:
    # L-30
    _, held = grow(LEAVES, SMALL)
    for size2 in range(1, SMALL + 1):
        for size1 in range(1, size2 + 1):
            path = tree.compute(tree.consistency_spans(size1, size2), held)
            assert list(path) == reference.consistency_path(size1, ENTRIES[:size2])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, LARGE), min_size=1, max_size=4).map(sorted))
def test_tiles_do_not_depend_on_how_the_leaves_arrived(steps: list[int]) -> None:
    leaves, _, held = large()
    _, made = grow(leaves, *steps)
    for tile in tiles.tiles_of(steps[-1]):
        assert made.pop((tile.level or 0, tile.number)) == held[tile.level or 0, tile.number][: tile.width * 32]
    assert made == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_proofs_of_a_large_tree_hold_and_read_few_tiles(data: st.DataObject) -> None:
    leaves, roots, held = large()
    step = data.draw(st.integers(1, LARGE // 1000))
    size, root = step * 1000, roots[step - 1]
    index = data.draw(st.integers(0, size - 1))
    spans = tree.inclusion_spans(index, size)
    assert merkle.root_from_inclusion(index, size, leaves[index], tree.compute(spans, held)) == root
    before = data.draw(st.integers(1, step))
    more = tree.consistency_spans(before * 1000, size)
    merkle.check_consistency(before * 1000, size, roots[before - 1], root, tree.compute(more, held))
    assert len(tree.plan([*spans, *more])) <= 9


def test_only_the_tiles_with_room_are_partial() -> None:
    _, held = grow([bytes(32)] * 600, 600)
    assert tree.partial_tiles(held, 600).keys() == {(0, 2), (1, 0)}
    assert tree.partial_tiles(held, 512).keys() == {(1, 0)}


@pytest.mark.parametrize("size", [1, 2, 5, 64, 77])
def test_a_path_with_one_wrong_hash_does_not_pass(size: int) -> None:
    # L-02 L-03
    growth = tree.append(tree.EMPTY, LEAVES[:size])
    paths = [tree.path(growth, index) for index in range(size)]
    for index, path in enumerate(paths):
        for place in range(len(path)):
            wrong = [*paths[:index], [*path[:place], bytes(32), *path[place + 1 :]], *paths[index + 1 :]]
            with pytest.raises(FatalLogError):
                tree.check_paths(0, LEAVES[:size], wrong, size, growth.root)
        with pytest.raises(FatalLogError):
            tree.check_paths(
                0, LEAVES[:size], [*paths[:index], [*path, bytes(32)], *paths[index + 1 :]], size, growth.root
            )
    with pytest.raises(FatalLogError):
        tree.check_paths(0, LEAVES[:size], paths, size, bytes(32))


def test_a_short_or_missing_tile_is_fatal() -> None:
    _, held = grow(LEAVES, SMALL)
    spans = tree.inclusion_spans(0, SMALL)
    for wrong in ({}, {(0, 0): held[0, 0][:-32]}):
        with pytest.raises(FatalLogError):
            tree.compute(spans, wrong)


@pytest.mark.parametrize("path", ["tile/0/067", "tile/63/000", "tile/0/x001/067.p/112", "tile/entries/x001/x234/067"])
def test_a_tile_has_one_path(path: str) -> None:
    # L-29
    assert tiles.format_path(tiles.parse_path(path)) == path
    level = path.split("/")[1]
    for other in (
        f"/{path}",
        f"{path}/",
        f"{path}.p/256",
        f"{path}.p/0",
        path.replace("/0", "/00", 1),
        path.replace("067", "67").replace("000", "0"),
        path.replace(f"/{level}/", f"/{level}/x000/"),
        path.replace(f"/{level}/", "/64/"),
        path.replace("0", "\u0660"),
    ):
        with pytest.raises(MalformedError):
            tiles.parse_path(other)


def test_what_cannot_be_is_a_mistake_of_the_caller() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 3)):
        with pytest.raises(ValueError, match="leaf"):
            tree.inclusion_spans(index, size)
    for size1, size2 in ((0, 1), (3, 2)):
        with pytest.raises(ValueError, match="consistency"):
            tree.consistency_spans(size1, size2)
    with pytest.raises(ValueError, match="edge"):
        tree.append(Edge(3, (bytes(32),)), [])
