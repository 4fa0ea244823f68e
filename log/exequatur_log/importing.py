"""Import: a log made again from a copy, where there is none yet. So a log is restored, and moved elsewhere.

Nothing of the copy is believed. It is walked as ``fsck`` walks a log, every statement, leaf, head, tile and signature
derived again, and what was found right is written, page by page. A log that goes on from an older state than it has
published forks, and nobody can tell that from the copy; so a head that was published must be shown, and the copy must
contain it. Who can show one: the published directory or bucket, a reader, a witness, an auditor, any runtime.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from exequatur_verifier import checkpoint
from exequatur_verifier.errors import ExequaturError

from .errors import LogError
from .fsck import Page, Progress, Walk
from .head import SignedHead
from .startup import check_head, check_identity, identities
from .storage import queries, writer
from .storage.connection import Connection
from .storage.database import create_database, open_copy
from .storage.place import Place


async def import_log(path: Path, place: Place, heads: Sequence[bytes], progress: Progress | None = None) -> SignedHead:
    """Make a log at ``place`` from the copy in a file, whole or not at all; return its head.

    ``heads`` are checkpoints of the log, as signed notes, the newest that can be found. Raises ``LogError`` if there is
    none, if the copy does not contain one of them, if anything in it is not right, or if a log stands there already.
    """
    if not heads:
        raise LogError(
            "a copy that is older than the log was would fork it: show the newest checkpoint that can be found, of the "
            "published directory, a reader, a witness, an auditor or a runtime"
        )
    copy = await open_copy(path)
    try:
        async with copy.read() as source:
            head = await _check_shown(source, path, heads)
            async with create_database(place) as target:
                await _rebuild(source, path, target, progress)
                imported = await check_head(target, await check_identity(target, None))
                if imported != head:
                    raise LogError(f"{path} changed while it was read; make sure of the file, and import it again")
    finally:
        await copy.close()
    return imported


def import_blocking(path: Path, place: Place, heads: Sequence[bytes], progress: Progress | None = None) -> SignedHead:
    """As ``import_log``, for callers without an event loop."""
    return asyncio.run(import_log(path, place, heads, progress))


async def _check_shown(source: Connection, path: Path, shown: Sequence[bytes]) -> SignedHead:
    """Return the head of the copy, which contains every head that was shown, or raise."""
    known = await identities(source)
    found = await queries.head(source)
    if found is None:
        raise LogError(f"{path} has no head; find another copy")
    head, _ = found
    keys = {key for identity in known for key in identity.checkpoint_keys}
    for note in shown:
        try:
            seen = checkpoint.open(note, keys).checkpoint
        except ExequaturError as error:
            raise LogError(
                f"a head that was shown is not signed with a key that the log had by then: {error}; it is another "
                "log's, or the copy is older than the newest keys"
            ) from error
        if seen.size > head.size:
            raise LogError(
                f"the copy ends at size {head.size}, and the log has signed a head of size {seen.size} since: it would "
                "fork; find a newer copy, or what was registered since in the published tiles"
            )
        standing = await queries.head_at(source, seen.size)
        if standing is None or standing.root != seen.root or seen.origin != known[0].origin:
            raise LogError(f"the head of size {seen.size} that was shown is of another history than {path}")
    return head


async def _rebuild(source: Connection, path: Path, target: Connection, progress: Progress | None) -> None:
    async def take(page: Page) -> None:
        await writer.restore(target, page.entries, page.keys, page.tiles, page.heads, page.witnessed)

    walk = Walk(take)
    try:
        await walk.run(source, progress)
    finally:
        walk.close()
    if walk.findings:
        finding = walk.findings[0]
        where = "" if finding.leaf_index is None else f" at {finding.leaf_index}"
        raise LogError(f"{path} is damaged, {finding.code}{where}: {finding.detail}; find another copy")
    head = await queries.head(source)
    assert head is not None
    await writer.finish(target, *head)
