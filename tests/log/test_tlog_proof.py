"""tlog-proof files: what the log exports, read back and verified, and each thing flipped (C2SP tlog-proof)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_log import tlog_proof
from exequatur_log.blocking import BlockingLog
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from tests.log import scene

PLACES = range(4, 24)


@pytest.fixture
def entries(log: BlockingLog) -> list[bytes]:
    log.register_many([scene.request() for _ in PLACES])
    return [entry.statement for entry in log.entries()]


def test_every_entry_is_proven_under_the_current_checkpoint(log: BlockingLog, entries: list[bytes]) -> None:
    head = log.head()
    for index, entry in enumerate(entries):
        data = log.tlog_proof(index)
        proof = tlog_proof.decode(data)
        assert (proof.leaf_index, proof.path, proof.note) == (index, log.inclusion(index, head.size), head.note)
        signed = tlog_proof.verify(proof, entry, [scene.KEYS.note_key])
        assert (signed.origin, signed.size, signed.root) == (scene.ORIGIN, head.size, head.root)


def test_the_file_is_what_the_specification_shows(log: BlockingLog, entries: list[bytes]) -> None:
    first, index, *hashes = log.tlog_proof(6).decode().partition("\n\n")[0].split("\n")
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 6")
    assert [base64.b64decode(line) for line in hashes] == list(log.inclusion(6, log.head().size))


def test_nothing_else_is_proven(log: BlockingLog, entries: list[bytes]) -> None:
    proof = tlog_proof.decode(log.tlog_proof(6))
    keys = [scene.KEYS.note_key]
    assert tlog_proof.verify(proof, entries[6], keys)
    for wrong in (proof._replace(leaf_index=7), proof._replace(path=proof.path[::-1])):
        with pytest.raises(NotProvenError):
            tlog_proof.verify(wrong, entries[6], keys)
    with pytest.raises(MalformedError):
        tlog_proof.verify(proof._replace(path=proof.path[:-1]), entries[6], keys)
    with pytest.raises(NotProvenError):
        tlog_proof.verify(proof, entries[7], keys)
    with pytest.raises(NotProvenError):
        tlog_proof.verify(proof, entries[6], [scene.KEYS._replace(origin="x").note_key])


def test_one_flipped_bit_anywhere_is_noticed(log: BlockingLog, entries: list[bytes]) -> None:
    data = log.tlog_proof(6)
    for place in range(len(data)):
        flipped = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises(ExequaturError):
            tlog_proof.verify(tlog_proof.decode(flipped), entries[6], [scene.KEYS.note_key])


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: b"c2sp.org/tlog-proof@v1\n" + text.encode()))
def test_whatever_is_read_is_written_the_same(data: bytes) -> None:
    try:
        proof = tlog_proof.decode(data)
    except MalformedError:
        return
    assert tlog_proof.encode(*proof) == data


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(max_size=80))
def test_whatever_is_written_is_read_the_same(index: int, path: list[bytes], note: bytes) -> None:
    assert tlog_proof.decode(tlog_proof.encode(index, path, note)) == (index, tuple(path), note)


def test_an_entry_that_is_not_there_has_no_proof(log: BlockingLog) -> None:
    with pytest.raises(ExequaturError):
        log.tlog_proof(4)
