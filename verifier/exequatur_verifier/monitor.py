"""The monitor: what a log's records, read in order, say about runtimes (specs/05 §5).

Registration already checks each statement by itself. What it cannot see is what is *missing*: a record that a runtime
signed and kept back, an execution without an outcome, one beyond the uses or outside the window that were granted. A
monitor is fed every statement of a log in order, and holds no more than the runtimes' chains, the executions that are
still open, and the latest authorizations.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from .records import Authorization, Enforcement, Outcome, Verification
from .statement import Statement

_KEPT: Final = 65_536

Find = Callable[[bytes], Statement | None]


class Finding(NamedTuple):
    """Something that an auditor must explain: a code, the entry's index, the record id, and a sentence."""

    code: str
    leaf_index: int
    record: bytes
    detail: str


class _Granted(NamedTuple):
    uses: int
    begins: int
    ends: int


class Monitor:
    """One pass over a log. ``find`` returns an earlier statement by its record id; ``leeway`` is in seconds."""

    def __init__(self, find: Find, leeway: int) -> None:
        self._find: Final = find
        self._leeway: Final = leeway
        self._chains: Final[dict[bytes, tuple[int, bytes]]] = {}
        self._granted: Final[OrderedDict[bytes, _Granted]] = OrderedDict()
        self._open: Final[dict[bytes, int]] = {}
        self.orphaned = 0

    def observe(self, leaf_index: int, statement: Statement) -> Iterator[Finding]:
        """Take in the next statement, and yield what is wrong with it."""
        record = statement.record
        if isinstance(record, Authorization):
            self._remember(statement)
        if isinstance(record, Verification | Outcome | Enforcement):
            yield from self._check_chain(leaf_index, statement, record)
        if isinstance(record, Verification):
            yield from self._check_use(leaf_index, statement, record)
            self._open[statement.id] = leaf_index
        elif isinstance(record, Outcome):
            self.orphaned += record.status == "orphaned"
            verification = record.links[0].id
            if self._open.pop(verification, None) is None:
                detail = f"a second outcome of the verification {verification.hex()}"
                yield Finding("OUTCOME_TWICE", leaf_index, statement.id, detail)

    def finish(self) -> Iterator[Finding]:
        """Yield what is still missing at the end of the log."""
        for record, leaf_index in self._open.items():
            detail = "an execution was verified, and neither its outcome nor that it was orphaned is in the log"
            yield Finding("OUTCOME_MISSING", leaf_index, record, detail)

    def _check_chain(
        self, leaf_index: int, statement: Statement, record: Verification | Outcome | Enforcement
    ) -> Iterator[Finding]:
        seq, last = self._chains.get(statement.key_id, (0, None))
        if record.seq != seq + 1:
            detail = f"record {record.seq} of the key {statement.key_id.hex()} follows record {seq}"
            yield Finding("SEQUENCE_GAP", leaf_index, statement.id, detail)
        elif record.prev != last:
            detail = f"record {record.seq} of the key {statement.key_id.hex()} does not name the one before it"
            yield Finding("SEQUENCE_FORK", leaf_index, statement.id, detail)
        self._chains[statement.key_id] = (record.seq, statement.id)

    def _check_use(self, leaf_index: int, statement: Statement, record: Verification) -> Iterator[Finding]:
        granted = self._grant(record.links[0].id)
        if granted is None:
            return
        if not 1 <= record.use <= granted.uses:
            detail = f"use {record.use} of an authorization for {granted.uses}"
            yield Finding("USES_EXCEEDED", leaf_index, statement.id, detail)
        time = statement.claims.iat
        if not granted.begins - self._leeway <= time < granted.ends + self._leeway:
            detail = f"executed at {time}, authorized from {granted.begins} to {granted.ends}"
            yield Finding("OUTSIDE_WINDOW", leaf_index, statement.id, detail)

    def _remember(self, statement: Statement) -> _Granted:
        assert isinstance(statement.record, Authorization)
        claims = statement.claims
        granted = _Granted(statement.record.uses, claims.nbf or 0, claims.exp or 0)
        self._granted[statement.id] = granted
        if len(self._granted) > _KEPT:
            self._granted.popitem(last=False)
        return granted

    def _grant(self, record_id: bytes) -> _Granted | None:
        known = self._granted.get(record_id)
        if known is not None:
            return known
        found = self._find(record_id)
        if found is None or not isinstance(found.record, Authorization):
            return None
        return self._remember(found)
