"""The tree as it is kept: a right edge to append to, tiles to prove from (RFC 9162 §2.1, C2SP tlog-tiles).

A *node* is a complete subtree: height h and number j, over the leaves j·2^h up to (j+1)·2^h. The right edge
of a tree of n leaves is one node for each set bit of n, the largest first. A tile of level L and number N
holds the hashes of the nodes of height 8·L with the indices 256·N to 256·N+255; those between two levels are
recomputed from at most 128 hashes.

Everything here is pure. An append takes the edge and the new leaves; a proof is planned (which tiles),
fetched by whoever has them, and computed. A proof for an older size reads the prefix of a tile that has grown
since, so it comes out the same for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import merkle, tiles

from .errors import FatalLogError

_TILE_HEIGHT: Final = 8

TileKey = tuple[int, int]  # level, number


class Node(NamedTuple):
    """A complete subtree over the leaves ``number << height`` up to ``(number + 1) << height``."""

    height: int
    number: int


# Adjacent nodes, the largest and leftmost first, whose hashes fold into the one hash of their range of
# leaves.
Span = tuple[Node, ...]


class Edge(NamedTuple):
    """A tree by its right edge: the number of leaves, and a hash for each set bit of it, from the highest down."""

    size: int
    hashes: tuple[bytes, ...]


class Growth(NamedTuple):
    """What an append made: the new edge and root, what each tile gains, and the nodes that prove the new leaves.

    ``rows[h]`` is the index of a first node of height h and the hashes from there to the last node of that
    height.
    """

    edge: Edge
    root: bytes
    gains: dict[TileKey, bytes]
    rows: tuple[tuple[int, list[bytes]], ...]
    tails: tuple[bytes, ...]


EMPTY: Final = Edge(0, ())


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the one hash over adjacent subtrees, the largest first; that of an edge is the root of the tree."""
    if not hashes:
        return merkle.EMPTY_ROOT
    folded = hashes[-1]
    for left in hashes[-2::-1]:
        folded = merkle.node_hash(left, folded)
    return folded


