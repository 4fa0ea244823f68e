"""Evidence against logs: kept as it came, once and in bounds, and checked by whoever has the log's key."""

import json
import sqlite3
from http import HTTPStatus
from pathlib import Path

import pytest

from exequatur_log.witness import evidence, wire
from exequatur_log.witness.evidence import Evidence, Kind
from exequatur_log.witness.memory import MOST_EVIDENCE, Kept
from exequatur_verifier import ExequaturError, MalformedError, NotProvenError, note
from tests.support.world import Log
from tests.witness import scene
from tests.witness.scene import FORK, LOG, NOW, STRANGER, Witness

KEYS = [LOG.vkey]
SAME, OTHER = LOG.checkpoint(size=16), FORK.checkpoint(size=16)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return scene.witness(tmp_path / "witness.db")


def kept(witness: Witness) -> list[Kept]:
    with witness.memory.transaction() as transaction:
        return transaction.evidence()


def kinds(witness: Witness) -> list[Kind]:
    return [one.evidence.kind for one in kept(witness)]


def test_two_heads_of_one_size_convict_the_log(witness: Witness) -> None:
    # W-14 W-15
    witness.add(0, 16)
    witness.clock.now += 7
    assert witness.add(16, 16, FORK).status == HTTPStatus.UNPROCESSABLE_ENTITY
    (found,) = kept(witness)
    assert (found.number, found.origin) == (1, LOG.origin)
    latest = witness.cosigner.latest(wire.name_of_origin(LOG.origin))
    assert found.evidence == Evidence(Kind.FORK, NOW + 7, latest, OTHER, ())
    assert evidence.check_evidence(found.evidence, KEYS)
    assert scene.cosigned(latest[len(SAME) :] if latest else b"", 16)


def test_a_fork_is_kept_also_when_the_old_size_is_wrong(witness: Witness) -> None:
    # W-14
    witness.add(0, 16)
    assert witness.add(3, 16, FORK).status == HTTPStatus.CONFLICT
    assert kinds(witness) == [Kind.FORK]


def test_a_proof_that_fails_is_kept_and_convicts_nobody(witness: Witness) -> None:
    # W-14 W-15
    witness.add(0, 16)
    assert witness.add(16, 20, FORK).status == HTTPStatus.UNPROCESSABLE_ENTITY
    (found,) = kept(witness)
    assert found.evidence.proof == tuple(scene.proof(16, 20, FORK))
    assert found.evidence.presented == FORK.checkpoint(size=20)
    assert not evidence.check_evidence(found.evidence, KEYS)


def test_a_root_that_cannot_be_is_kept(witness: Witness) -> None:
    # W-14 W-15
    presented = scene.bare(LOG, 0, bytes(32))
    witness.cosigner.add_checkpoint(wire.format_request(0, [], presented))
    (found,) = kept(witness)
    assert found.evidence == Evidence(Kind.IMPOSSIBLE, NOW, None, presented, ())
    assert evidence.check_evidence(found.evidence, KEYS)


def test_what_says_nothing_of_the_log_is_not_kept(witness: Witness) -> None:
    # W-14
    witness.add(0, 16)
    witness.add(0, 9)
    witness.add(9, 9, FORK)
    witness.add(9, 20, FORK)
    witness.add(0, 16, STRANGER)
    witness.cosigner.add_checkpoint(wire.format_request(16, scene.proof(9, 16), SAME))
    forged = note.parse(OTHER)
    line = forged.signatures[0]._replace(signature=bytes(64))
    witness.cosigner.add_checkpoint(wire.format_request(16, [], note.format(forged.text, [line])))
    assert kinds(witness) == []
    assert witness.add(16, 16).status == HTTPStatus.OK


def test_evidence_is_kept_once_and_in_bounds(witness: Witness) -> None:
    # W-14
    witness.add(0, 16)
    for number in range(MOST_EVIDENCE + 3):
        other = Log(LOG.origin, [b"fork %d" % number, *LOG.entries[1:]])
        for _ in range(2):
            witness.add(16, 16, other)
            witness.add(16, 18, other)
    assert [kinds(witness).count(kind) for kind in Kind] == [MOST_EVIDENCE, 0, MOST_EVIDENCE]
    witness.cosigner.add_checkpoint(wire.format_request(0, [], scene.bare(LOG, 0, bytes(32))))
    assert kinds(witness).count(Kind.IMPOSSIBLE) == 1


