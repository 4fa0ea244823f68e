"""Steps 4 to 6: the artifact is in logs that the runtime trusts, whose histories are continuous (specs/05 §2).

The leaf is computed from the artifact's bytes, the root from the leaf, and the log's signature checked over that root:
nothing that a prover supplies is compared with itself. Then the head is compared with the largest one remembered of
that log.
"""

from collections.abc import Iterator
from typing import Final

from . import checkpoint, merkle, note, receipt
from .case import Case
from .errors import MalformedError, NotProvenError
from .memory import KnownHead, Proof
from .note import NoteKey
from .receipt import Receipt
from .trust import TrustedLog
from .verdict import Code, Denial, Evidence

_NO_MEMORY: Final = "no head is remembered"


def check_receipts(case: Case) -> str:
    """Step 4: receipts from k of the trusted logs."""
    if not case.receipts:
        raise Denial(Code.RECEIPT_MISSING, "the artifact carries no receipt of a log")
    leaf = case.artifact.leaf
    for presented in case.receipts:
        log = case.trust.logs.get(presented.origin)
        key = (
            None if log is None else next((key for key in log.receipt_keys if key.thumbprint == presented.key_id), None)
        )
        if log is None or key is None or log.iss != presented.iss:
            case.ignored.append(f"receipt of {presented.origin} by an unknown key or log")
            continue
        try:
            head = _head(case, presented, receipt.root(presented, leaf))
            if not _is_remembered(case, head):
                receipt.verify_head(presented.protected, presented.signature, head.root, key)
        except (MalformedError, NotProvenError) as error:
            raise Denial(Code.RECEIPT_INVALID, f"the receipt of {presented.origin}: {error}") from None
        case.heads[presented.origin] = head
        case.indices[presented.origin] = presented.inclusion.leaf_index
        case.signed_times.append(presented.iat)
    if not case.heads:
        raise Denial(Code.LOG_UNTRUSTED, f"no receipt is of a trusted log: {'; '.join(case.ignored)}")
    if len(case.heads) < case.trust.receipts.k:
        raise Denial(
            Code.RECEIPT_MISSING, f"{len(case.heads)} receipts of trusted logs, {case.trust.receipts.k} needed"
        )
    return "; ".join(
        f"entry {case.indices[head.origin]} of {head.size} in {head.origin}" for head in case.heads.values()
    )


def check_checkpoints(case: Case) -> str:
    """Step 5: checkpoints agree with the receipts, witnesses suffice, heads are fresh."""
    notes: dict[str, bytes] = {}
    for data in case.bundle.checkpoints:
        try:
            origin = checkpoint.parse(note.parse(data).text).origin
        except MalformedError as error:
            raise Denial(Code.CHECKPOINT_INVALID, str(error)) from None
        if origin in notes or all(presented.origin != origin for presented in case.receipts):
            raise Denial(Code.CHECKPOINT_INVALID, f"the checkpoint of {origin} belongs to no receipt, or stands twice")
        notes[origin] = data
    case.ignored += (
        f"checkpoint of {origin}, whose receipt is ignored" for origin in notes if origin not in case.heads
    )
    ages: list[str] = []
    for origin, head in case.heads.items():
        log = case.trust.logs[origin]
        head_time = head.iat
        if origin in notes:
            cosigned = _open_checkpoint(case, log, head, notes[origin])
            case.heads[origin] = head._replace(note=notes[origin])
            if case.trust.quorum is not None:
                head_time = _quorum_time(case, origin, cosigned)
        elif case.trust.quorum is not None:
            raise Denial(Code.WITNESS_QUORUM, f"no cosigned checkpoint of {origin}, but trust names a quorum")
        age = case.time - head_time
        if age > log.max_age:
            raise Denial(
                Code.CHECKPOINT_STALE,
                f"the head of {origin} is {age} s old, at most {log.max_age} s are trusted; refresh the bundle",
            )
        ages.append(f"head of {origin} is {max(age, 0)} s old")
    return "; ".join(ages)


def check_continuity(case: Case) -> str:
    """Step 6: no log's history departs from what this runtime remembers of it."""
    for stapled in case.bundle.proofs:
        head = case.heads.get(stapled.origin)
        if head is None and any(presented.origin == stapled.origin for presented in case.receipts):
            case.ignored.append(f"proof of {stapled.origin}, whose receipt is ignored")
            continue
        if head is None or stapled.size >= head.size:
            raise Denial(
                Code.CONSISTENCY_MISSING, f"a stapled proof of {stapled.origin} does not lead to the artifact's head"
            )
        try:
            merkle.check_consistency(stapled.size, head.size, stapled.root, head.root, stapled.path)
        except (MalformedError, NotProvenError) as error:
            raise Denial(Code.CONSISTENCY_MISSING, f"a stapled proof of {stapled.origin}: {error}") from None
    if case.memory is None:
        return _NO_MEMORY
    for head in case.heads.values():
        if head.origin in case.memory.forked:
            raise Denial(Code.LOG_FORK, f"{head.origin} was caught with two histories; an operator must reset it")
        known = case.memory.heads.get(head.origin)
        if known is not None:
            _compare(case, known, head)
    return (
        "; ".join(f"continues {origin} from {known.size} leaves" for origin, known in _remembered(case))
        or "first head of its log"
    )


