"""What a witness answers: every status, one transaction, two keys, and a clock that must not run backwards."""

from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_log.witness import wire
from exequatur_log.witness.cosigner import LEEWAY, Answer, Cosigner, UnfitError, cosigning
from exequatur_log.witness.memory import Memory
from exequatur_verifier import Algorithm, MalformedError, checkpoint, note
from tests.support import world
from tests.support.world import Log
from tests.witness import scene
from tests.witness.scene import FORK, LOG, NOW, STRANGER, Witness


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return scene.witness(tmp_path / "witness.db")


def conflict(size: int) -> Answer:
    return Answer(HTTPStatus.CONFLICT, b"%d\n" % size, "text/x.tlog.size")


def test_a_log_that_grows_is_cosigned_by_each_key(witness: Witness) -> None:
    # W-09 W-12
    for old, size in ((0, 3), (3, 3), (3, 16), (16, 40)):
        answer = witness.add(old, size)
        assert answer.status == HTTPStatus.OK
        assert scene.cosigned(answer.body, size) == dict.fromkeys(witness.cosigner.keys, NOW)
    assert [key.type.name for key in witness.cosigner.keys] == ["COSIGNATURE", "COSIGNATURE_ML_DSA_44"]


def test_the_empty_tree_is_cosigned_and_extended(witness: Witness) -> None:
    # W-09
    assert witness.add(0, 0).status == HTTPStatus.OK
    assert witness.add(0, 0).status == HTTPStatus.OK
    assert witness.add(0, 7).status == HTTPStatus.OK
    assert witness.add(0, 7) == conflict(7)


def test_another_size_was_cosigned_last(witness: Witness) -> None:
    # W-10
    assert witness.add(3, 16) == conflict(0)
    assert witness.add(0, 16).status == HTTPStatus.OK
    for old, size in ((0, 16), (0, 20), (15, 20), (15, 15), (17, 20), (3, 9)):
        assert witness.add(old, size) == conflict(16)
    assert witness.add(16, 17).status == HTTPStatus.OK


def test_a_log_that_is_not_known(witness: Witness) -> None:
    # W-10
    assert witness.add(0, 3, STRANGER).status == HTTPStatus.NOT_FOUND
    assert witness.memory.add_logs([STRANGER.vkey, STRANGER.vkey]) == [True, False]
    assert witness.add(0, 3, STRANGER).status == HTTPStatus.OK


def test_a_signature_that_does_not_hold(witness: Witness) -> None:
    # W-09 W-10
    signed = LOG.checkpoint(size=3)
    line = note.parse(signed).signatures[0]
    other = world.signer("other", Algorithm.ED25519)
    forged = line._replace(signature=other.sign(note.parse(signed).text.encode()))
    unknown = note.note_key(LOG.origin, LOG.vkey.type, other.public_key)
    text = note.parse(signed).text
    for lines in (
        [forged],
        [line._replace(signature=bytes(64))],
        [line._replace(key_id=unknown.key_id)],
        [line, forged],
    ):
        answer = witness.cosigner.add_checkpoint(wire.format_request(0, [], note.format(text, lines)))
        assert answer.status == HTTPStatus.FORBIDDEN
    unknown_line = forged._replace(key_id=unknown.key_id)
    both = wire.format_request(0, [], note.format(text, [unknown_line, line]))
    answer = witness.cosigner.add_checkpoint(both)
    assert answer.status == HTTPStatus.OK
    # What was not verified is not given out again.
    latest = witness.cosigner.latest(wire.name_of_origin(LOG.origin))
    assert latest == note.format(text, [line, *wire.parse_lines(answer.body)])


def test_a_proof_that_does_not_hold(witness: Witness) -> None:
    # W-09 W-10
    assert witness.add(0, 12).status == HTTPStatus.OK
    proof = scene.proof(12, 20)
    refused = HTTPStatus.UNPROCESSABLE_ENTITY
    for wrong in ([], proof[:-1], [*proof, proof[0]], proof[::-1], [bytes(32), *proof[1:]]):
        request = wire.format_request(12, wrong, LOG.checkpoint(size=20))
        assert witness.cosigner.add_checkpoint(request).status == refused
    for log, of in ((FORK, FORK), (FORK, LOG), (LOG, FORK)):
        assert witness.add(12, 20, log, of).status == refused
    assert witness.add(12, 12, FORK).status == refused
    assert witness.add(12, 20).status == HTTPStatus.OK