@pytest.mark.parametrize("change", ["DELETE FROM evidence", "UPDATE evidence SET time = 0", "DELETE FROM lost"])
def test_evidence_stays(witness: Witness, tmp_path: Path, change: str) -> None:
    # W-14
    witness.add(0, 16)
    witness.add(16, 16, FORK)
    with witness.memory.transaction() as transaction:
        transaction.lose(LOG.origin, NOW, SAME)
    witness.memory.close()
    connection = sqlite3.connect(tmp_path / "witness.db")
    with pytest.raises(sqlite3.IntegrityError, match="forgets nothing"):
        connection.execute(change)
    connection.close()


FOUND = [
    Evidence(Kind.FORK, NOW, SAME, OTHER, ()),
    Evidence(Kind.UNPROVEN, NOW, SAME, FORK.checkpoint(size=20), tuple(scene.proof(16, 20, FORK))),
    Evidence(Kind.UNPROVEN, NOW, SAME, LOG.checkpoint(size=20), ()),
    Evidence(Kind.IMPOSSIBLE, NOW, None, scene.bare(LOG, 0, bytes(32)), ()),
]


@pytest.mark.parametrize("found", FOUND)
def test_evidence_travels_as_json(found: Evidence) -> None:
    # W-15
    data = json.dumps(evidence.encode(found)).encode()
    assert evidence.decode(data) == found
    assert evidence.check_evidence(evidence.decode(data), KEYS) is (found.kind is not Kind.UNPROVEN)


@pytest.mark.parametrize(
    "wrong",
    [
        Evidence(Kind.FORK, NOW, SAME, SAME, ()),
        Evidence(Kind.FORK, NOW, SAME, FORK.checkpoint(size=20), ()),
        Evidence(Kind.FORK, NOW, None, OTHER, ()),
        Evidence(Kind.FORK, NOW, STRANGER.checkpoint(size=16), OTHER, ()),
        Evidence(Kind.IMPOSSIBLE, NOW, SAME, OTHER, ()),
        Evidence(Kind.IMPOSSIBLE, NOW, None, LOG.checkpoint(size=0), ()),
        Evidence(Kind.UNPROVEN, NOW, SAME, LOG.checkpoint(size=20), tuple(scene.proof(16, 20))),
        Evidence(Kind.UNPROVEN, NOW, SAME, FORK.checkpoint(size=9), ()),
        Evidence(Kind.UNPROVEN, NOW, SAME, OTHER, ()),
    ],
)
def test_what_is_no_evidence_of_its_kind(wrong: Evidence) -> None:
    # W-15
    with pytest.raises(ExequaturError):
        evidence.check_evidence(wrong, [LOG.vkey, STRANGER.vkey])


def test_evidence_is_the_logs_own_word(witness: Witness) -> None:
    # W-15
    for found in FOUND:
        with pytest.raises(NotProvenError):
            evidence.check_evidence(found, [STRANGER.vkey])
    parsed = note.parse(OTHER)
    forged = note.format(parsed.text, [parsed.signatures[0]._replace(signature=bytes(64))])
    with pytest.raises(NotProvenError):
        evidence.check_evidence(FOUND[0]._replace(presented=forged), KEYS)
    with pytest.raises(NotProvenError):
        evidence.check_evidence(FOUND[0]._replace(held=forged), KEYS)


@pytest.mark.parametrize(
    "change",
    [{"kind": "other"}, {"kind": []}, {"time": -1}, {"held": 1}, {"presented": None}, {"proof": ["AA=="]}, {"more": 1}],
)
def test_what_is_no_evidence_at_all(change: dict[str, object]) -> None:
    # W-15
    good = evidence.encode(FOUND[1])
    assert evidence.decode(json.dumps(good).encode())
    for data in (json.dumps({**good, **change}).encode(), b"", b"[" * 100_000, json.dumps([good]).encode()):
        with pytest.raises(MalformedError):
            evidence.decode(data)
