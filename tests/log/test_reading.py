"""What a log answers about what it holds, and the facade for callers without an event loop."""

import asyncio
import subprocess
import sys
import threading

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_log.entry import Registered
from exequatur_log.errors import NotFoundError
from exequatur_log.log import Log
from exequatur_log.storage.place import Place
from exequatur_verifier import checkpoint, merkle, statement, tiles
from exequatur_verifier.records import Kind
from tests.data import ROOT
from tests.log import scene
from tests.log.scene import KEYS, RUNTIME, Case, check_receipt, spelled


def test_entries_are_found_by_index_id_subject_kind_and_key(log: BlockingLog) -> None:
    # L-01
    policy = scene.policy()
    cases = [Case(policy) for _ in range(3)]
    log.register_many([policy, *(entry for case in cases for entry in case)])
    case = cases[1]
    found = log.find(sub=case.sub)
    assert [entry.statement for entry in found] == [*case]
    assert [entry.leaf_index for entry in found] == list(range(10, 15))
    for entry in found:
        assert log.get(entry.leaf_index) == log.get(entry.record_id) == entry
        assert statement.parse(entry.statement).kind.value == entry.kind
    assert [entry.leaf_index for entry in log.find(kind=Kind.OUTCOME)] == [9, 14, 19]
    assert [entry.leaf_index for entry in log.find(kind=Kind.OUTCOME, newest_first=True, limit=1)] == [19]
    assert [entry.leaf_index for entry in log.find(kind=Kind.OUTCOME, start=10, end=19)] == [14]
    assert len(log.find(key_id=RUNTIME.public_key.thumbprint)) == 6
    assert len(log.find(key_id=RUNTIME.public_key.thumbprint, sub=case.sub, kind=Kind.VERIFICATION)) == 1
    assert log.find(sub="urn:scene:nobody") == []
    assert [entry.leaf_index for entry in log.find(iss="urn:scene:owner")] == [4]
    assert [entry.leaf_index for entry in log.find(iss="urn:scene:authority", kind=Kind.DECISION)] == [6, 11, 16]
    assert log.last_seq(RUNTIME.public_key.thumbprint) == 2
    assert log.last_seq(KEYS.receipt.public_key.thumbprint) is None
    assert log.newest_policy("urn:scene:none") is None
    assert log.enrolment(RUNTIME.public_key.thumbprint) is None


def test_entries_are_found_by_the_time_they_were_issued(log: BlockingLog) -> None:
    log.register_many([scene.request(iat=scene.NOW + late) for late in (20, -30, 0, 10)])
    for since, before, indices in (
        (scene.NOW, None, [0, 1, 2, 3, 4, 6, 7]),
        (scene.NOW + 1, scene.NOW + 20, [7]),
        (None, scene.NOW, [5]),
        (scene.NOW + 21, None, []),
    ):
        assert [entry.leaf_index for entry in log.find(since=since, before=before)] == indices
    assert [entry.leaf_index for entry in log.find(since=scene.NOW, start=5, limit=1, newest_first=True)] == [7]


def test_what_is_not_there_is_not_found(log: BlockingLog) -> None:
    for index in (-1, 4, 10**6, 2**63, 10**30):
        with pytest.raises(NotFoundError):
            log.get(index)
        with pytest.raises(NotFoundError):
            log.receipt(index)
        with pytest.raises(NotFoundError):
            log.fresh_receipt(index)
    with pytest.raises(NotFoundError):
        log.get(bytes(32))
    for index, size in ((0, 0), (2, 2), (0, 5), (-1, 3)):
        with pytest.raises(NotFoundError):
            log.inclusion(index, size)
    for size1, size2 in ((0, 1), (3, 2), (1, 5)):
        with pytest.raises(NotFoundError):
            log.consistency(size1, size2)
    for size in (-1, 5):
        with pytest.raises(NotFoundError):
            log.root(size)
    for level, number in ((0, 1), (7, 0), (0, 2**63), (10**30, 0)):
        with pytest.raises(NotFoundError):
            log.tile(level, number)
    assert log.find(sub="urn:scene:\0") == log.find(start=10**30) == log.find(since=10**30) == []
    assert len(log.find(end=10**30, before=10**30)) == 4
    assert list(log.entries(2**63, 2**64)) == []


