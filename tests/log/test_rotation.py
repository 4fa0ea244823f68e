"""Rotation of the keys that a log signs with: old receipts verify for ever, and nobody signs with retired keys."""

from typing import Any

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import Code, FatalLogError, Refused
from exequatur_log.genesis import sign_log_keys
from exequatur_log.head import LogKeys
from exequatur_log.storage.place import Place
from exequatur_verifier import checkpoint, receipt, statement
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.records import Enrolment
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.statement import Claims
from tests.log import scene
from tests.support.world import signer

SECOND = scene.KEYS._replace(
    receipt=signer("second receipts"), checkpoint=signer("second checkpoints", Algorithm.ED25519)
)
THIRD = scene.KEYS._replace(receipt=signer("third receipts"), checkpoint=signer("third checkpoints", Algorithm.ED25519))


def log_keys(*keys: LogKeys, by: LocalSigner = scene.OPERATOR) -> bytes:
    return sign_log_keys(
        by,
        [each.receipt.public_key for each in keys],
        [each.note_key for each in keys],
        iss=scene.KEYS.iss,
        now=scene.NOW,
        unique=scene.unique(),
    )


def reopen(place: Place, keys: LogKeys) -> BlockingLog:
    return BlockingLog.open(place, keys, clock=lambda: scene.NOW)


def rotate(place: Place, former: LogKeys, later: LogKeys) -> None:
    with reopen(place, former) as log:
        log.register(log_keys(former, later))
    with reopen(place, later) as log:
        log.register(log_keys(later))


def verifies(encoded: bytes, leaf: bytes, key: PublicKey) -> bool:
    parsed = receipt.parse(encoded)
    try:
        receipt.verify_head(parsed.protected, parsed.signature, receipt.root(parsed, leaf), key)
    except NotProvenError:
        return False
    return parsed.key_id == key.thumbprint


def test_receipts_verify_for_ever_over_two_rotations(log: BlockingLog, place: Place) -> None:
    """L-38: each with the key of its time and no other, byte for byte as it was first answered."""
    sent = [scene.enrolments()[0]]
    answers = [log.register(sent[0])]
    for former, later in ((scene.KEYS, SECOND), (SECOND, THIRD)):
        rotate(place, former, later)
        with reopen(place, later) as opened:
            sent.append(scene.request())
            answers.append(opened.register(sent[-1]))
    generations = (scene.KEYS, SECOND, THIRD)
    with reopen(place, THIRD) as opened:
        for data, answer, own in zip(sent, answers, generations, strict=True):
            assert opened.register(data).receipt == opened.receipt(answer.leaf_index) == answer.receipt
            leaf = statement.parse(data).leaf
            assert [verifies(answer.receipt, leaf, keys.receipt.public_key) for keys in generations] == [
                keys is own for keys in generations
            ]
        newest = opened.fresh_receipt(answers[0].leaf_index)
        assert verifies(newest, statement.parse(sent[0]).leaf, THIRD.receipt.public_key)
        sets = [set(identity.receipt_keys) for identity in opened.identities()]
    first, second, third = ({keys.receipt.public_key.thumbprint} for keys in generations)
    assert sets == [third, second | third, second, first | second, first]
    assert check_file(place) == []


def test_checkpoints_are_signed_with_the_keys_in_force(log: BlockingLog, place: Place) -> None:
    rotate(place, scene.KEYS, SECOND)
    with reopen(place, SECOND) as opened:
        opened.register(scene.enrolments()[0])
        note = opened.head().note
        before = opened.heads(limit=1)[0].note
    assert checkpoint.open(note, (SECOND.note_key,)).checkpoint.origin == scene.ORIGIN
    with pytest.raises(NotProvenError):
        checkpoint.open(note, (scene.KEYS.note_key,))
    assert checkpoint.open(before, (scene.KEYS.note_key,)).checkpoint.size == 1


@pytest.mark.parametrize("keys", [SECOND, SECOND._replace(receipt=scene.KEYS.receipt)])
def test_a_log_is_not_opened_with_keys_that_are_not_in_force_yet(log: BlockingLog, place: Place, keys: LogKeys) -> None:
    """L-04."""
    with pytest.raises(FatalLogError):
        reopen(place, keys)


def test_a_log_is_not_opened_with_retired_keys(log: BlockingLog, place: Place) -> None:
    """L-04."""
    rotate(place, scene.KEYS, SECOND)
    with pytest.raises(FatalLogError):
        reopen(place, scene.KEYS)


def test_the_record_that_retires_the_own_keys_is_refused(log: BlockingLog) -> None:
    """L-39."""
    size = log.head().size
    with pytest.raises(Refused) as refused:
        log.register(log_keys(SECOND))
    assert refused.value.code is Code.ENROLMENT_INVALID
    assert log.head().size == size
    assert log.register(log_keys(scene.KEYS, SECOND)).fresh


def test_a_process_stops_once_another_has_retired_its_keys(log: BlockingLog, place: Place) -> None:
    """L-39."""
    log.register(log_keys(scene.KEYS, SECOND))
    with reopen(place, SECOND) as other:
        other.register(log_keys(SECOND))
    with pytest.raises(FatalLogError):
        log.register(scene.enrolments()[0])


def test_a_process_goes_on_while_another_signs_with_keys_that_were_added(log: BlockingLog, place: Place) -> None:
    log.register(log_keys(scene.KEYS, SECOND))
    with reopen(place, SECOND) as other:
        assert other.register(scene.enrolments()[0]).fresh
    assert log.register(scene.enrolments()[1]).fresh
    assert check_file(place) == []


def test_only_the_operator_replaces_the_keys_of_a_log(log: BlockingLog) -> None:
    """L-10."""
    for enrolled in scene.enrolments():
        log.register(enrolled)
    with pytest.raises(Refused) as refused:
        log.register(log_keys(scene.KEYS, SECOND, by=scene.AUTHORITY))
    assert refused.value.code in {Code.ENROLMENT_INVALID, Code.ISSUER_MISMATCH}


def _signed(record: Enrolment) -> bytes:
    return statement.sign(record, Claims(scene.KEYS.iss, scene.subject(), scene.NOW, scene.unique()), scene.OPERATOR)


def sound() -> Enrolment:
    record = statement.parse(log_keys(scene.KEYS, SECOND)).record
    assert isinstance(record, Enrolment)
    return record


SOUND = sound()


@pytest.mark.parametrize(
    "changes",
    [
        {"receipt_keys": ()},
        {"checkpoint_keys": ()},
        {"origin": scene.ORIGIN},
        {"iss": scene.KEYS.iss},
        {"until": 7},
        {"since": 7},
        {"receipt_keys": (*SOUND.receipt_keys, {1: 1, 3: -8, -1: 6, -2: bytes(32)})},
        {
            "checkpoint_keys": (
                *SOUND.checkpoint_keys,
                "other.example+c54cf1b2+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            )
        },
        {"form": "registration"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_of_the_log_s_keys_names_them_and_nothing_else(log: BlockingLog, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        log.register(_signed(SOUND._replace(**changes)))
    assert refused.value.code is Code.ENROLMENT_INVALID
    assert log.register(_signed(SOUND)).fresh
