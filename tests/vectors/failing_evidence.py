"""Vectors that steps 4 to 7 deny: receipts, checkpoints, a log's history, time."""

from exequatur_verifier import Clock, Code, Proof, checkpoint, note
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import NoteSignature
from exequatur_verifier.receipt import HeadSignature, Inclusion
from exequatur_verifier.receipt import encode as encode_receipt
from tests.support import reference, world
from tests.support.world import NOW, ORIGIN, Log
from tests.vectors.flip import denied, edited, opened, receipts, with_receipts
from tests.vectors.form import Vector
from tests.vectors.valid import (
    QUORUM,
    es256,
    first_second,
    issued,
    log_checkpoint,
    remembering,
    same_boot,
    two_logs,
    with_checkpoint,
    witness,
    witness_quorum,
)

# Step 4 (V-14, V-15)


def receipt(
    log: Log, index: int = 4, *, inclusion: Inclusion | None = None, head: HeadSignature | None = None
) -> bytes:
    """Return the receipt of an entry, with another proof or another head signature if given."""
    path = tuple(reference.inclusion_path(index, log.entries))
    return encode_receipt(head or log.head(NOW), inclusion or Inclusion(len(log.entries), index, path))


def logged() -> Log:
    """Return the log of the usual vector, as it was when the artifact had been appended."""
    log = world.new_log()
    world.issue(world.parts(), log)
    return log


@denied(Code.RECEIPT_MISSING)
def no_receipt() -> Vector:
    """The artifact was never logged."""
    return with_receipts(es256())


@denied(Code.RECEIPT_MISSING)
def one_receipt_of_two() -> Vector:
    """Trust asks for two logs, and the artifact has a receipt of one."""
    _, (first, _) = receipts(two_logs())
    policy = opened(two_logs()).policy
    assert policy is not None
    only = policy._replace(positions={ORIGIN: policy.positions[ORIGIN]})
    return edited(with_receipts(two_logs(), first), policy=only)


@denied(Code.LOG_UNTRUSTED)
def unknown_origin() -> Vector:
    """The receipt is of a log that trust does not name."""
    return es256()._replace(trust=world.trust_toml(world.new_log("other.example/log")))


@denied(Code.LOG_UNTRUSTED)
def unknown_log_key() -> Vector:
    """The receipt is by a key that trust does not name for that log."""
    log = world.new_log()
    trust = es256().trust.replace(world.text_key(log.receipt_signer), world.text_key(world.signer("stranger")))
    return es256()._replace(trust=trust)


@denied(Code.LOG_UNTRUSTED)
def log_under_another_name() -> Vector:
    """The receipt names another issuer than trust does for that log."""
    return es256()._replace(trust=es256().trust.replace('iss = "https://', 'iss = "http://'))


@denied(Code.RECEIPT_INVALID)
def receipt_signature() -> Vector:
    """The receipt's signature has one bit flipped."""
    _, (found,) = receipts(es256())
    return with_receipts(es256(), found[:-1] + bytes((found[-1] ^ 1,)))


@denied(Code.RECEIPT_INVALID)
def path_hash() -> Vector:
    # B-03
    """One hash of the path has one bit flipped."""
    log = logged()
    (sibling,) = reference.inclusion_path(4, log.entries)
    return with_receipts(es256(), receipt(log, inclusion=Inclusion(5, 4, (bytes((sibling[0] ^ 1,)) + sibling[1:],))))


@denied(Code.RECEIPT_INVALID)
def path_of_another_entry() -> Vector:
    """The receipt is of the entry before the artifact."""
    return with_receipts(es256(), receipt(logged(), 3))


@denied(Code.RECEIPT_INVALID)
def index_of_another_entry() -> Vector:
    # L-02
    """The index is another's, and the length of the path says so."""
    log = logged()
    path = tuple(reference.inclusion_path(4, log.entries))
    return with_receipts(es256(), receipt(log, inclusion=Inclusion(5, 3, path)))


