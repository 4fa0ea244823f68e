"""What the tiles of a tree must be to each other: pure, for whoever fetched them (C2SP tlog-tiles, specs/03 §4)."""

from collections.abc import Iterator, Mapping, Sequence

from exequatur_log import tree
from exequatur_verifier import merkle, tiles
from exequatur_verifier.tiles import WIDTH, Tile


def tile_at(level: int, number: int, size: int) -> Tile:
    """Return the tile of that level and number as wide as it is in a tree of ``size`` leaves."""
    return Tile(level, number, min(WIDTH, (size >> 8 * level) - number * WIDTH))


def edge_tiles(size: int) -> Iterator[Tile]:
    """Yield the partial tiles of a tree of ``size`` leaves, of each level that has one; they make its root."""
    level = 0
    while size >> 8 * level:
        if (size >> 8 * level) % WIDTH:
            yield tile_at(level, (size >> 8 * level) // WIDTH, size)
        level += 1


def edge_root(found: Mapping[Tile, Sequence[bytes]]) -> bytes:
    """Return the root of the tree whose ``edge_tiles`` hold these hashes."""
    nodes: list[bytes] = []
    for _, hashes in sorted(found.items(), key=lambda item: -(item[0].level or 0)):
        start = 0
        for bit in range(7, -1, -1):
            if len(hashes) >> bit & 1:
                nodes.append(tiles.subtree_root(hashes[start : start + (1 << bit)]))
                start += 1 << bit
    return tree.fold(nodes)


def leaves_of(entries: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of the tile of level 0 whose entries these are."""
    return [merkle.leaf_hash(entry) for entry in entries]
