"""The audit: everything that a third party can check of a home's log, in one report (specs/05 §5.1).

    consistent   every leaf, tile, head, signature and registration derived again (``fsck``); trust's genesis at entry 0
                 and trust's key on the head; every head that the runtime remembers continued by the log
    complete     no gap in any runtime's records, and every verification followed by its outcome
    decisions    each computed again from the log and the content store

Memory stays flat: the log is read a page at a time, and what is looked up again is looked up in the log.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_gate import home as runtime_home
from exequatur_gate import spool
from exequatur_gate.state import State, StateUnavailableError
from exequatur_issuer import replay
from exequatur_log import settings as log_settings
from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.errors import LogError, NotFoundError
from exequatur_verifier import merkle, receipt, statement
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.memory import KnownHead
from exequatur_verifier.monitor import Monitor
from exequatur_verifier.records import Decision
from exequatur_verifier.statement import Statement
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust

Progress = Callable[[str, int, int], None]

# What is missing, among what a monitor finds; the rest is there, and wrong.
_INCOMPLETE: Final = ("SEQUENCE_GAP", "SEQUENCE_FORK", "OUTCOME_MISSING")
_PAGE: Final = 512
_KEPT: Final = 4096


class Finding(NamedTuple):
    """What an auditor must explain: a code, the entry it shows at, its record id, and a sentence."""

    code: str
    leaf_index: int | None
    record: bytes | None
    detail: str


class Report(NamedTuple):
    """The result of an audit."""

    origin: str
    size: int
    root: bytes
    consistent: bool
    complete: bool
    entries: dict[str, int]
    decisions: dict[str, int]
    orphaned: int
    unflushed: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Say whether nothing is left to explain."""
        return (
            self.consistent
            and self.complete
            and self.decisions["total"] == self.decisions["equal"]
            and not self.unflushed
            and not self.findings
        )


def audit(path: Path, progress: Progress = lambda *_: None) -> Report:
    """Audit the log of the home at ``path``, from the trust policy of that home.

    Reads only; raises ``ExequaturError``.
    """
    trust = parse_trust((path / "trust.toml").read_bytes())
    place = log_settings.place(log_settings.read(path / "log.toml"), path)
    faults = [
        Finding(fault.code, fault.leaf_index, None, fault.detail)
        for fault in check_file(place, lambda done, total: progress("log", done, total))
    ]
    try:
        with BlockingLog.open(place) as log:
            return _audit(path, log, trust, faults, progress)
    except LogError as error:
        # A log that cannot be read any further is a finding too, and the last one.
        faults.append(Finding("DATABASE", None, None, str(error)))
        return Report(", ".join(trust.logs), 0, b"", False, False, {}, {"total": 0, "equal": 0}, 0, 0, tuple(faults))


def _audit(path: Path, log: BlockingLog, trust: Trust, faults: list[Finding], progress: Progress) -> Report:
    head = log.head()
    unflushed, memory_faults = _check_memory(path, log)
    faults += (*_check_trust(log, trust), *memory_faults)
    walk = _Walk(log, trust.leeway, path / "content")
    walk.run(lambda done: progress("records", done, head.size), head.size)
    return Report(
        log.identity.origin,
        head.size,
        head.root,
        not faults,
        not any(found.code in _INCOMPLETE for found in walk.missing),
        dict(sorted(walk.kinds.items())),
        {"total": walk.decisions, "equal": walk.equal},
        walk.orphaned,
        unflushed,
        (*faults, *walk.missing, *walk.unequal),
    )


def to_object(report: Report) -> dict[str, object]:
    """Return a report as the JSON object of the command line (specs/05 §5.1)."""
    findings = [
        {"code": found.code, "index": found.leaf_index, "record": found.record, "detail": found.detail}
        for found in report.findings
    ]
    return {"ok": report.ok, **report._asdict(), "findings": findings}