def test_entries_stream_in_pages(log: BlockingLog, place: Place) -> None:
    log.register_many([scene.request() for _ in range(600)])
    assert [entry.leaf_index for entry in log.entries()] == list(range(604))
    assert [entry.leaf_index for entry in log.entries(250, 260)] == list(range(250, 260))
    assert list(log.entries(604)) == list(log.entries(5, 5)) == list(log.entries(7, 5)) == []

    async def stream() -> list[int]:
        async with await Log.open(place) as reader:
            return [entry.leaf_index async for entry in reader.entries(100, 400)]

    assert asyncio.run(stream()) == list(range(100, 400))


def test_every_receipt_and_proof_verifies_at_every_head(log: BlockingLog) -> None:
    # B-04 L-30
    answers: list[Registered] = []
    for count in (1, 2, 3, 255, 1, 40):
        for answer in log.register_many([scene.request() for _ in range(count)]):
            assert isinstance(answer, Registered)
            answers.append(answer)
    heads = log.heads()
    assert [head.size for head in heads] == [1, 4, 5, 7, 10, 265, 266, 306]
    for head in heads:
        opened = checkpoint.open(head.note, [KEYS.note_key])
        assert opened.checkpoint == (KEYS.origin, head.size, head.root)
        assert log.root(head.size) == head.root
        for index in {0, head.size // 2, head.size - 1}:
            leaf = log.get(index).leaf_hash
            path = log.inclusion(index, head.size)
            assert merkle.root_from_inclusion(index, head.size, leaf, path) == head.root
        path = log.consistency(head.size, heads[-1].size)
        merkle.check_consistency(head.size, heads[-1].size, head.root, heads[-1].root, path)
    for answer in answers[::9]:
        entry = log.get(answer.leaf_index)
        assert check_receipt(answer.receipt, entry.statement, entry.leaf_index).inclusion.size == entry.head_size
        assert (
            check_receipt(log.fresh_receipt(entry.leaf_index), entry.statement, entry.leaf_index).inclusion.size == 306
        )
    leaves = b"".join(entry.leaf_hash for entry in log.entries())
    assert log.tile(0, 0) + log.tile(0, 1) == leaves
    assert log.tile(1, 0) == tiles.subtree_root(tiles.decode_hashes(log.tile(0, 0)))


def test_a_head_of_one_leaf_has_an_empty_path(place: Place) -> None:
    with BlockingLog.create(place, scene.genesis(), KEYS, clock=lambda: scene.NOW) as log:
        entry = log.get(0)
        assert check_receipt(log.receipt(0), entry.statement, 0).inclusion.path == ()
        assert log.inclusion(0, 1) == log.consistency(1, 1) == ()
        assert log.root(0) == merkle.EMPTY_ROOT
        assert log.identity.genesis == entry.record_id


def test_readers_on_several_threads_see_a_growing_log(log: BlockingLog) -> None:
    failures: list[Exception] = []

    def read() -> None:
        try:
            for _ in range(20):
                head = log.head()
                entry = log.get(head.size - 1)
                path = log.inclusion(head.size - 1, head.size)
                assert merkle.root_from_inclusion(head.size - 1, head.size, entry.leaf_hash, path) == head.root
        except Exception as error:  # noqa: BLE001  (what a thread raises would be lost)
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        log.register_many([scene.request() for _ in range(3)])
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_program_that_closes_its_log_ends(place: Place) -> None:
    program = (
        "import sys; from exequatur_log.storage import place; from tests.log import scene\n"
        "there = place.parse(sys.argv[1])\n"
        "with scene.create(there) as log: print(log.register(scene.request()).leaf_index)\n"
        "try: scene.reopen(there, 0)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, spelled(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["4", "FatalLogError"]
