"""C2SP tiles: how a log's hashes and entries are cut into immutable files (c2sp.org/tlog-tiles, specs/03 §4).

A tile of level L and number N holds up to 256 hashes; hash i is the root of the complete subtree over the leaves from
``(N·256 + i)·256^L`` on. An entry bundle holds 256 entries, each after its length in two bytes. Only the last tile of a
level is partial, and its width stands in its path: ``tile/0/x001/067.p/112``.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from . import merkle
from .errors import MalformedError

WIDTH: Final = 256
MAX_ENTRY: Final = 65_535
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(x[0-9]{3}/){0,6}[0-9]{3})(\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class Tile(NamedTuple):
    """One tile, or one bundle of entries when ``level`` is ``None``; a width below 256 is a partial tile's."""

    level: int | None
    number: int
    width: int = WIDTH


def format_path(tile: Tile) -> str:
    """Return the path of a tile below the log's prefix."""
    level = "entries" if tile.level is None else str(tile.level)
    number, groups = divmod(tile.number, 1000)
    name = f"{groups:03d}"
    while number:
        number, groups = divmod(number, 1000)
        name = f"x{groups:03d}/{name}"
    return f"tile/{level}/{name}" + ("" if tile.width == WIDTH else f".p/{tile.width}")


def parse_path(path: str) -> Tile:
    """Return the tile that a path names; raise ``MalformedError`` for every other spelling."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise MalformedError(f"not the path of a tile: {path!r}")
    level = None if found["level"] == "entries" else int(found["level"])
    number = int(found["number"].replace("x", "").replace("/", ""))
    tile = Tile(level, number, int(found["width"] or WIDTH))
    if (level or 0) > 63 or tile.width > WIDTH or format_path(tile) != path:
        raise MalformedError(f"not the path of a tile: {path!r}")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of hashes of a tree of ``size`` leaves, full ones before the partial one, level by level."""
    level = 0
    while size:
        yield from (Tile(level, number) for number in range(size // WIDTH))
        if size % WIDTH:
            yield Tile(level, size // WIDTH, size % WIDTH)
        size //= WIDTH
        level += 1


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a run of hashes of one level: a whole tile's goes into the level above."""
    level = list(hashes)
    while len(level) > 1:
        pairs = [merkle.node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else merkle.EMPTY_ROOT


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of at most 256 entries of at most 65,535 bytes; raise ``ValueError`` beyond."""
    if len(entries) > WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        raise ValueError("an entry bundle holds at most 256 entries of at most 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entries(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle; raise ``MalformedError``."""
    entries: list[bytes] = []
    position = 0
    while position < len(bundle) and len(entries) <= WIDTH:
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        entries.append(bundle[start:position])
    if position != len(bundle) or len(entries) > WIDTH:
        raise MalformedError("not a bundle of entries")
    return entries


def decode_hashes(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile; raise ``MalformedError``."""
    if not 0 < len(tile) <= WIDTH * merkle.HASH_SIZE or len(tile) % merkle.HASH_SIZE:
        raise MalformedError("a tile holds 1 to 256 hashes of 32 bytes")
    return [tile[start : start + merkle.HASH_SIZE] for start in range(0, len(tile), merkle.HASH_SIZE)]