def _remembered(case: Case) -> Iterator[tuple[str, KnownHead]]:
    assert case.memory is not None
    return ((origin, case.memory.heads[origin]) for origin in case.heads if origin in case.memory.heads)


def _head(case: Case, presented: Receipt, root: bytes) -> KnownHead:
    return KnownHead(
        presented.origin,
        presented.inclusion.size,
        root,
        presented.iat,
        presented.protected,
        presented.signature,
        case.trust.digest,
    )


def _is_remembered(case: Case, head: KnownHead) -> bool:
    """Say whether this very head, by all its bytes and under this very trust policy, was verified before."""
    known = None if case.memory is None else case.memory.heads.get(head.origin)
    return known is not None and known._replace(note=None) == head


def _open_checkpoint(case: Case, log: TrustedLog, head: KnownHead, data: bytes) -> dict[NoteKey, int]:
    known = None if case.memory is None else case.memory.heads.get(head.origin)
    seen = known is not None and known == head._replace(note=data)
    try:
        opened = checkpoint.open(data, log.checkpoint_vkeys, case.trust.witnesses, seen=seen)
    except (MalformedError, NotProvenError) as error:
        raise Denial(Code.CHECKPOINT_INVALID, f"the checkpoint of {log.origin}: {error}") from None
    if (opened.checkpoint.size, opened.checkpoint.root) != (head.size, head.root):
        raise Denial(Code.CHECKPOINT_INVALID, f"the checkpoint of {log.origin} is not of the receipt's head")
    case.signed_times += opened.cosigned.values()
    case.ignored += (f"signature line {line} on the checkpoint of {log.origin}" for line in opened.ignored)
    return opened.cosigned


def _quorum_time(case: Case, origin: str, cosigned: dict[NoteKey, int]) -> int:
    """Return the oldest time within the freshest set of cosignatures that meets the quorum (specs/05 §2, step 5)."""
    freshest: list[NoteKey] = []
    for key, time in sorted(cosigned.items(), key=lambda item: -item[1]):
        freshest.append(key)
        if case.trust.is_quorum(freshest):
            return time
    raise Denial(Code.WITNESS_QUORUM, f"{len(cosigned)} trusted witnesses cosigned the head of {origin}: no quorum")


def _compare(case: Case, known: KnownHead, head: KnownHead) -> None:
    if head.size == known.size:
        if head.root != known.root:
            raise Denial(Code.LOG_FORK, f"{head.origin} signed two roots for size {head.size}", Evidence(known, head))
        return
    older, newer = (known, head) if known.size < head.size else (head, known)
    if older.iat > newer.iat:
        raise Denial(
            Code.LOG_ROLLBACK,
            f"{head.origin} signed {older.size} leaves at {older.iat}, after {newer.size} leaves at {newer.iat}",
            Evidence(known, head),
        )
    for proof in _proofs(case, older, newer):
        try:
            merkle.check_consistency(proof.size1, proof.size2, proof.root1, proof.root2, proof.path)
        except (MalformedError, NotProvenError):
            continue
        if (proof.root1, proof.root2) == (older.root, newer.root):
            return
        # The newer head, which the log signed, commits to another root for the older size than the log signed then.
        if proof.root2 == newer.root:
            raise Denial(
                Code.LOG_FORK, f"{head.origin} signed two histories of {older.size} leaves", Evidence(known, head)
            )
    raise Denial(
        Code.CONSISTENCY_MISSING,
        f"no proof that the head of {head.origin} with {head.size} leaves continues the one with {known.size}",
    )


def _proofs(case: Case, older: KnownHead, newer: KnownHead) -> Iterator[Proof]:
    """Yield every proof at hand that claims to lead from the older head's size to the newer one's."""
    for stapled in case.bundle.proofs:
        if (stapled.origin, stapled.size) == (older.origin, older.size) and newer is case.heads.get(older.origin):
            yield Proof(stapled.origin, stapled.size, stapled.root, newer.size, newer.root, stapled.path)
    for proof in case.proofs:
        if (proof.origin, proof.size1, proof.size2) == (older.origin, older.size, newer.size):
            yield proof