@denied(Code.RECEIPT_INVALID)
def head_of_another_size() -> Vector:
    """The head's signature is for the head of one entry more."""
    log = logged()
    log.append(b"later")
    inclusion = Inclusion(6, 4, tuple(reference.inclusion_path(4, log.entries[:5])))
    return with_receipts(es256(), receipt(log, inclusion=inclusion))


@denied(Code.RECEIPT_INVALID)
def signed_by_an_ed25519_log() -> Vector:
    """Trust names an Ed25519 key for the log's receipts, with the thumbprint of none that signs them."""
    log = logged()
    signer = world.signer("log of another kind", Algorithm.ESP256)
    trust = es256().trust.replace(world.text_key(log.receipt_signer), world.text_key(signer))
    message = encode_receipt(log.head(NOW), Inclusion(5, 4, tuple(reference.inclusion_path(4, log.entries))))
    return with_receipts(
        es256(), message.replace(log.receipt_signer.public_key.thumbprint, signer.public_key.thumbprint)
    )._replace(trust=trust)


@denied(Code.RECEIPT_INVALID)
def one_bad_receipt_of_two() -> Vector:
    """A receipt of a trusted log does not hold, although another one would suffice."""
    vector = two_logs()._replace(trust=two_logs().trust.replace("k = 2", "k = 1"))
    _, (first, second) = receipts(vector)
    return with_receipts(vector, first, second[:-1] + bytes((second[-1] ^ 1,)))


# Step 5 (V-17, V-18, V-19)


def with_note(data: bytes) -> Vector:
    """Return the vector with a checkpoint, the note replaced."""
    return edited(log_checkpoint(), checkpoints=(data,))


@denied(Code.CHECKPOINT_INVALID)
def note_out_of_form() -> Vector:
    # L-31
    """The last line of the note is not ended."""
    return with_note(opened(log_checkpoint()).checkpoints[0][:-1])


@denied(Code.CHECKPOINT_INVALID)
def extension_line() -> Vector:
    # L-31
    """The checkpoint has an extension line, duly signed."""
    log = logged()
    text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, 5, log.root())) + "extension\n"
    line = NoteSignature(ORIGIN, log.vkey.key_id, log.checkpoint_signer.sign(text.encode()))
    return with_note(note.format(text, [line]))


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_of_another_size() -> Vector:
    """The checkpoint is of an earlier head than the receipt."""
    return with_note(logged().checkpoint(size=4))


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_of_another_root() -> Vector:
    """The checkpoint has the receipt's size and another root: the log shows two faces."""
    other = logged()
    other.entries[0] = b"another entry"
    return with_note(other.checkpoint())


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_of_another_log() -> Vector:
    """The checkpoint is of a log that gave no receipt."""
    return with_note(world.new_log("second.example/log").checkpoint())


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_twice() -> Vector:
    """The log's checkpoint stands twice."""
    (data,) = opened(log_checkpoint()).checkpoints
    return edited(log_checkpoint(), checkpoints=(data, data))


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_unsigned() -> Vector:
    # L-33
    """Only a stranger signed the checkpoint."""
    head = checkpoint.Checkpoint(ORIGIN, 5, logged().root())
    stranger = world.signer("stranger", Algorithm.ED25519)
    key = note.note_key(ORIGIN, note.SignatureType.ED25519, stranger.public_key)
    return with_note(note.format(checkpoint.format(head), [checkpoint.sign(head, key, stranger)]))


@denied(Code.CHECKPOINT_INVALID)
def checkpoint_signature() -> Vector:
    # L-33
    """The log's signature line does not hold."""
    log = logged()
    head = checkpoint.Checkpoint(ORIGIN, 5, log.root())
    line = checkpoint.sign(head, log.vkey, world.signer("stranger", Algorithm.ED25519))
    return with_note(note.format(checkpoint.format(head), [line]))


