"""Step 5 of answering: artifacts that stand in the log, put together with everything that goes into their bundles.

Everything in a bundle leads to one head of the log: that of the receipt that was frozen for the artifact, or a fresh
one where a status list is newer than that (specs/04 §4). What a head says is asked once for all artifacts of a batch.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import receipt
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.records import Authorization, Head
from exequatur_verifier.statement import Statement

from . import bundles
from .asked import Case, RuntimeIdentity
from .beside import Beside, ParentParts, Wanted, is_asked, lists_of, place
from .bundles import Evidence
from .journal import Journal
from .lists import StatusLists
from .log import Log, Placed


class Issued(NamedTuple):
    """An artifact in its bundle, the record ids on the way to it, and what it grants (unix seconds)."""

    bundle: bytes
    subject: str
    request: bytes
    decision: bytes
    authorization: bytes
    expires: int
    uses: int


class Granted(NamedTuple):
    """An artifact that stands in the log, with its receipt, encoded terms, and what belongs beside it."""

    case: Case
    artifact: Statement
    decision: bytes
    receipt: bytes
    terms: bytes
    beside: Beside


class _Ready(NamedTuple):
    """An artifact with the evidence of the head that its bundle rests on, and what is to be placed at that head."""

    granted: Granted
    head: Head
    evidence: Evidence
    wanted: Wanted


class Assembler:
    """Puts bundles together; ``policy`` is the statement of the policy in force. One object serves one thread."""

    def __init__(self, log: Log, journal: Journal, status: StatusLists | None, policy: Statement) -> None:
        self._log = log
        self._journal = journal
        self._status = status
        self._policy = policy
        self._policies: Final[dict[bytes, Placed]] = {}

    def lists(self, names: Iterable[str], now: int) -> dict[str, Placed]:
        """Return the newest versions of status lists, published where they are due."""
        return {} if self._status is None else self._status.fresh(names, now)

    def assemble(self, granted: Sequence[Granted], now: int) -> list[Issued]:
        """Return the bundles of artifacts, in order, and note their heads for the next ones."""
        if not granted:
            return []
        lists: dict[str, Placed] = {}
        evidence: dict[tuple[RuntimeIdentity, Head, bytes], Evidence] = {}
        ready = [self._ready(one, lists, evidence, now) for one in granted]
        by_head: dict[Head, list[int]] = {}
        for number, one in enumerate(ready):
            by_head.setdefault(one.head, []).append(number)
        known = {one.case.request.entry: one.case.leaf_index for one in granted}
        issued: dict[int, Issued] = {}
        for head, numbers in by_head.items():
            placed = place(self._log, head, [ready[number].wanted for number in numbers], known)
            for number, elements in zip(numbers, placed, strict=True):
                one = ready[number]
                issued[number] = _issue(one.granted, one.evidence, elements)
        self._journal.note_heads([(one.granted.case.asked.runtime.id, one.head) for one in ready])
        return [issued[number] for number in range(len(granted))]

    def _ready(
        self,
        granted: Granted,
        lists: dict[str, Placed],
        evidence: dict[tuple[RuntimeIdentity, Head, bytes], Evidence],
        now: int,
    ) -> _Ready:
        """Return an artifact with the evidence of its head; ``lists`` and ``evidence`` are the batch's so far."""
        artifact, runtime = granted.artifact, granted.case.asked.runtime
        names = lists_of(artifact, (parent.authorization for parent in granted.beside.parents))
        lists |= self.lists((name for name in names if name not in lists), now)
        listed = tuple(lists[name] for name in names if name in lists)
        presented = bundles.current(self._log, granted.receipt, listed)
        head, index = bundles.head_of(artifact, presented), receipt.parse(presented).inclusion.leaf_index
        policy = next(link.id for link in artifact.record.links if link.relation == "policy")
        key = (runtime, head, policy)
        if key not in evidence:
            remembered = (*self._journal.heads(head.origin, runtime.id), *runtime.heads)
            evidence[key] = bundles.gather(self._log, head, self.placed(policy), remembered, now=now)
        # Who signs the policy after an artifact has not consented to what was decided before.
        endorsements = tuple(found for found in evidence[key].endorsements if found.leaf_index < index)
        wanted = Wanted(granted.beside, endorsements, listed)
        return _Ready(granted._replace(receipt=presented), head, evidence[key], wanted)

    def placed(self, policy: bytes) -> Placed:
        """Return where a policy record stands in the log, which never changes."""
        if policy not in self._policies:
            index = self._log.find(policy)
            if index is None:
                raise NotProvenError(f"policy {policy.hex()} is not in {self._log.origin}; register it first")
            known = self._policy
            self._policies[policy] = Placed(known.entry if known.id == policy else self._log.entry(index), index)
        return self._policies[policy]


def lists_named(artifacts: Iterable[Statement]) -> list[str]:
    """Return the names of the status lists that artifacts name."""
    return [name for artifact in artifacts for name in lists_of(artifact)]


def beside(case: Case, artifact: Statement) -> Beside:
    """Return what belongs beside an artifact: its approvals, the grants above with theirs, and who asked.

    A request is there where a step looks at it.
    """
    linked = {link.id for link in artifact.record.links if link.relation == "approval"}
    approvals = [item.entry for item in case.approvals if item.id in linked]
    approvals += (item.entry for item in case.above)
    parents = tuple(
        ParentParts(one.signed.entry, one.salt, one.encoded, one.asked if is_asked(one.signed) else None)
        for one in case.grants
    )
    return Beside(case.request.entry if is_asked(artifact) else None, tuple(dict.fromkeys(approvals)), parents)


def _issue(granted: Granted, evidence: Evidence, elements: bundles.Elements) -> Issued:
    asked, artifact = granted.case.asked, granted.artifact
    record, claims = artifact.record, artifact.claims
    assert isinstance(record, Authorization)
    assert claims.exp is not None
    data = bundles.assemble(artifact.entry, granted.receipt, asked.salt, granted.terms, evidence, elements)
    request = next(link.id for link in record.links if link.relation == "request")
    return Issued(data, claims.sub, request, granted.decision, artifact.id, claims.exp, record.uses)