def append(edge: Edge, leaves: Sequence[bytes]) -> Growth:
    """Return what appending ``leaves`` (leaf hashes) to the tree of that edge makes. Costs about two hashes a leaf."""
    old, size = edge.size, edge.size + len(leaves)
    if len(edge.hashes) != old.bit_count():
        raise ValueError("an edge has one hash for each set bit of its size")
    kept = list(edge.hashes)
    rows: list[tuple[int, list[bytes]]] = []
    gains: dict[TileKey, bytes] = {}
    new = list(leaves)
    height = 0
    while size >> height:
        first = old >> height
        if height % _TILE_HEIGHT == 0:
            gains.update(_gains(height // _TILE_HEIGHT, first, new))
        # A left sibling that was waiting on the edge takes part in this row.
        row = [kept.pop(), *new] if first & 1 else new
        rows.append((first & ~1, row))
        pairs = zip(row[::2], row[1::2], strict=False)
        new = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        height += 1
    bits = [bit for bit in range(len(rows)) if size >> bit & 1]
    tails: list[bytes] = []
    tail = b""
    for height, (_, row) in enumerate(rows):
        tails.append(tail)
        if size >> height & 1:
            tail = merkle.node_hash(row[-1], tail) if tail else row[-1]
    hashes = tuple(rows[bit][1][-1] for bit in reversed(bits))
    return Growth(Edge(size, hashes), fold(hashes), gains, tuple(rows), tuple(tails))


def path(growth: Growth, index: int) -> list[bytes]:
    """Return the inclusion path, in the grown tree, of a leaf that this append added."""
    rows, size = growth.rows, growth.edge.size
    inner = (index ^ (size - 1)).bit_length()
    found = [row[(index >> height ^ 1) - first] for height, (first, row) in enumerate(rows[: max(0, inner - 1)])]
    if inner:
        # Where the ways to this leaf and to the last one part, the sibling holds the last leaf, and may be
        # incomplete.
        top = inner - 1
        first, row = rows[top]
        sibling = index >> top ^ 1
        found.append(row[sibling - first] if (sibling + 1) << top <= size else growth.tails[top])
    for height in range(inner, len(rows)):
        if index >> height & 1:
            first, row = rows[height]
            found.append(row[(index >> height) - 1 - first])
    return found


def check_paths(first: int, leaves: Sequence[bytes], paths: Sequence[Sequence[bytes]], size: int, root: bytes) -> None:
    """Check that each path leads from its leaf, at index ``first`` and on, to ``root``; raise ``FatalLogError``.

    This decides as ``merkle.root_from_inclusion`` does for each path alone. But where a path reaches a node
    that an earlier one has led through, it need only go on alike, so a leaf costs about two hashes instead of
    its whole way.
    """
    passed: dict[tuple[int, int], tuple[bytes, Sequence[bytes]]] = {}
    for index, (leaf, way) in enumerate(zip(leaves, paths, strict=True), first):
        inner = (index ^ (size - 1)).bit_length()
        sound = len(way) == inner + (index >> inner).bit_count()
        node = leaf
        for height in range(inner if sound else 0):
            pair = way[height] + node if index >> height & 1 else node + way[height]
            node = sha256(b"\x01" + pair).digest()
            here, rest = (height + 1, index >> height + 1), way[height + 1 :]
            if here in passed:
                sound = passed[here] == (node, rest)
                break
            passed[here] = (node, rest)
        else:
            for sibling in way[inner:]:
                node = merkle.node_hash(sibling, node)
            sound = sound and node == root
        if not sound:
            raise FatalLogError(f"the log's own proof for entry {index} does not hold")


def edge_span(size: int) -> Span:
    """Return the nodes of the right edge of the tree of ``size`` leaves."""
    return tuple(Node(bit, (size >> bit) - 1) for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1)


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return what the inclusion path of a leaf in the tree of ``size`` leaves is made of, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    return _way(0, index, size)


def consistency_spans(size1: int, size2: int) -> list[Span]:
    """Return what the consistency proof between two sizes is made of (RFC 9162 §2.1.4.1)."""
    if not 0 < size1 <= size2:
        raise ValueError(f"no consistency proof leads from size {size1} to size {size2}")
    if size1 == size2:
        return []
    # The smallest complete subtree of the old tree is where the proof starts; it is left out when it is the
    # whole old tree.
    height = (size1 & -size1).bit_length() - 1
    last = (size1 - 1) >> height
    start: list[Span] = [(Node(height, last),)] if last else []
    return start + _way(height, last, size2)


def plan(spans: Iterable[Span]) -> set[TileKey]:
    """Return the tiles that hold the spans."""
    return {_tile(node) for span in spans for node in span}


def compute(spans: Iterable[Span], fetched: Mapping[TileKey, bytes]) -> tuple[bytes, ...]:
    """Return the hash of each span from the tiles that ``plan`` named; raise ``FatalLogError`` if one falls short."""
    known: dict[Node, bytes] = {}
    return tuple(fold([_node(node, fetched, known) for node in span]) for span in spans)


def partial_tiles(tiles_by_key: Mapping[TileKey, bytes], size: int) -> dict[TileKey, bytes]:
    """Return those that are not full in the tree of ``size`` leaves: one of each level at most."""
    found: dict[TileKey, bytes] = {}
    for (level, number), hashes in tiles_by_key.items():
        full, rest = divmod(size >> (_TILE_HEIGHT * level), tiles.WIDTH)
        if number == full and rest:
            found[level, number] = hashes
    return found


def _way(height: int, index: int, size: int) -> list[Span]:
    """Return the spans beside the way from a node up to the root of the tree of ``size`` leaves."""
    inner = (index ^ ((size - 1) >> height)).bit_length()
    spans: list[Span] = []
    for level in range(max(inner, index.bit_length())):
        here, above = index >> level, height + level
        if level < inner:
            sibling = here ^ 1
            whole = (sibling + 1) << above <= size
            spans.append((Node(above, sibling),) if whole else _border(above, size))
        elif here & 1:
            spans.append((Node(above, here - 1),))
    return spans


def _border(height: int, size: int) -> Span:
    """Return the nodes of the right edge below ``height``: the incomplete subtree of that height."""
    return tuple(node for node in edge_span(size) if node.height < height)


def _tile(node: Node) -> TileKey:
    """Return the tile that holds a node, or what it is made of."""
    level, rest = divmod(node.height, _TILE_HEIGHT)
    return level, (node.number << rest) // tiles.WIDTH


def _node(node: Node, fetched: Mapping[TileKey, bytes], known: dict[Node, bytes]) -> bytes:
    """Return the hash of a node: the hashes below it stand side by side in one tile, and are folded."""
    found = known.get(node)
    if found is None:
        level, rest = divmod(node.height, _TILE_HEIGHT)
        number, position = divmod(node.number << rest, tiles.WIDTH)
        start = position * merkle.HASH_SIZE
        found = fetched.get((level, number), b"")[start : start + (merkle.HASH_SIZE << rest)]
        if len(found) != merkle.HASH_SIZE << rest:
            raise FatalLogError(f"tile {level}/{number} is missing or too short; run fsck")
        # Above the leaves' tiles there are few others, and the proofs of many leaves go through them.
        found = _top_of_few(found) if level else _top(found)
        known[node] = found
    return found


def _top(hashes: bytes) -> bytes:
    """Return the hash over a complete subtree, from those of one row of it, side by side."""
    while len(hashes) > merkle.HASH_SIZE:
        pairs = range(0, len(hashes), 2 * merkle.HASH_SIZE)
        hashes = b"".join([sha256(b"\x01" + hashes[pair : pair + 2 * merkle.HASH_SIZE]).digest() for pair in pairs])
    return hashes


_top_of_few: Final = lru_cache(maxsize=1024)(_top)


def _gains(level: int, first: int, hashes: Sequence[bytes]) -> dict[TileKey, bytes]:
    """Return what the tiles of a level gain when ``hashes`` follow the first ``first`` ones of it."""
    gains: dict[TileKey, bytes] = {}
    done = 0
    while done < len(hashes):
        number, position = divmod(first + done, tiles.WIDTH)
        taken = hashes[done : done + tiles.WIDTH - position]
        gains[level, number] = b"".join(taken)
        done += len(taken)
    return gains
