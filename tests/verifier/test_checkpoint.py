"""Checkpoints: the head of a log, signed by the log and by witnesses."""

import pytest

from exequatur_verifier import Algorithm, MalformedError, NotProvenError, checkpoint, note
from exequatur_verifier.checkpoint import Checkpoint
from exequatur_verifier.note import NoteKey, NoteSignature, SignatureType
from tests.support import world
from tests.support.world import NOW, ORIGIN

LOG = world.new_log()
HEAD = Checkpoint(ORIGIN, 3, LOG.root())
SIGNED = checkpoint.sign(HEAD, LOG.vkey, LOG.checkpoint_signer)
WITNESSES = {
    Algorithm.ED25519: world.witness_key("w.example"),
    Algorithm.ML_DSA_44: world.witness_key("w.example", Algorithm.ML_DSA_44),
}
EACH_WITNESS = pytest.mark.parametrize("algorithm", WITNESSES)


def cosigned(key: NoteKey, algorithm: Algorithm, time: int = NOW, head: Checkpoint = HEAD) -> NoteSignature:
    return checkpoint.cosign(head, time, key, world.signer("w.example", algorithm))


def opened(*lines: NoteSignature, keys: tuple[NoteKey, ...] = (), head: Checkpoint = HEAD) -> checkpoint.Opened:
    return checkpoint.open(note.format(checkpoint.format(head), lines), [LOG.vkey], keys)


def test_the_logs_signature() -> None:
    # L-33
    assert opened(SIGNED) == (HEAD, {}, ())
    for line in (
        SIGNED._replace(signature=bytes(64)),
        SIGNED._replace(signature=SIGNED.signature[:-1]),
        cosigned(WITNESSES[Algorithm.ED25519], Algorithm.ED25519),
    ):
        with pytest.raises(NotProvenError):
            opened(line)


def test_a_logs_key_is_named_like_its_origin() -> None:
    # L-34
    signer = world.signer("other", Algorithm.ED25519)
    key = note.note_key("other.example", SignatureType.ED25519, signer.public_key)
    data = note.format(checkpoint.format(HEAD), [checkpoint.sign(HEAD, key, signer)])
    with pytest.raises(NotProvenError):
        checkpoint.open(data, [key])


@EACH_WITNESS
def test_a_cosignature(algorithm: Algorithm) -> None:
    key = WITNESSES[algorithm]
    line = cosigned(key, algorithm)
    assert opened(SIGNED, line, keys=(key,)).cosigned == {key: NOW}
    later = (NOW + 1).to_bytes(8, "big") + line.signature[8:]
    other = cosigned(key, algorithm, head=HEAD._replace(size=4))
    for broken in (line._replace(signature=later), line._replace(signature=line.signature[:-1]), other):
        with pytest.raises(NotProvenError):
            opened(SIGNED, broken, keys=(key,))


@EACH_WITNESS
def test_a_cosignature_has_a_time(algorithm: Algorithm) -> None:
    key = WITNESSES[algorithm]
    for time in (0, 2**63):
        with pytest.raises(MalformedError):
            opened(SIGNED, cosigned(key, algorithm, time), keys=(key,))
    with pytest.raises(MalformedError):
        opened(SIGNED, NoteSignature(key.name, key.key_id, NOW.to_bytes(8, "big")), keys=(key,))


def test_a_stranger_is_listed_and_not_believed() -> None:
    key = WITNESSES[Algorithm.ED25519]
    line = NoteSignature(key.name, key.key_id, b"anything")
    assert opened(SIGNED, line).ignored == (f"w.example {key.key_id.hex()}",)
    # Another name under the same key id, and the reverse, are strangers too.
    for stranger in (line._replace(name="v.example"), line._replace(key_id=b"1234")):
        assert len(opened(SIGNED, stranger, keys=(key,)).ignored) == 1


def test_who_cosigns_twice_counts_once_with_the_later_time() -> None:
    key = WITNESSES[Algorithm.ED25519]
    for times in ((NOW, NOW + 5), (NOW + 5, NOW)):
        lines = [cosigned(key, Algorithm.ED25519, time) for time in times]
        assert opened(SIGNED, *lines, keys=(key,)).cosigned == {key: NOW + 5}


def test_what_was_opened_before_is_not_verified_again() -> None:
    broken = SIGNED._replace(signature=bytes(64))
    key = WITNESSES[Algorithm.ED25519]
    line = cosigned(key, Algorithm.ED25519)
    data = note.format(checkpoint.format(HEAD), [broken, line._replace(signature=line.signature[:8] + b"x")])
    assert checkpoint.open(data, [LOG.vkey], [key], seen=True).cosigned == {key: NOW}
    with pytest.raises(NotProvenError):
        checkpoint.open(data, [LOG.vkey], [key])


def test_a_name_too_long_for_the_subtree_form() -> None:
    algorithm = Algorithm.ML_DSA_44
    key = note.note_key("w" * 256, SignatureType.COSIGNATURE_ML_DSA_44, world.signer("w.example", algorithm).public_key)
    with pytest.raises(MalformedError):
        cosigned(key, algorithm)
    fitting = note.note_key("w" * 255, SignatureType.COSIGNATURE_ML_DSA_44, key.public_key)
    assert opened(SIGNED, cosigned(fitting, algorithm), keys=(fitting,)).cosigned == {fitting: NOW}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n3\n",
        checkpoint.format(HEAD)[:-1],
        checkpoint.format(HEAD) + "extension\n",
        checkpoint.format(HEAD._replace(origin="")),
        checkpoint.format(HEAD).replace("\n3\n", "\n03\n"),
        checkpoint.format(HEAD).replace("\n3\n", "\n+3\n"),
        checkpoint.format(HEAD).replace("\n3\n", "\n-3\n"),
        checkpoint.format(HEAD).replace("\n3\n", "\n3 \n"),
        checkpoint.format(HEAD).replace("\n3\n", "\n\u0663\n"),
        checkpoint.format(HEAD).replace("\n3\n", f"\n{2**63}\n"),
        checkpoint.format(HEAD._replace(root=bytes(31))),
        checkpoint.format(HEAD._replace(root=b"")),
        checkpoint.format(HEAD).replace("=\n", "\n"),
    ],
)
def test_not_a_checkpoint(text: str) -> None:
    assert checkpoint.parse(checkpoint.format(HEAD)) == HEAD
    with pytest.raises(MalformedError):
        checkpoint.parse(text)
