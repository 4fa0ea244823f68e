"""What the authority needs of a transparency log, whichever log that is.

The log package does not know this one, and this one does not know it: the command line wires them together
(specs/decisions/0013).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Kind


class LogUnavailableError(ExequaturError):
    """The log gave no answer. What was sent may stand or not; sending the same bytes again finds out."""


class Registered(NamedTuple):
    """A statement stands at ``leaf_index``; ``receipt`` is the one that was frozen when it was committed."""

    leaf_index: int
    receipt: bytes


class Standing(NamedTuple):
    """The same record stands at ``leaf_index`` already, under other signature bytes."""

    leaf_index: int


class Refusal(NamedTuple):
    """The log does not register a statement, and will not if it is sent again: its code, and why."""

    code: str
    detail: str


class Placed(NamedTuple):
    """A logged statement and where it stands."""

    statement: bytes
    leaf_index: int


class Log(Protocol):
    """A transparency log, asked by blocking calls. Every call may raise ``LogUnavailableError``.

    Indices and sizes are those of one append-only tree; asking for what is not in it raises an
    ``ExequaturError``.
    """

    @property
    def origin(self) -> str:
        """The origin of the log's checkpoints, by which bundles name its tree."""
        ...

    def register(self, statements: Sequence[bytes]) -> Sequence[Registered | Standing | Refusal]:
        """Register statements in the given order and return an answer for each.

        Later ones may link to earlier ones. An answer is given only when it is durable and provable;
        sending a statement again returns the same receipt.
        """
        ...

    def entry(self, index: int) -> bytes:
        """Return the statement at an index, verbatim."""
        ...

    def find(self, record_id: bytes) -> int | None:
        """Return the index at which a record stands, or ``None``."""
        ...

    def newest(
        self, kind: Kind, *, subject: str | None = None, key_id: bytes | None = None, most: int = 1
    ) -> Sequence[Placed]:
        """Return the last entries of a kind, of a subject or a signer, the newest first."""
        ...

    def receipt(self, index: int) -> bytes:
        """Return a receipt of the entry at the current head, which need not be the one frozen at commit."""
        ...

    def inclusion_paths(self, indices: Sequence[int], size: int) -> Sequence[Sequence[bytes]]:
        """Return the path from each entry to the root over the first ``size`` entries (RFC 9162 §2.1.3)."""
        ...

    def consistency_paths(self, older: Sequence[int], size: int) -> Sequence[Sequence[bytes]]:
        """Return, for each older size, the proof that its entries begin the first ``size`` (RFC 9162 §2.1.4)."""
        ...

    def checkpoint(self, size: int) -> bytes | None:
        """Return the checkpoint note of the head of exactly that size, or ``None`` if none was signed."""
        ...
