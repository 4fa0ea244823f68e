"""The judge: a clean process opens what a victim left, and holds the log to everything that was ever answered."""

import asyncio
from collections.abc import Sequence
from typing import Any

from exequatur_log.entry import Registered
from exequatur_log.fsck import fsck
from exequatur_log.log import Log
from exequatur_log.storage.place import Place
from exequatur_verifier import merkle, receipt
from tests.log import scene


class Promises:
    """What the log has answered: entries with their receipts, heads by size, and what it was sent."""

    def __init__(self) -> None:
        self.standing: dict[bytes, Registered] = {}
        self.roots: dict[int, bytes] = {}
        self.sent: list[bytes] = []

    def hear(self, told: Sequence[tuple[str, Any]]) -> None:
        """Take in what a victim said: batches with their answers, and heads."""
        for word, value in told:
            if word == "sent":
                self.sent += value
                batch = value
            elif word == "answered":
                for statement, answer in zip(batch, value, strict=True):
                    if isinstance(answer, Registered):
                        self.keep(statement, answer)
            elif word == "head":
                self.head(value.size, value.root)

    def keep(self, statement: bytes, answer: Registered) -> None:
        """Check a receipt as anybody would. Whatever is answered again must be the same."""
        parsed = scene.check_receipt(answer.receipt, statement, answer.leaf_index)
        self.head(parsed.inclusion.size, receipt.root(parsed, merkle.leaf_hash(statement)))
        standing = self.standing.setdefault(statement, answer)
        # The tests' clock stands still and their signatures are deterministic: what was lost would come back the same.
        assert standing is answer or not answer.fresh, "what was acknowledged was gone"
        assert standing._replace(fresh=False) == answer._replace(fresh=False)

    def head(self, size: int, root: bytes) -> None:
        assert self.roots.setdefault(size, root) == root, f"two heads of size {size}"

    def copy(self) -> "Promises":
        other = Promises()
        other.standing, other.roots, other.sent = dict(self.standing), dict(self.roots), list(self.sent)
        return other


def judge(place: Place, promises: Promises) -> None:
    """Check that the log in ``place`` is whole, has kept its promises, and goes on."""
    asyncio.run(_judge(place, promises))


async def _judge(place: Place, promises: Promises) -> None:
    assert await fsck(place) == []
    async with await Log.open(place, scene.KEYS, clock=lambda: scene.NOW) as log:
        opened = await log.head()
        promises.head(opened.size, opened.root)
        sent = list(dict.fromkeys((*promises.standing, *promises.sent)))
        # Whether the unanswered ones stood was never said; now they do, and once.
        for statement, answer in zip(sent, await log.register_many(sent), strict=True):
            assert isinstance(answer, Registered), answer
            promises.keep(statement, answer)
        entries = [entry.statement async for entry in log.entries()]
        now = await log.head()
        assert len(entries) == len(set(entries)) == now.size
        assert all(entries[answer.leaf_index] == statement for statement, answer in promises.standing.items())
        paths = await log.consistencies(list(promises.roots), now.size)
        for (size, root), path in zip(promises.roots.items(), paths, strict=True):
            merkle.check_consistency(size, now.size, root, now.root, path)