def test_a_proof_is_empty_where_there_is_nothing_to_prove(witness: Witness) -> None:
    # W-10
    refused = HTTPStatus.UNPROCESSABLE_ENTITY
    nodes = scene.proof(3, 12)
    assert witness.cosigner.add_checkpoint(wire.format_request(0, nodes, LOG.checkpoint(size=12))).status == refused
    assert witness.add(0, 12).status == HTTPStatus.OK
    assert witness.cosigner.add_checkpoint(wire.format_request(12, nodes, LOG.checkpoint(size=12))).status == refused
    assert witness.cosigner.add_checkpoint(wire.format_request(12, [], LOG.checkpoint(size=12))).status == HTTPStatus.OK


def test_an_empty_tree_has_one_root(witness: Witness) -> None:
    # W-10
    request = wire.format_request(0, [], scene.bare(LOG, 0, bytes(32)))
    assert witness.cosigner.add_checkpoint(request).status == HTTPStatus.UNPROCESSABLE_ENTITY


GOOD = scene.body(3, 16)
HASH = scene.b64(bytes(32)).encode()


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"old 3",
        b"old 3\n",
        GOOD.replace(b"old 3", b"old 17"),
        GOOD.replace(b"old 3", b"old 03"),
        GOOD.replace(b"old 3", b"old +3"),
        GOOD.replace(b"old 3", b"old  3"),
        GOOD.replace(b"old 3", b"new 3"),
        GOOD.replace(b"old 3", b"old \xd9\xa3"),
        GOOD.replace(b"old 3", b"old 9223372036854775808"),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD[:-1],
        GOOD.replace(b"\n16\n", b"\n016\n"),
        GOOD.replace(b"\n16\n", b"\n16\n\n"),
        GOOD.replace(b"old 3\n", b"old 3\n\n"),
        GOOD.replace(b"old 3\n", b"old 3\n%s \n" % HASH),
        GOOD.replace(b"old 3\n", b"old 3\n%s\n" % HASH[:-2]),
        GOOD.replace(b"old 3\n", b"old 3\n\xff\n"),
        b"old 3\n" + b"%s\n" % HASH * 64 + b"\n" + LOG.checkpoint(size=16),
    ],
)
def test_what_is_no_request(witness: Witness, request_body: bytes) -> None:
    # W-10
    assert witness.cosigner.add_checkpoint(request_body).status == HTTPStatus.BAD_REQUEST
    assert witness.cosigner.add_checkpoint(GOOD) == conflict(0)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(GOOD.split(b"\n"))).map(b"\n".join))
def test_whatever_request_is_read_is_written_the_same(data: bytes) -> None:
    try:
        request = wire.parse_request(data)
    except MalformedError:
        return
    assert wire.format_request(request.old, request.proof, request.note) == data


def test_every_changed_byte_of_a_request_is_refused(witness: Witness) -> None:
    # W-09
    assert witness.add(0, 3).status == HTTPStatus.OK
    for place in range(len(GOOD)):
        changed = GOOD[:place] + bytes((GOOD[place] ^ 1,)) + GOOD[place + 1 :]
        assert witness.cosigner.add_checkpoint(changed).status != HTTPStatus.OK, place
    assert witness.cosigner.add_checkpoint(GOOD).status == HTTPStatus.OK


def test_times_never_go_back(witness: Witness) -> None:
    # W-13
    witness.add(0, 3)
    witness.clock.now = NOW - LEEWAY
    assert set(scene.cosigned(witness.add(3, 16).body, 16).values()) == {NOW}
    witness.clock.now = NOW + 5
    assert set(scene.cosigned(witness.add(16, 16).body, 16).values()) == {NOW + 5}


def test_a_clock_that_is_behind_stops_the_witness(tmp_path: Path) -> None:
    # W-13
    witness = scene.witness(tmp_path / "witness.db", "w.example/one", LOG, STRANGER)
    witness.add(0, 3)
    witness.clock.now = NOW - LEEWAY - 1
    for log in (LOG, STRANGER):
        assert witness.add(3 if log is LOG else 0, 16, log).status == HTTPStatus.SERVICE_UNAVAILABLE
    keys = scene.keys_of("w.example/one")
    with pytest.raises(UnfitError, match="behind"):
        Cosigner(witness.memory, keys, witness.clock)
    witness.clock.now += 1
    Cosigner(witness.memory, keys, witness.clock)
    assert scene.cosigned(witness.add(3, 16).body, 16)
    # Another log has times of its own.
    assert set(scene.cosigned(witness.add(0, 16, STRANGER).body, 16, STRANGER).values()) == {NOW - LEEWAY}


