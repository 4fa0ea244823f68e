"""What comes of asking witnesses: a word for each, and the checkpoint with the lines of those who cosigned."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Word(StrEnum):
    """What became of asking a witness."""

    COSIGNED = "cosigned"
    DOWN = "down"  # it could not be reached, or broke off
    SLOW = "slow"  # it did not answer in its time, or before the others were enough
    REFUSED = "refused"  # with a status of HTTP
    LIED = "lied"  # its answer is not what the protocol says, or its cosignature does not hold
    STALE = "stale"  # it has cosigned a later head of this same log already
    UNPROVEN = "unproven"  # the log had no consistency proof for it
    FORGOT = "forgot"  # it names a smaller tree than it cosigned before
    AHEAD = "ahead"  # it says that it knows a larger tree than this
    INCONSISTENT = "inconsistent"  # it says that this tree does not extend, or is not, the one that it knows


class Outcome(NamedTuple):
    """What became of one witness: a word, what was wrong, the status it refused with, the size it named.

    ``evidence`` is a checkpoint that the log's key signed and that this one contradicts, or that the log does not know.
    Without it, that a witness is ahead or finds an inconsistency is only its word.
    """

    word: Word
    detail: str = ""
    status: int | None = None
    size: int | None = None
    evidence: bytes | None = None

    def __str__(self) -> str:
        return self.word if self.status is None else f"{self.word} {self.status}"


class Gathered(NamedTuple):
    """The checkpoint with the log's lines and the cosignatures that hold, and what became of each witness by name.

    ``time`` is that of the oldest cosignature in the freshest set that is a quorum (unix seconds), or of the asking
    where no quorum is asked for; ``None`` if the quorum is not met.
    """

    note: bytes
    time: int | None
    outcomes: Mapping[str, Outcome]

    @property
    def met(self) -> bool:
        """Whether the quorum is met."""
        return self.time is not None
