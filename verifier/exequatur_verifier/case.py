"""One verification in progress: what was given, and what the steps have established so far.

Steps read what earlier steps established and nothing else; the table in ``verify`` says which they need. A case lives
for one call of ``verify`` and is never shared.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from .action import Descriptor
from .bundle import Bundle, Element
from .constraints import Facts, Terms
from .memory import Clock, KnownHead, KnownPolicy, Memory, Proof
from .receipt import Receipt
from .records import Authorization
from .statement import Statement
from .trust import Trust


class Beside(NamedTuple):
    """A statement beside the artifact, parsed, and where it is said to stand."""

    statement: Statement
    element: Element


class Grant(NamedTuple):
    """A grant above the artifact: its authorization, what opens its terms, and its own request if it has a parent."""

    beside: Beside
    record: Authorization
    salt: bytes
    encoded: bytes
    terms: Terms
    request: Beside | None


class Case:
    """The inputs of a verification (upper half) and its findings (lower half)."""

    def __init__(
        self,
        data: bytes | None,
        action: Descriptor,
        facts: Facts,
        trust: Trust,
        memory: Memory | None,
        proofs: Sequence[Proof],
        now: Clock,
    ) -> None:
        self.data: Final = data
        self.action: Final = action
        self.facts: Final = facts
        self.trust: Final = trust
        self.memory: Final = memory
        self.proofs: Final = proofs
        self.now: Final = now
        # The clock may have been set back; what was signed cannot have been, so time never runs before it.
        self.time: Final = now.unix if memory is None else max(now.unix, memory.floor)

        self.bundle: Bundle
        self.statement: Statement | None = None
        self.authorization: Authorization
        self.terms: Terms
        self.policy_statement: Statement | None = None
        # What stands beside the artifact: the request it answers, consents, the grants above it, status lists.
        self.request: Beside | None = None
        self.approvals: Mapping[bytes, Beside] = {}
        self.parents: tuple[Grant, ...] = ()
        self.statuses: Mapping[str, Beside] = {}
        self.receipts: tuple[Receipt, ...] = ()
        self.heads: dict[str, KnownHead] = {}
        self.indices: dict[str, int] = {}
        self.signed_times: list[int] = []
        self.policy: KnownPolicy | None = None
        self.policy_approvals: int = 0
        self.versions: dict[str, int] = {}
        self.ignored: list[str] = []

    @property
    def artifact(self) -> Statement:
        """The artifact; only for steps that need step 1."""
        assert self.statement is not None
        return self.statement

    def link(self, relation: str) -> bytes | None:
        """Return the id that the artifact links by ``relation``, or ``None``."""
        return next((link.id for link in self.authorization.links if link.relation == relation), None)
