"""The errors of the log.

    ExequaturError
    └── LogError
        ├── Refused            a statement was not registered, for a reason that has a code; the log is unharmed
        │   └── Conflict       the same record stands already, under other signature bytes
        ├── NotFoundError      no such entry, or a size that the tree never had
        ├── StorageError       the database failed; what was not confirmed is not known to be stored
        ├── NotWitnessedError  a checkpoint was cosigned by no quorum of witnesses, and waits for it
        ├── StoreError         where the log is published does not answer, or is not fit for it
        ├── DifferingRewriteError  what is published is not what the log holds; it is not replaced
        └── FatalLogError      what is stored is not what was signed; this process must stop using the log

A refusal is an answer, not a failure: ``register_many`` returns it beside the registrations, ``register``
raises it.
"""

from enum import StrEnum

from exequatur_verifier.errors import ExequaturError


class Code(StrEnum):
    """Why a statement was refused (specs/03 §3)."""

    MALFORMED = "MALFORMED"  # not a statement of the profile
    UNSUPPORTED = "UNSUPPORTED"  # of a version, algorithm or feature that this build does not know
    TOO_LARGE = "TOO_LARGE"  # larger than the registration policy admits
    UNKNOWN_KEY = "UNKNOWN_KEY"  # no enrolment and no authorization names the signer's key
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CONFLICT = "CONFLICT"  # the record stands under other signature bytes
    CLOCK_BEHIND = "CLOCK_BEHIND"  # the log itself lags behind its last head; nothing is registered until it does not
    SKEW = "SKEW"  # its time lies too far from the log's
    KEY_OUT_OF_RANGE = "KEY_OUT_OF_RANGE"  # the enrolment has not begun, or has ended
    KIND_NOT_ENROLLED = "KIND_NOT_ENROLLED"
    ACTION_NOT_ENROLLED = "ACTION_NOT_ENROLLED"
    ISSUER_MISMATCH = "ISSUER_MISMATCH"
    LINK_MISSING = "LINK_MISSING"  # a linked record is not in this log yet
    LINK_INVALID = "LINK_INVALID"  # the table of predecessors does not allow the link
    DECISION_NOT_ALLOW = "DECISION_NOT_ALLOW"
    APPROVAL_INVALID = "APPROVAL_INVALID"  # not of what it links, or it does not cover what rests on it
    APPROVAL_MISSING = "APPROVAL_MISSING"  # break-glass without an approval
    APPROVAL_SPENT = "APPROVAL_SPENT"  # an authorization rests on the approval already
    DELEGATION_INVALID = "DELEGATION_INVALID"  # not by the holder of a grant, or wider than the grant
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"  # more uses than are left of the grant's
    EPOCH_INVALID = "EPOCH_INVALID"  # the policy record is not the next one of its set
    STATUS_INVALID = "STATUS_INVALID"  # not the next version of its status list, or no such list
    ENROLMENT_INVALID = "ENROLMENT_INVALID"
    BUSY = "BUSY"  # the queue is full, or the deadline cannot be met
    UNAVAILABLE = "UNAVAILABLE"  # the batch was not confirmed; sending it again is safe


class LogError(ExequaturError):
    """The base of the log's errors."""


class Refused(LogError):  # noqa: N818  (an answer that can also be raised, and is mostly not)
    """A statement that was not registered: a code, what was wrong and what to do, and when to retry (seconds)."""

    def __init__(self, code: Code, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class Conflict(Refused):
    """The record stands at ``leaf_index`` under other signature bytes: verify that entry, and use its bytes."""

    def __init__(self, leaf_index: int) -> None:
        super().__init__(
            Code.CONFLICT,
            f"entry {leaf_index} is the same record under other signature bytes; fetch that entry and use its bytes",
        )
        self.leaf_index = leaf_index


class NotFoundError(LogError):
    """There is no such entry, or no such tree size, in this log."""


class StorageError(LogError):
    """The database failed or refused. Whether what was not confirmed before is stored, is unknown."""


class NotWitnessedError(LogError):
    """No quorum of witnesses has cosigned a checkpoint yet: which of them answered what."""


class StoreError(LogError):
    """Where the log is published, a directory or a bucket, does not answer or is not fit. Publishing again is safe."""


class DifferingRewriteError(LogError):
    """Under the path of a tile other bytes are published than the log holds. Nothing was replaced."""

    def __init__(self, path: str, published: bytes, held: bytes) -> None:
        super().__init__(
            f"{path} is published with SHA-256 {published.hex()}, but the log holds {held.hex()}; "
            "nothing was replaced: run fsck on the log, and find out who wrote there"
        )
        self.path = path
        self.published = published
        self.held = held


class FatalLogError(LogError):
    """What is stored contradicts what was signed or seen. Nothing is repaired; run fsck and restore."""