def _check_trust(log: BlockingLog, trust: Trust) -> Iterator[Finding]:
    """Check that this is the log that trust names, by its genesis and by the key of its current head."""
    trusted = trust.logs.get(log.identity.origin)
    first = log.get(0)
    if trusted is None:
        yield Finding("LOG_UNTRUSTED", None, None, f"trust.toml names no log of origin {log.identity.origin}")
        return
    if first.record_id != trusted.genesis:
        yield Finding("GENESIS", 0, first.record_id, f"trust.toml pins the genesis {trusted.genesis.hex()}")
    try:
        newest = receipt.parse(log.fresh_receipt(0))
        key = next(key for key in trusted.receipt_keys if key.thumbprint == newest.key_id)
        receipt.verify_head(newest.protected, newest.signature, receipt.root(newest, first.leaf_hash), key)
    except (StopIteration, ExequaturError):
        yield Finding("HEAD", log.head().size, None, "the head is not signed with a key that trust.toml names")


def _check_memory(path: Path, log: BlockingLog) -> tuple[int, list[Finding]]:
    """Return how many of the runtime's records are in no log yet, and where the log departs from what it remembers."""
    if not (path / "state.db").exists():
        return 0, []
    runtime = parse_trust(runtime_home.read(str(path), "trust.toml")).runtime.key
    try:
        with closing(State.open(str(path / "state.db"), runtime.thumbprint)) as state:
            memory, _ = state.recall()
            with state.transaction() as transaction:
                waiting = spool.measure(transaction).waiting
    except StateUnavailableError as error:
        return 0, [Finding(error.code.name, None, None, str(error))]
    faults = [fault for known in memory.heads.values() if (fault := _compare(log, known)) is not None]
    faults += (
        Finding("LOG_FORK", None, None, f"{origin} was caught with two histories") for origin in sorted(memory.forked)
    )
    return waiting, faults


def _compare(log: BlockingLog, known: KnownHead) -> Finding | None:
    """Return what is wrong if the log does not continue a head that the runtime remembers."""
    if known.origin != log.identity.origin:
        return None
    try:
        head = log.head()
        path = log.consistency(known.size, head.size)
        merkle.check_consistency(known.size, head.size, known.root, head.root, path)
    except (LogError, ExequaturError) as error:
        return Finding("LOG_FORK", known.size, None, f"the runtime remembers a head of {known.size} leaves: {error}")
    return None


class _Walk:
    """One pass over the records, for what is missing, and for every decision."""

    def __init__(self, log: BlockingLog, leeway: int, content: Path) -> None:
        self.kinds: Counter[str] = Counter()
        self.missing: list[Finding] = []
        self.unequal: list[Finding] = []
        self.decisions = self.equal = 0
        self._log = log
        self._content = content
        self._monitor = Monitor(self._statement, leeway)
        # What decisions and verifications refer to stands a few entries before them.
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()

    @property
    def orphaned(self) -> int:
        """The number of executions whose end nobody saw."""
        return self._monitor.orphaned

    def run(self, progress: Callable[[int], None], end: int) -> None:
        """Read the whole log."""
        page: list[tuple[int, Statement]] = []
        for entry in self._log.entries(0, end):
            self.kinds[entry.kind] += 1
            try:
                parsed = statement.parse(entry.statement)
            except MalformedError:
                continue  # fsck has named it.
            self._recent[parsed.id] = entry.statement
            if len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
            self.missing += (Finding(*found) for found in self._monitor.observe(entry.leaf_index, parsed))
            if isinstance(parsed.record, Decision):
                page.append((entry.leaf_index, parsed))
            if len(page) == _PAGE:
                self._replay(page)
                page.clear()
            progress(entry.leaf_index + 1)
        self._replay(page)
        self.missing += (Finding(*found) for found in self._monitor.finish())

    def _replay(self, page: list[tuple[int, Statement]]) -> None:
        cases = list(replay.collect((parsed for _, parsed in page), self._find))
        self.decisions += len(cases)
        for (index, parsed), result in zip(page, replay.replay(cases, self._content), strict=True):
            if result.result == "equal":
                self.equal += 1
            else:
                code = "DECISION_DIFFERS" if result.result == "different" else "DECISION_NOT_REPLAYABLE"
                self.unequal.append(Finding(code, index, parsed.id, result.detail))

    def _find(self, record_id: bytes) -> bytes | None:
        known = self._recent.get(record_id)
        if known is not None:
            return known
        try:
            return self._log.get(record_id).statement
        except NotFoundError:
            return None

    def _statement(self, record_id: bytes) -> Statement | None:
        found = self._find(record_id)
        try:
            return None if found is None else statement.parse(found)
        except MalformedError:
            return None