@denied(Code.CHECKPOINT_INVALID)
def cosignature() -> Vector:
    """A trusted witness's line is a signature of another time than it states."""

    def sign(log: Log) -> NoteSignature:
        line = witness("anna.example")(log)
        return line._replace(signature=(NOW + 3).to_bytes(8, "big") + line.signature[8:])

    return with_checkpoint(sign, extra=QUORUM)


@denied(Code.WITNESS_QUORUM)
def no_checkpoint() -> Vector:
    """Trust names a quorum, and the bundle carries no checkpoint."""
    return edited(witness_quorum(), checkpoints=())


@denied(Code.WITNESS_QUORUM)
def half_a_quorum() -> Vector:
    # T-09
    """Anna and Bert cosigned, but it takes one of them and Dora."""
    return with_checkpoint(witness("anna.example"), witness("bert.example"), extra=QUORUM)


@denied(Code.WITNESS_QUORUM)
def one_witness_twice() -> Vector:
    # T-09
    """Anna cosigned twice, which counts once."""
    return with_checkpoint(witness("anna.example"), witness("anna.example", time=NOW + 3), extra=QUORUM)


@denied(Code.CHECKPOINT_STALE)
def stale_head() -> Vector:
    """The head is one second older than trust permits."""
    return issued(world.parts()._replace(iat=NOW - 91), max_age=100)


@denied(Code.CHECKPOINT_STALE)
def stale_quorum() -> Vector:
    """The older of the two cosignatures that meet the quorum is too old, although the receipt is fresh."""
    return with_checkpoint(
        witness("anna.example"),
        witness("dora.example", time=NOW - 91, algorithm=Algorithm.ML_DSA_44),
        extra=QUORUM,
        max_age=100,
    )


# Step 6 (V-20, V-21, V-22, V-23, V-24)


@denied(Code.CONSISTENCY_MISSING)
def no_proof() -> Vector:
    """The log has grown since the remembered head, and nothing proves that it only grew."""
    return remembering(3)


@denied(Code.CONSISTENCY_MISSING)
def no_proof_to_a_later_head() -> Vector:
    """The remembered head is the later one, and nothing proves that it continues the artifact's."""
    return remembering(9, iat=NOW + 5)


@denied(Code.CONSISTENCY_MISSING)
def proof_hash() -> Vector:
    """One hash of the proof has one bit flipped."""
    vector = remembering(3, given=True)
    (proof,) = vector.proofs
    first = proof.path[0]
    return vector._replace(proofs=(proof._replace(path=(bytes((first[0] ^ 1,)) + first[1:], *proof.path[1:])),))


@denied(Code.CONSISTENCY_MISSING)
def proof_of_other_roots() -> Vector:
    """The proof holds between two heads of another history altogether."""
    other = world.new_log()
    other.entries[0] = b"another entry"
    while len(other.entries) < 5:
        other.append(b"more")
    path = tuple(reference.consistency_path(3, other.entries))
    return remembering(3)._replace(proofs=(Proof(ORIGIN, 3, other.root(3), 5, other.root(), path),))


@denied(Code.CONSISTENCY_MISSING)
def stapled_hash() -> Vector:
    # B-09
    """The stapled proof does not hold, and is looked at although nothing is remembered."""
    vector = remembering(3, stapled=True)._replace(memory=None)
    (stapled,) = opened(vector).proofs
    first = stapled.path[0]
    return edited(vector, proofs=(stapled._replace(path=(bytes((first[0] ^ 1,)) + first[1:], *stapled.path[1:])),))


@denied(Code.CONSISTENCY_MISSING)
def stapled_for_another_log() -> Vector:
    """The stapled proof is of a log that gave no receipt."""
    vector = remembering(3, stapled=True)
    (stapled,) = opened(vector).proofs
    return edited(vector, proofs=(stapled._replace(origin="other.example/log"),))


