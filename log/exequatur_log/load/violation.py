"""What a log said that it must not say: a code, the record it is about, and the bytes that contradict each other."""

from collections.abc import Mapping
from enum import StrEnum


class Code(StrEnum):
    """Why an answer cannot stand (specs/10 §9)."""

    RECEIPT_INVALID = "RECEIPT_INVALID"  # it does not prove the entry that was sent, under a signature of this log
    RECEIPT_CHANGED = "RECEIPT_CHANGED"  # not the bytes of the first answer
    LOCATION_WRONG = "LOCATION_WRONG"  # not that of the record
    INDEX_TWICE = "INDEX_TWICE"  # two records were told the same index
    STATEMENT_CHANGED = "STATEMENT_CHANGED"  # not the bytes that were acknowledged
    LOST = "LOST"  # what was acknowledged is not there
    HEAD_INVALID = "HEAD_INVALID"  # not a checkpoint that this log signed
    HEAD_OLDER = "HEAD_OLDER"  # smaller than one that was shown before it was asked for
    HEADS_DIFFER = "HEADS_DIFFER"  # two heads of one size, or of a larger tree at an earlier time
    INCONSISTENT = "INCONSISTENT"  # two heads, one of which does not continue the other
    PROOF_INVALID = "PROOF_INVALID"  # an inclusion proof that does not lead to the root
    TILE_WRONG = "TILE_WRONG"  # tiles or bundles that do not hash to each other, or to the root
    LOOKUP_WRONG = "LOOKUP_WRONG"  # it leaves out what it claims to cover
    REFUSED = "REFUSED"  # a valid statement was refused, for another reason than load
    UNEXPECTED = "UNEXPECTED"  # no answer of this service


class Violation(Exception):  # noqa: N818  (a finding, which is raised where it is found)
    """One violation. ``evidence`` has the bytes of each thing that was said, by what it is."""

    def __init__(
        self, code: Code, detail: str, record: bytes | None = None, evidence: Mapping[str, bytes] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.record = record
        self.evidence = dict(evidence or {})

    def to_object(self) -> dict[str, object]:
        """Return the violation as an object for JSON."""
        return {
            "code": self.code.value,
            "detail": self.detail,
            "record": self.record,
            "evidence": {name: data.hex() for name, data in self.evidence.items()},
        }