def test_who_asks_again_within_the_second_is_told_the_same(witness: Witness) -> None:
    first = witness.add(0, 3)
    assert witness.add(3, 3) == first
    witness.clock.now += 1
    assert witness.add(3, 3) != first


def test_a_cosignature_of_its_own_that_it_does_not_remember_stops_it_for_good(tmp_path: Path) -> None:
    # W-17
    witness = scene.witness(tmp_path / "witness.db")
    witness.add(0, 3)
    copy = tmp_path / "copy.db"
    witness.memory.close()
    copy.write_bytes((tmp_path / "witness.db").read_bytes())
    keys, later = scene.keys_of("w.example/one"), scene.Clock(NOW + 9)
    with Memory.open(tmp_path / "witness.db") as memory:
        lines = Cosigner(memory, keys, later).add_checkpoint(scene.body(3, 16)).body
    with Memory.open(copy) as memory:
        old = Cosigner(memory, keys, later)
        # What it remembers is no harm, and what somebody else claims in its name neither.
        forged = wire.format_lines([wire.parse_lines(lines)[0]._replace(signature=bytes(72))])
        remembered = LOG.checkpoint(size=3) + old.add_checkpoint(scene.body(3, 3)).body
        assert old.add_checkpoint(wire.format_request(3, [], remembered)).status == HTTPStatus.OK
        assert old.add_checkpoint(scene.body(3, 9) + forged).status == HTTPStatus.OK
        # The cosignature of the other is of the same second, so that a later one is needed.
        later.now += 1
        with Memory.open(tmp_path / "witness.db") as whole:
            lines = Cosigner(whole, keys, later).add_checkpoint(scene.body(16, 16)).body
        assert old.add_checkpoint(scene.body(9, 16) + lines).status == HTTPStatus.SERVICE_UNAVAILABLE
        assert old.add_checkpoint(scene.body(9, 20)).status == HTTPStatus.SERVICE_UNAVAILABLE
        with pytest.raises(UnfitError, match="old copy"):
            Cosigner(memory, keys, later)


def test_a_witness_keeps_its_keys_and_its_memory(witness: Witness) -> None:
    # W-16
    for keys in (scene.keys_of("w.example/two"), scene.keys_of("w.example/one")[:1]):
        with pytest.raises(UnfitError, match="other keys"):
            Cosigner(witness.memory, keys, witness.clock)


def test_only_two_algorithms_cosign() -> None:
    # W-12
    for algorithm in Algorithm:
        if algorithm not in scene.ALGORITHMS:
            with pytest.raises(ValueError, match="cosigns with"):
                cosigning("w.example", world.signer("w.example", algorithm))


def test_a_log_is_known_by_a_key_for_checkpoints(witness: Witness) -> None:
    # W-02
    own = world.signer("w.example/one", Algorithm.ED25519).public_key
    long = Log("x" * 256, LOG.entries).vkey
    for key in (witness.cosigner.keys[0], note.note_key("own.example", LOG.vkey.type, own), long):
        with pytest.raises(MalformedError):
            witness.memory.add_logs([STRANGER.vkey, key])
    assert witness.add(0, 3, STRANGER).status == HTTPStatus.NOT_FOUND
    assert witness.memory.add_logs([Log("x" * 255, LOG.entries).vkey]) == [True]
    assert witness.add(0, 3, Log("x" * 255, LOG.entries)).status == HTTPStatus.OK


def test_each_of_a_logs_keys_is_enough(witness: Witness) -> None:
    # W-09
    signer = world.signer("rotated", Algorithm.ED25519)
    key = note.note_key(LOG.origin, LOG.vkey.type, signer.public_key)
    head = checkpoint.Checkpoint(LOG.origin, 16, LOG.root(16))
    rotated = note.format(checkpoint.format(head), [checkpoint.sign(head, key, signer)])
    assert witness.cosigner.add_checkpoint(wire.format_request(0, [], rotated)).status == HTTPStatus.FORBIDDEN
    assert witness.memory.add_logs([key]) == [True]
    assert witness.add(0, 3).status == HTTPStatus.OK
    assert witness.cosigner.add_checkpoint(wire.format_request(3, scene.proof(3, 16), rotated)).status == HTTPStatus.OK
