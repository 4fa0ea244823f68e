"""Every decision of a log computed again, by all cores (specs/09 §8).

    part      8,192 entries, read from the log a page at a time: each decision among them is replayed, and the subtree
              over them hashed
    whole     the results in the order of the log, and its root from the subtrees: what was read is what the head signs

A log of one part is done in this process. A larger one is spread over processes that open it for themselves, to read,
and keep the policy sets that they have loaded. A part that cannot be finished is a finding: what was not computed again
never counts as equal.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_issuer import replay
from exequatur_log import tree
from exequatur_log.blocking import BlockingLog
from exequatur_log.errors import LogError, NotFoundError
from exequatur_log.head import SignedHead
from exequatur_log.storage.place import Place
from exequatur_verifier import merkle
from exequatur_verifier.errors import MalformedError

# A power of two, so that every part but the last is a complete subtree.
PART: Final = 8192
# What decisions rest on stands shortly before them; what does not is looked up.
_BEFORE: Final = 1024
_KEPT: Final = 4096
# Parts that wait for each process, so that none of them does.
_AHEAD: Final = 2
# What every decision holds: its content type, which has one spelling (specs/02 §2). Others may hold it too.
_MARK: Final = b"application/vnd.exequatur.decision+cbor"


class Finding(NamedTuple):
    """What an auditor must explain: a code, the entry it shows at, its record id, and a sentence."""

    code: str
    leaf_index: int | None
    record: bytes | None
    detail: str


class Range(NamedTuple):
    """A part: where the log and its content store are, and the entries from ``start`` up to ``end``."""

    place: Place
    content: Path
    start: int
    end: int


class Replayed(NamedTuple):
    """The number of decisions, of those that are equal, what is to be said of the others, and the tree of the entries.

    ``edge`` is ``None`` for entries that were not read to their end.
    """

    decisions: int
    equal: int
    findings: tuple[Finding, ...]
    edge: tree.Edge | None


def replay_log(
    log: BlockingLog,
    place: Place,
    content: Path,
    head: SignedHead,
    progress: Callable[[int], None] = lambda _: None,
    *,
    processes: int | None = None,
    part: int = PART,
) -> Replayed:
    """Compute every decision under ``head`` again, with the content store in ``content``; ``log`` is that at ``place``.

    ``processes`` is how many work (all cores), ``part`` a power of two. Raises nothing for what log and store hold:
    that is found instead.
    """
    parts = [Range(place, content, start, min(start + part, head.size)) for start in range(0, head.size, part)]
    processes = min(processes or os.cpu_count() or 1, len(parts))
    decisions = equal = 0
    findings: list[Finding] = []
    whole: tree.Edge | None = tree.EMPTY
    last: tuple[bytes, ...] = ()
    done = (replay_part(log, one) for one in parts) if processes < 2 else spread(work, parts, processes)
    for one, result in zip(parts, done, strict=True):
        decisions, equal = decisions + result.decisions, equal + result.equal
        findings += result.findings
        if result.edge is None or whole is None:
            whole = None
        elif one.end - one.start == part == result.edge.size:
            whole = tree.append(whole, result.edge.hashes).edge
        else:
            last = result.edge.hashes
        progress(one.end)
    if whole is not None and tree.fold((*whole.hashes, *last)) != head.root:
        detail = f"the entries are not those of the head of {head.size}: `exequatur log fsck` says what changed"
        findings.append(Finding("DECISION_NOT_REPLAYABLE", None, None, detail))
    return Replayed(decisions, equal, tuple(findings), None)


def spread(task: Callable[[Range], Replayed], parts: list[Range], processes: int) -> Iterator[Replayed]:
    """Yield what ``task`` returns for each part, in order, from processes of their own.

    When one of them dies, all do, and every part that is not done yields a finding that says so.
    """
    done, ahead = 0, processes * _AHEAD
    try:
        # Not forked: a child would have the locks of the log's threads, and not the threads.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            futures = deque(pool.submit(task, one) for one in parts[:ahead])
            while futures:
                result = futures.popleft().result()
                done += 1
                yield result
                futures += [pool.submit(task, one) for one in parts[done + ahead - 1 : done + ahead]]
    except BrokenProcessPool:
        detail = "a process that worked on them died: run the audit again, with more memory"
        yield from (_unfinished(one, detail) for one in parts[done:])


def replay_part(log: BlockingLog, part: Range) -> Replayed:
    """Replay the decisions of one part."""
    try:
        return _replay(log, part)
    except LogError as error:
        return _unfinished(part, str(error))


def work(part: Range) -> Replayed:
    """Replay the decisions of one part in a process that has no log open."""
    try:
        with BlockingLog.open(part.place) as log:
            return _replay(log, part)
    except LogError as error:
        return _unfinished(part, str(error))


def _replay(log: BlockingLog, part: Range) -> Replayed:
    recent: OrderedDict[bytes, bytes] = OrderedDict()

    def find(record_id: bytes) -> bytes | None:
        if record_id not in recent:
            try:
                recent[record_id] = log.get(record_id).statement
            except NotFoundError:
                return None
        # A policy record is found by everything that is decided under it.
        recent.move_to_end(record_id)
        return recent[record_id]

    decisions = equal = 0
    findings: list[Finding] = []
    leaves: list[bytes] = []
    # Of the decisions that are being replayed.
    places: deque[int] = deque()

    def cases() -> Iterator[replay.Case]:
        for entry in log.entries(max(0, part.start - _BEFORE), part.end):
            # The log's own columns may lie; what is found by them is judged by the id that it has.
            recent[entry.record_id] = entry.statement
            if len(recent) > _KEPT:
                recent.popitem(last=False)
            if entry.leaf_index < part.start:
                continue
            leaves.append(merkle.leaf_hash(entry.statement))
            if _MARK not in entry.statement:
                continue
            try:
                found = list(replay.collect([replay.parse(entry.statement)], find))
            except MalformedError as error:
                detail = f"cannot be read: {error}; restore the log from a copy"
                findings.append(Finding("DECISION_NOT_REPLAYABLE", entry.leaf_index, entry.record_id, detail))
                continue
            places.extend(entry.leaf_index for _ in found)
            yield from found

    for result in replay.replay_each(cases(), part.content):
        decisions += 1
        place = places.popleft()
        if result.result == "equal":
            equal += 1
        else:
            code = "DECISION_DIFFERS" if result.result == "different" else "DECISION_NOT_REPLAYABLE"
            findings.append(Finding(code, place, result.decision, result.detail))
    return Replayed(decisions, equal, tuple(findings), tree.append(tree.EMPTY, leaves).edge)


def _unfinished(part: Range, detail: str) -> Replayed:
    detail = f"the decisions among entries {part.start} to {part.end - 1} were not replayed: {detail}"
    return Replayed(0, 0, (Finding("DECISION_NOT_REPLAYABLE", part.start, None, detail),), None)
