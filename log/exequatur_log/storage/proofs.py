"""Proofs from the database: plan which tiles, fetch them at once, compute. A handful of tiles, however large the log.

A receipt that was frozen at an older head is built again from the same tiles, whose prefixes never change,
and from the head's stored signature, so it comes out byte for byte as it was first answered.
"""

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from exequatur_log import tree
from exequatur_log.errors import FatalLogError
from exequatur_log.head import ReceiptWriter, SignedHead
from exequatur_log.tree import Edge, Span

from . import queries
from .connection import Connection

_TOGETHER: Final = 128


async def hashes(connection: Connection, spans: Collection[Span]) -> tuple[bytes, ...]:
    """Return the hash of each span of the tree."""
    return tree.compute(spans, await queries.tiles(connection, tree.plan(spans)))


async def edge(connection: Connection, size: int) -> Edge:
    """Return the right edge of the tree of ``size`` leaves, from the tiles."""
    return Edge(size, await hashes(connection, [(node,) for node in tree.edge_span(size)]))


async def receipt(connection: Connection, index: int, head: SignedHead) -> bytes:
    """Return the receipt of the leaf at ``index`` under ``head``."""
    return ReceiptWriter(head).encode(index, await hashes(connection, tree.inclusion_spans(index, head.size)))


async def frozen_receipts(connection: Connection, indices: Collection[int]) -> Mapping[int, bytes]:
    """Return the receipts that these entries were answered with, by index; entries that do not exist are left out."""
    frozen: dict[int, list[int]] = {}
    for index, size in await queries.frozen_at(connection, indices):
        frozen.setdefault(size, []).append(index)
    receipts: dict[int, bytes] = {}
    for size, together in frozen.items():
        head = await queries.head_at(connection, size)
        if head is None:
            raise FatalLogError(f"the head of size {size}, which receipts rest on, is not in the log; run fsck")
        writer = ReceiptWriter(head)
        # Neighbours share tiles and nodes, so what one head covered is proven together, some hundred tiles at most.
        for start in range(0, len(together), _TOGETHER):
            part = together[start : start + _TOGETHER]
            spans = [tree.inclusion_spans(index, size) for index in part]
            paths = iter(await hashes(connection, [span for each in spans for span in each]))
            receipts |= {
                index: writer.encode(index, list(islice(paths, len(each))))
                for index, each in zip(part, spans, strict=True)
            }
    return receipts
