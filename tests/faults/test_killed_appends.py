"""Writers of one log, killed at random moments: what was acknowledged stands, for ever and byte for byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_verifier import merkle, receipt
from tests.faults.mortal import Mortal, finish, generator, kill_at, moment
from tests.faults.work import append
from tests.log import scene

ROUNDS = 25
WRITERS = 4
LONGEST_S = 0.15


class Promises:
    """All that the log has ever answered."""

    def __init__(self) -> None:
        self.standing: list[tuple[bytes, Registered]] = []
        self.heads: dict[int, bytes] = {}

    def take(self, told: list[Any], log: BlockingLog) -> None:
        """Take in what one writer said before it died, and ask the log for the same again."""
        for sent, answers in _batches(told):
            again = log.register_many(sent)
            for entry, promised, standing in zip(sent, answers, again, strict=False):
                assert standing == promised._replace(fresh=False)
                self._keep(entry, promised)
            for entry, standing in list(zip(sent, again, strict=True))[len(answers) :]:
                # Whether these stood when the writer died was never said; now they do, and once.
                assert isinstance(standing, Registered)
                self._keep(entry, standing)

    def check(self, path: Path) -> None:
        """Check that the whole log is what was promised."""
        assert check_file(path) == []
        with scene.reopen(path) as log:
            entries = {entry.leaf_index: entry.statement for entry in log.entries()}
            assert len(entries) == log.head().size
            assert len(set(entries.values())) == len(entries)
            assert all(entries[promised.leaf_index] == entry for entry, promised in self.standing)
            now = log.head()
            for size, root in self.heads.items():
                merkle.check_consistency(size, now.size, root, now.root, log.consistency(size, now.size))

    def _keep(self, entry: bytes, promised: Registered) -> None:
        parsed = scene.check_receipt(promised.receipt, entry, promised.leaf_index)
        root = receipt.root(parsed, merkle.leaf_hash(entry))
        assert self.heads.setdefault(parsed.inclusion.size, root) == root
        self.standing.append((entry, promised))


def _batches(told: list[Any]) -> Iterator[tuple[list[bytes], list[Registered]]]:
    """Yield each batch that was sent, with its answers; of the last there may be none."""
    for place in range(0, len(told), 2):
        yield told[place], told[place + 1] if place + 1 < len(told) else []


def test_kill_at_any_moment_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    draw, path, promises = generator("appends"), tmp_path / "log.db", Promises()
    scene.create(path).close()
    for number in range(1, ROUNDS + 1):
        writers = [Mortal(append, path, draw.getrandbits(32), None) for _ in range(WRITERS)]
        kill_at(writers, [moment(draw, LONGEST_S) for _ in writers])
        with scene.reopen(path) as log:
            for writer in writers:
                promises.take(writer.told, log)
        if number % 5 == 0:
            promises.check(path)
    print(f"{ROUNDS * WRITERS} kills, {len(promises.standing)} entries, {len(promises.heads)} heads")
    assert len(promises.heads) > ROUNDS


def test_processes_append_to_one_log_at_once(tmp_path: Path) -> None:
    path, promises = tmp_path / "log.db", Promises()
    scene.create(path).close()
    told = finish(append, [(path, seed, 20) for seed in range(2)])
    with scene.reopen(path) as log:
        for each in told:
            promises.take(each, log)
    promises.check(path)
    assert len(promises.standing) == sum(len(sent) for each in told for sent in each[::2])
