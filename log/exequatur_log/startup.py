"""Start-up: what must hold before a log is used. It refuses and says why; it never repairs (specs/03 §6).

Costs a handful of reads whatever the size of the log; ``fsck`` is the check of everything.
"""

from exequatur_verifier import merkle
from exequatur_verifier import statement as statements
from exequatur_verifier.errors import ExequaturError

from . import head as heads
from . import tree
from .entry import LOG_KEYS_SERIES
from .errors import FatalLogError, StorageError
from .genesis import check_keys, read_genesis, rotated
from .head import Identity, LogKeys, SignedHead
from .storage import proofs, queries
from .storage.connection import Connection


async def check_identity(connection: Connection, keys: LogKeys | None) -> Identity:
    """Return who the log is, by its genesis, with the keys in force at its head.

    Raises ``FatalLogError`` if either is unsound, or ``keys`` are not those in force.
    """
    first = await queries.entry(connection, 0)
    if first is None:
        raise FatalLogError("the log has no genesis; create it first")
    try:
        identity = await in_force(connection, read_genesis(statements.parse(first.statement)))
        if keys is not None:
            keys.check()
            check_keys(identity, keys)
    except StorageError:
        raise
    except (ExequaturError, ValueError) as error:
        raise FatalLogError(
            f"the log's keys do not fit: {error}; open it with those of its genesis or its newest log-keys record"
        ) from error
    return identity


async def in_force(connection: Connection, identity: Identity) -> Identity:
    """Return the log with the keys in force at its head; raise ``ExequaturError`` if the record of them is unsound."""
    for entry in await queries.newest(connection, [LOG_KEYS_SERIES]):
        identity = rotated(identity, statements.parse(entry.statement))
    return identity


async def identities(connection: Connection) -> list[Identity]:
    """Return the log under its genesis and after each rotation of its keys, newest first; raise ``FatalLogError``."""
    first = await queries.entry(connection, 0)
    if first is None:
        raise FatalLogError("the log has no genesis; restore it from a copy")
    try:
        found = [read_genesis(statements.parse(first.statement))]
        for entry in await queries.series(connection, LOG_KEYS_SERIES):
            found.insert(0, rotated(found[0], statements.parse(entry.statement)))
    except StorageError:
        raise
    except ExequaturError as error:
        raise FatalLogError(f"a record of the log's keys is unsound: {error}; run fsck") from error
    return found


async def check_head(connection: Connection, identity: Identity) -> SignedHead:
    """Return the head, whose signatures hold and with which edge, tiles and newest entry agree, or raise."""
    found = await queries.head(connection)
    if found is None:
        raise FatalLogError("the log has no head; restore it from a copy")
    head, edge = found
    try:
        heads.check(head, identity)
    except ExequaturError as error:
        raise FatalLogError(f"the signature of the head does not hold: {error}") from error
    if tree.fold(edge.hashes) != head.root:
        raise FatalLogError("the right edge does not have the root of the head")
    if await proofs.edge(connection, head.size) != edge:
        raise FatalLogError("the newest tiles do not agree with the right edge")
    if await queries.head_at(connection, head.size) != head or await queries.heads(connection, head.size, 1):
        raise FatalLogError("the head is not the newest of the signed heads")
    newest = await queries.entry(connection, head.size - 1)
    if newest is None or await queries.width(connection) != head.size:
        raise FatalLogError(f"the log does not hold the {head.size} entries of its head")
    span = (tree.Node(0, head.size - 1),)
    leaf = merkle.leaf_hash(newest.statement)
    if leaf != newest.leaf_hash or (leaf,) != await proofs.hashes(connection, [span]):
        raise FatalLogError("the newest entry is not the one in the newest tile")
    return head


def check_clock(head: SignedHead, now: int, leeway: int) -> None:
    """Raise ``FatalLogError`` if the clock (unix seconds) is behind the head by more than ``leeway`` seconds."""
    if now < head.iat - leeway:
        raise FatalLogError(
            f"the clock is {head.iat - now} s behind the last head; set it right before the log is opened"
        )
