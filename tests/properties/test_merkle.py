"""The tree against its definition: every inclusion and consistency proof of every size up to 130."""

import contextlib
from functools import cache
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import ExequaturError, MalformedError, merkle, tiles
from tests.support import reference

SIZES = 130
ENTRIES = [number.to_bytes(2, "big") for number in range(SIZES)]


@cache
def root(size: int) -> bytes:
    return reference.root(ENTRIES[:size])


def test_every_inclusion_proof() -> None:
    fold = sha256()
    for size in range(1, SIZES + 1):
        for index in range(size):
            path = reference.inclusion_path(index, ENTRIES[:size])
            assert merkle.root_from_inclusion(index, size, merkle.leaf_hash(ENTRIES[index]), path) == root(size)
            fold.update(b"".join(path))
    # All paths in one digest: were the reference to change with the product, this would not.
    assert fold.hexdigest() == "6d779ff46c468e9ac039b46ad4289bdd4913cc91e57bd66f0c97840e8a3fbf74"


def test_every_consistency_proof() -> None:
    fold = sha256()
    for size2 in range(1, SIZES + 1):
        for size1 in range(1, size2 + 1):
            path = reference.consistency_path(size1, ENTRIES[:size2])
            merkle.check_consistency(size1, size2, root(size1), root(size2), path)
            fold.update(b"".join(path))
    assert fold.hexdigest() == "0730d9b98a8428f870fe9efeb06755b751623a8259e0818e253a33cce54939aa"


def test_no_proof_holds_for_another_root() -> None:
    for size2 in range(2, 34):
        for size1 in range(1, size2):
            path = reference.consistency_path(size1, ENTRIES[:size2])
            for root1, root2 in ((root(size1 + 1), root(size2)), (root(size1), root(size2 + 1))):
                with contextlib.suppress(ExequaturError):
                    merkle.check_consistency(size1, size2, root1, root2, path)
                    raise AssertionError((size1, size2))


def test_a_path_fits_one_position_of_a_size() -> None:
    for size in range(1, 34):
        for index in range(size):
            path = reference.inclusion_path(index, ENTRIES[:size])
            leaf = merkle.leaf_hash(ENTRIES[index])
            for other in range(size):
                with contextlib.suppress(MalformedError):
                    fits = merkle.root_from_inclusion(other, size, leaf, path) == root(size)
                    assert fits is (other == index)


# RFC 9162 §2.1.3.2 and §2.1.4.2, step by step as they are written there.


def by_steps(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes | None:
    if index >= size:
        return None
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = merkle.node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = merkle.node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def consistent_by_steps(size1: int, size2: int, root1: bytes, root2: bytes, path: list[bytes]) -> bool:
    if not 0 < size1 < size2 or not path:
        return False
    first, *rest = [root1, *path] if size1 & (size1 - 1) == 0 else path
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = first
    for c in rest:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = merkle.node_hash(c, fr), merkle.node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = merkle.node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (root1, root2)


hashes = st.lists(st.sampled_from([bytes(32), b"\x01" * 32]), max_size=12)
sizes = st.integers(0, 70) | st.integers(2**62, 2**63 - 1)


@given(sizes, sizes, hashes)
def test_roots_are_those_of_the_rfc(index: int, size: int, path: list[bytes]) -> None:
    found: bytes | None = None
    with contextlib.suppress(MalformedError):
        found = merkle.root_from_inclusion(index, size, bytes(32), path)
    assert found == by_steps(index, size, bytes(32), path)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_consistency_is_that_of_the_rfc(size1: int, size2: int, data: st.DataObject) -> None:
    if size1 >= size2:
        return
    path = reference.consistency_path(size1, ENTRIES[:size2])
    path = data.draw(st.sampled_from([path, path[:-1], [*path, bytes(32)], path[1:], path[::-1]]))
    sizes = data.draw(st.sampled_from([(size1, size2), (size1 + 1, size2), (size1, size2 + 1), (size2, size1)]))
    holds = True
    try:
        merkle.check_consistency(*sizes, root(size1), root(size2), path)
    except ExequaturError:
        holds = False
    if sizes[0] != sizes[1]:
        assert holds is consistent_by_steps(*sizes, root(size1), root(size2), path)


@given(st.integers(1, SIZES))
def test_tiles_hold_the_tree(size: int) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in ENTRIES[:size]]
    assert tiles.subtree_root(leaves) == root(size)


@given(st.integers(0, 10**5))
def test_a_tree_is_cut_into_tiles_once(size: int) -> None:
    widths: dict[int, int] = {}
    for tile in tiles.tiles_of(size):
        assert tile.level is not None
        assert 0 < tile.width <= tiles.WIDTH
        assert tiles.parse_path(tiles.format_path(tile)) == tile
        widths[tile.level] = widths.get(tile.level, 0) + tile.width
    assert widths == {level: size >> 8 * level for level in range(8) if size >> 8 * level}
