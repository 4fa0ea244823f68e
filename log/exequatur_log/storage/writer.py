"""The one write: entries, the keys they introduce, tiles, the new head, in the transaction of ``Database.append``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, insert, update

from exequatur_log.entry import Entry, NamedKey
from exequatur_log.errors import FatalLogError
from exequatur_log.head import SignedHead, WitnessedHead
from exequatur_log.tree import Edge, TileKey

from . import schema
from .connection import Connection, Step
from .prepared import Change

_MOVED: Final = (*SignedHead._fields, "edge")
_head: Final = schema.head.c

_ENTRIES: Final = Change(insert(schema.entries))
_KEYS: Final = Change(insert(schema.keys), " ON CONFLICT DO NOTHING")
_TILES: Final = Change(insert(schema.tiles), " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes")
_HEADS: Final = Change(insert(schema.heads))
_FIRST: Final = Change(insert(schema.head))
_NEXT: Final = Change(
    update(schema.head)
    .where(_head.id == 1, _head.size == bindparam("former_size"), _head.root == bindparam("former_root"))
    .values({name: bindparam(f"new_{name}") for name in _MOVED})
)
_WITNESSED: Final = Change(insert(schema.witnessed), " ON CONFLICT DO NOTHING")


async def write(
    connection: Connection,
    former: SignedHead | None,
    entries: Sequence[Entry],
    keys: Iterable[NamedKey],
    tiles: Mapping[TileKey, bytes],
    head: SignedHead,
    edge: Edge,
) -> None:
    """Write one batch, whole tiles with what they held before. Nothing is committed.

    Raises ``FatalLogError`` if the head is no longer ``former``: then somebody writes without holding the
    lock.
    """
    of = connection.dialect
    packed = b"".join(edge.hashes)
    moved = await connection.execute(
        [
            Step(_ENTRIES.text(of), entries, schema.entries),
            Step(_KEYS.text(of), list(keys)),
            Step(_TILES.text(of), [(*key, hashes) for key, hashes in tiles.items()]),
            Step(_HEADS.text(of), [head]),
            Step(_FIRST.text(of), [(1, *head, packed)])
            if former is None
            else Step(_NEXT.text(of), [(*head, packed, 1, former.size, former.root)]),
        ]
    )
    if moved != 1:
        raise FatalLogError("the head moved while this process held the lock; something else writes to the log")


async def restore(
    connection: Connection,
    entries: Sequence[Entry],
    keys: Sequence[NamedKey],
    tiles: Mapping[TileKey, bytes],
    heads: Sequence[SignedHead],
    witnessed: Sequence[WitnessedHead],
) -> None:
    """Write what another log holds, in its order; ``finish`` it with the head."""
    of = connection.dialect
    await connection.execute(
        [
            Step(_ENTRIES.text(of), entries, schema.entries),
            Step(_KEYS.text(of), keys),
            Step(_TILES.text(of), [(*key, hashes) for key, hashes in tiles.items()]),
            Step(_HEADS.text(of), heads, schema.heads),
            Step(_WITNESSED.text(of), witnessed),
        ]
    )


async def finish(connection: Connection, head: SignedHead, edge: Edge) -> None:
    """Write the head of a log that was restored."""
    await connection.execute([Step(_FIRST.text(connection.dialect), [(1, *head, b"".join(edge.hashes))])])


async def keep_witnessed(connection: Connection, head: WitnessedHead) -> None:
    """Keep a checkpoint that a quorum cosigned; of the same size and time, the first one stands."""
    await connection.execute([Step(_WITNESSED.text(connection.dialect), [head])])


async def commit(connection: Connection) -> None:
    """Commit what was written. When this raises ``StorageError``, whether it was committed is unknown."""
    await connection.commit()
