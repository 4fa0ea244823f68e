"""The ledger: everything that the clients of a load were told, against which whatever they are told next is checked.

Every receipt is verified with the kernel, under keys that the caller pinned, for the entry that the client sent. Each
tree head that a receipt or a checkpoint shows is remembered: a size has one root, and its signature is checked once.
Nothing here reads or writes anything; all methods raise ``Violation``.
"""

from typing import Final, NamedTuple

from exequatur_log import tlog_proof
from exequatur_verifier import cbor, checkpoint, merkle, receipt
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.receipt import Receipt
from exequatur_verifier.trust import TrustedLog

from .violation import Code, Violation


class Acknowledged(NamedTuple):
    """An entry that the log acknowledged: the statement as it was sent, and the first answer to it."""

    statement: bytes
    record: bytes
    leaf_index: int
    receipt: bytes


class Head(NamedTuple):
    """A tree head that was shown, by a receipt or a checkpoint (``shown``). ``iat`` is 0 for one that has no time."""

    size: int
    root: bytes
    iat: int
    shown: bytes


class Ledger:
    """What was told about one log. ``log`` names the keys that are believed, whatever the log itself says of them."""

    def __init__(self, log: TrustedLog) -> None:
        self.log: Final = log
        self.entries: list[Acknowledged] = []
        self.heads: dict[int, Head] = {}
        self.sizes: list[int] = []
        # The size of the largest checkpoint, and of the largest head that a receipt has shown.
        self.published = 0
        self.largest = 0
        self._by_record: dict[bytes, Acknowledged] = {}
        self._by_index: dict[int, Acknowledged] = {}
        self._signed: dict[int, tuple[bytes, bytes]] = {}
        self._keys: Final = {key.thumbprint: key for key in log.receipt_keys}

    def at(self, index: int) -> Acknowledged | None:
        """Return the entry that was acknowledged at an index, if one was."""
        return self._by_index.get(index)

    def acknowledge(self, data: bytes, record: bytes, location: str, answer: bytes) -> bool:
        """Take the answer to a registration of a statement; say whether it is the first one for this record."""
        if not location.endswith(f"/entries/{record.hex()}"):
            raise Violation(
                Code.LOCATION_WRONG, f"registered at {location!r}", record, {"statement": data, "receipt": answer}
            )
        standing = self._by_record.get(record)
        if standing is not None:
            self.check_receipt(standing, answer)
            return False
        index = self._verify(data, record, answer).inclusion.leaf_index
        other = self._by_index.get(index)
        if other is not None:
            evidence = {"receipt": other.receipt, "other receipt": answer, "other statement": data}
            raise Violation(Code.INDEX_TWICE, f"index {index} was given to two records", other.record, evidence)
        entry = Acknowledged(data, record, index, answer)
        self.entries.append(entry)
        self._by_record[record] = self._by_index[index] = entry
        return True

    def check_receipt(self, entry: Acknowledged, data: bytes) -> None:
        """Check that the receipt of an entry is the one of the first answer, byte for byte."""
        if data != entry.receipt:
            evidence = {"first receipt": entry.receipt, "receipt now": data}
            raise Violation(
                Code.RECEIPT_CHANGED, f"entry {entry.leaf_index} has another receipt now", entry.record, evidence
            )

    def check_fresh(self, entry: Acknowledged, data: bytes, least: int) -> None:
        """Check a receipt under the current head, which has at least the size ``least``."""
        found = self._verify(entry.statement, entry.record, data)
        if found.inclusion.leaf_index != entry.leaf_index or found.inclusion.size < least:
            place = f"entry {found.inclusion.leaf_index} of {found.inclusion.size}"
            evidence = {"first receipt": entry.receipt, "fresh receipt": data}
            detail = f"a fresh receipt of entry {entry.leaf_index}, of at least {least} entries, is of {place}"
            raise Violation(Code.RECEIPT_INVALID, detail, entry.record, evidence)

    def check_statement(self, entry: Acknowledged, data: bytes) -> None:
        """Check that a statement is the one that was acknowledged, byte for byte."""
        if data != entry.statement:
            evidence = {"statement": entry.statement, "receipt": entry.receipt, "statement now": data}
            raise Violation(
                Code.STATEMENT_CHANGED, f"entry {entry.leaf_index} is another statement now", entry.record, evidence
            )

    def check_checkpoint(self, data: bytes, least: int) -> Head:
        """Return the head of a checkpoint, which is not smaller than the one shown before it was asked for."""
        found = self._open(data)
        if found.size < least:
            evidence = {"checkpoint": data}
            if least in self.heads:
                evidence["larger head before"] = self.heads[least].shown
            raise Violation(Code.HEAD_OLDER, f"size {found.size} after size {least}", evidence=evidence)
        self.published = max(self.published, found.size)
        return found

    def check_consistency(self, older: Head, newer: Head, data: bytes) -> None:
        """Check that a proof leads from one remembered head to another."""
        try:
            path = _proof(data, older.size, newer.size)
            merkle.check_consistency(older.size, newer.size, older.root, newer.root, path)
        except ExequaturError as error:
            evidence = {"older head": older.shown, "newer head": newer.shown, "proof": data}
            detail = f"sizes {older.size} and {newer.size}: {error}"
            raise Violation(Code.INCONSISTENT, detail, evidence=evidence) from None

    def check_inclusion(self, entry: Acknowledged, head: Head, data: bytes) -> None:
        """Check that a proof leads from an entry to a remembered head."""
        try:
            path = _proof(data, head.size, entry.leaf_index)
            root = merkle.root_from_inclusion(entry.leaf_index, head.size, merkle.leaf_hash(entry.statement), path)
        except ExequaturError:
            root = b""
        if root != head.root:
            evidence = {"receipt": entry.receipt, "head": head.shown, "proof": data}
            detail = f"entry {entry.leaf_index} is not proven in the tree of size {head.size}"
            raise Violation(Code.PROOF_INVALID, detail, entry.record, evidence)

    def check_tlog_proof(self, entry: Acknowledged, data: bytes) -> None:
        """Check a C2SP tlog-proof of an entry, and the head in it."""
        try:
            proof = tlog_proof.decode(data)
            tlog_proof.verify(proof, entry.statement, self.log.checkpoint_vkeys)
            sound = proof.leaf_index == entry.leaf_index
        except ExequaturError:
            sound = False
        if not sound:
            evidence = {"receipt": entry.receipt, "tlog-proof": data}
            detail = f"entry {entry.leaf_index} is not proven by its tlog-proof"
            raise Violation(Code.PROOF_INVALID, detail, entry.record, evidence)
        self._open(proof.note)

    def check_times(self) -> None:
        """Check that no head that has a time is earlier than a smaller one."""
        former: Head | None = None
        for _, head in sorted(self.heads.items()):
            if head.iat and former is not None and head.iat < former.iat:
                evidence = {"smaller head": former.shown, "larger head": head.shown}
                detail = f"size {head.size} at {head.iat}, after size {former.size} at {former.iat}"
                raise Violation(Code.HEADS_DIFFER, detail, evidence=evidence)
            former = head if head.iat else former

    def _verify(self, data: bytes, record: bytes, encoded: bytes) -> Receipt:
        """Return the receipt, proven to be one of this log for exactly these bytes."""
        evidence = {"statement": data, "receipt": encoded}
        try:
            found = receipt.parse(encoded)
            if (found.iss, found.origin) != (self.log.iss, self.log.origin):
                raise Violation(Code.RECEIPT_INVALID, f"a receipt of {found.origin}", record, evidence)
            root = receipt.root(found, merkle.leaf_hash(data))
            size, signed = found.inclusion.size, (found.protected, found.signature)
            known = self._signed.get(size)
            if signed == known and root == self.heads[size].root:
                return found
            key = self._keys.get(found.key_id)
            if key is None:
                raise Violation(Code.RECEIPT_INVALID, "signed with a key that was not pinned", record, evidence)
            receipt.verify_head(*signed, root, key)
        except ExequaturError as error:
            raise Violation(Code.RECEIPT_INVALID, str(error), record, evidence) from None
        head = self._remember(Head(size, root, found.iat, encoded))
        if known is not None:
            evidence = {"receipt": head.shown, "other receipt": encoded}
            raise Violation(Code.HEADS_DIFFER, f"the head of size {size} was signed twice", record, evidence)
        self._signed[size] = signed
        self.largest = max(self.largest, size)
        return found

    def _open(self, data: bytes) -> Head:
        """Return the head of a checkpoint that this log signed."""
        try:
            found = checkpoint.open(data, self.log.checkpoint_vkeys).checkpoint
        except ExequaturError as error:
            raise Violation(Code.HEAD_INVALID, str(error), evidence={"checkpoint": data}) from None
        return self._remember(Head(found.size, found.root, 0, data))

    def _remember(self, head: Head) -> Head:
        """Return the head that is remembered of that size: a size has one root."""
        known = self.heads.get(head.size)
        if known is not None and known.root != head.root:
            evidence = {"head": known.shown, "other head": head.shown}
            raise Violation(Code.HEADS_DIFFER, f"two roots of the tree of size {head.size}", evidence=evidence)
        if known is None:
            self.sizes.append(head.size)
        if known is None or (head.iat and not known.iat):
            self.heads[head.size] = head
        return self.heads[head.size]


def _proof(data: bytes, first: int, second: int) -> list[bytes]:
    """Return the path of a proof in CBOR, of these two numbers; raise ``MalformedError``."""
    value = cbor.decode(data)
    match value:
        case [int(one), int(two), [*path]] if (one, two) == (first, second) and merkle.is_path(path):
            return path
        case _:
            raise MalformedError(f"not a proof of {first} and {second}")