@denied(Code.CONSISTENCY_MISSING)
def stapled_from_the_head_itself() -> Vector:
    # L-03
    """The stapled proof leads from the artifact's head to itself."""
    vector = remembering(3, stapled=True)
    (stapled,) = opened(vector).proofs
    return edited(vector, proofs=(stapled._replace(size=5, root=logged().root(), path=()),))


def two_faced() -> Log:
    """Return a log with the usual one's name and keys, and another first entry."""
    log = world.new_log()
    log.entries[0] = b"another entry"
    while len(log.entries) < 9:
        log.append(b"more")
    return log


@denied(Code.LOG_FORK)
def two_roots_of_one_size() -> Vector:
    """The log signed another root for the same size, which the runtime remembers."""
    return remembering(5, of=two_faced())


@denied(Code.LOG_FORK)
def two_histories() -> Vector:
    """The stapled proof leads from another root of the remembered size than the one the log signed then."""
    return remembering(3, of=two_faced(), stapled=True)


@denied(Code.LOG_FORK)
def two_histories_of_a_later_head() -> Vector:
    """The proof leads to the remembered head from another root of the artifact's size."""
    other = two_faced()
    path = tuple(reference.consistency_path(5, other.entries))
    proof = Proof(ORIGIN, 5, other.root(5), 9, other.root(), path)
    return remembering(9, iat=NOW + 5, of=other)._replace(proofs=(proof,))


@denied(Code.LOG_FORK)
def known_fork() -> Vector:
    """The log was caught before, and no operator has reset it."""
    return remembering(5, forked=frozenset({ORIGIN}))


@denied(Code.LOG_ROLLBACK)
def smaller_and_signed_later() -> Vector:
    """The artifact's head is smaller than the remembered one, yet was signed after it; the proof holds."""
    return remembering(9, given=True)


# Step 7 (V-25, V-26, V-27)


@denied(Code.NOT_YET_VALID)
def before_the_window() -> Vector:
    """One second before the window opens, leeway included."""
    return first_second()._replace(now=Clock(NOW + 9))


@denied(Code.EXPIRED)
def after_the_window() -> Vector:
    """The first second after the window, leeway included."""
    return es256()._replace(now=Clock(NOW + 300 + 60))


@denied(Code.EXPIRED)
def after_the_window_by_memory() -> Vector:
    """The clock is within the window, but a time past it was seen signed."""
    return es256()._replace(memory=world.memory(floor=NOW + 360), now=Clock(NOW + 350))


@denied(Code.CLOCK_ROLLBACK)
def clock_behind_signed_time() -> Vector:
    """The clock is behind the latest signed time it saw, by more than the leeway."""
    return es256()._replace(memory=world.memory(floor=NOW + 71))


@denied(Code.CLOCK_ROLLBACK)
def clock_behind_itself() -> Vector:
    """The clock is behind what it showed before, by more than the leeway."""
    return es256()._replace(memory=world.memory(clock=Clock(NOW + 71)))


@denied(Code.CLOCK_ROLLBACK)
def clock_slower_than_boot_time() -> Vector:
    """Within one boot, the clock advanced 61 seconds less than the time since boot."""
    return same_boot()._replace(now=Clock(NOW + 10, "boot-1", 1171))


@denied(Code.TIME_IN_FUTURE)
def artifact_in_the_future() -> Vector:
    """The artifact was signed later than the clock and its leeway say."""
    made = world.parts()
    return issued(made._replace(claims=made.claims._replace(iat=NOW + 71)))


@denied(Code.TIME_IN_FUTURE)
def receipt_in_the_future() -> Vector:
    """The log's head was signed later than the clock and its leeway say."""
    return issued(world.parts()._replace(iat=NOW + 71))


@denied(Code.TIME_IN_FUTURE)
def cosignature_in_the_future() -> Vector:
    """A witness cosigned later than the clock and its leeway say."""
    return with_checkpoint(
        witness("anna.example", time=NOW + 71), witness("dora.example", algorithm=Algorithm.ML_DSA_44), extra=QUORUM
    )
