"""The read-back at the end of a load: every tile and every bundle under the last checkpoint, against all that was told.

The tree is computed again from all entries. Every acknowledged statement stands at its index; every head that was ever
shown is the root of its size; every tile holds the hashes that the entries make. What was acknowledged and is not under
a checkpoint yet is waited for.
"""

import asyncio
from typing import Final

from exequatur_log import tree
from exequatur_verifier import tiles
from exequatur_verifier.tiles import WIDTH, Tile

from .ledger import Head, Ledger
from .readers import Reader
from .violation import Code, Violation

_PAUSE: Final = 0.1


async def read_back(reader: Reader, ledger: Ledger, patience: float) -> Head:
    """Return the last checkpoint's head, the whole log read; raise ``Violation`` or ``UnansweredError``."""
    head = await _last_checkpoint(reader, ledger, patience)
    # The heads to be met on the way, the smallest first.
    heads = [ledger.heads[size] for size in sorted(ledger.heads) if size <= head.size]
    edge, above = tree.EMPTY, list[bytes]()
    for number in range(-(-head.size // WIDTH)):
        width = min(WIDTH, head.size - number * WIDTH)
        leaves = await reader.hashes(Tile(0, number, width))
        await reader.bundle(number, leaves)
        if width == WIDTH:
            above.append(tiles.subtree_root(leaves))
        taken = 0
        while heads and heads[0].size <= number * WIDTH + width:
            until = heads[0].size - number * WIDTH
            edge, taken = tree.append(edge, leaves[taken:until]).edge, until
            _check_root(heads.pop(0), edge)
        edge = tree.append(edge, leaves[taken:]).edge
    await _check_above(reader, above)
    ledger.check_times()
    return head


async def _last_checkpoint(reader: Reader, ledger: Ledger, patience: float) -> Head:
    """Return the head of a checkpoint over everything that was acknowledged."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while (head := await reader.checkpoint()).size < ledger.largest:
        if loop.time() > end:
            evidence = {"checkpoint": head.shown, "receipt": ledger.heads[ledger.largest].shown}
            detail = f"no checkpoint reaches size {ledger.largest}, under which an entry was acknowledged"
            raise Violation(Code.LOST, detail, evidence=evidence)
        await asyncio.sleep(_PAUSE)
    return head


def _check_root(head: Head, edge: tree.Edge) -> None:
    if tree.fold(edge.hashes) != head.root:
        detail = f"the head of size {head.size} does not have the root of the entries"
        raise Violation(Code.INCONSISTENT, detail, evidence={"head": head.shown})


async def _check_above(reader: Reader, hashes: list[bytes]) -> None:
    """Check the tiles of every level above the leaves, whose hashes at level 1 these are."""
    level = 1
    while hashes:
        for number in range(-(-len(hashes) // WIDTH)):
            expected = hashes[number * WIDTH : (number + 1) * WIDTH]
            tile = Tile(level, number, len(expected))
            found = await reader.hashes(tile)
            if found != expected:
                path = tiles.format_path(tile)
                evidence = {path: b"".join(found), "computed": b"".join(expected)}
                raise Violation(Code.TILE_WRONG, f"{path} does not hold what its entries make", evidence=evidence)
        full = len(hashes) // WIDTH
        hashes = [tiles.subtree_root(hashes[place * WIDTH : (place + 1) * WIDTH]) for place in range(full)]
        level += 1
