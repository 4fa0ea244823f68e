"""Replay: every logged decision computed again from what it rested on, and compared field by field (specs/09 §8).

    decision, request, policy   from the log
    descriptor, policy parts    from the content store, by the digests that those records name
    now, engine version         from the decision itself

A decision that was made otherwise than its inputs say comes out *different*, with the field that tells. What
was erased, is damaged, or was decided by another version of the engine cannot be computed again: that is *not
replayable*, and says which digest or which version. Neither counts as equal.

Only the record is judged. Signatures, links and the order of the log are the auditor's other checks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Decision, Engine, Request
from exequatur_verifier.statement import Statement

from . import approvals as consent
from .content import ContentError, ContentStore
from .decide import InForce, Inputs, RequestMismatchError, decide_many
from .publish import load_set, parts

_LOADED: Final = 32
# Cases that are decided together, which takes less time than one by one.
_TOGETHER: Final = 128
# Of a case, the decision and the request are looked at when it is collected, and when it is replayed.
parse: Final = lru_cache(maxsize=4 * _TOGETHER)(statement.parse)


class Case(NamedTuple):
    """A logged decision with the statements that it links to; ``None`` for one that is not in the log.

    ``above`` are the approvals that the grants above its request rest on.
    """

    decision: bytes
    request: bytes | None
    policy: bytes | None
    approvals: tuple[bytes | None, ...] = ()
    above: tuple[bytes, ...] = ()


class Replayed(NamedTuple):
    """What came of a replay: the decision's record id, the result, and a sentence.

    ``field`` names what differs, ``digest`` the content that is missing or damaged.
    """

    decision: bytes
    result: Literal["equal", "different", "not-replayable"]
    detail: str
    field: str | None = None
    digest: bytes | None = None


def collect(statements: Iterable[Statement], find: Callable[[bytes], bytes | None]) -> Iterator[Case]:
    """Yield a case for each decision among ``statements``; ``find`` returns a logged statement by record id."""
    for item in statements:
        if isinstance(item.record, Decision):
            named = {link.relation: link.id for link in item.record.links}
            request, policy = (find(named[name]) if name in named else None for name in ("request", "policy"))
            approvals = tuple(find(link.id) for link in item.record.links if link.relation == "approval")
            above = () if request is None else _above(request, find)
            yield Case(item.entry, request, policy, approvals, above)


def _above(request: bytes, find: Callable[[bytes], bytes | None]) -> tuple[bytes, ...]:
    try:
        return tuple(approval.entry for approval in consent.above(parse(request), find))
    except MalformedError:
        return ()  # Nor can the decision be replayed then, and that says why.


def replay(cases: Sequence[Case], directory: Path) -> list[Replayed]:
    """Return the result for each case, with the content store in ``directory``.

    Chunks of a log can be replayed by any number of processes: nothing is shared. Raises nothing for what the log or
    the store holds, except ``MalformedError`` for a case whose first statement is no decision.
    """
    return list(replay_each(cases, directory))


def replay_each(cases: Iterable[Case], directory: Path) -> Iterator[Replayed]:
    """Yield the result for each case, in order; several are taken before the first comes out.

    The parts of a policy set are read once.
    """
    content = ContentStore(directory)
    load = lru_cache(maxsize=_LOADED)(partial(_load, content))
    waiting = iter(cases)
    while together := list(islice(waiting, _TOGETHER)):
        yield from _replay([_open(case, content, load) for case in together])


class _Opened(NamedTuple):
    decision: bytes
    record: Decision
    inputs: Inputs


def _replay(cases: Sequence[_Opened | Replayed]) -> Iterator[Replayed]:
    again = iter(decide_many([case.inputs for case in cases if isinstance(case, _Opened)]))
    for case in cases:
        yield _compare(case.decision, case.record, next(again).record) if isinstance(case, _Opened) else case


def _open(case: Case, content: ContentStore, load: Callable[[bytes], InForce]) -> _Opened | Replayed:
    """Return what a decision rested on, or why that is not there."""
    decision = parse(case.decision)
    record = decision.record
    if not isinstance(record, Decision):
        raise MalformedError(f"a {decision.kind.value} record is no decision")
    if case.request is None or case.policy is None:
        return Replayed(decision.id, "not-replayable", "its request or its policy is not in the log")
    logged = [item for item in case.approvals if item is not None]
    if len(logged) != len(case.approvals):
        return Replayed(decision.id, "not-replayable", "an approval of it is not in the log")
    try:
        approvals, above = ([statement.parse(item) for item in group] for group in (logged, case.above))
        policy = load(case.policy)
        used = Engine(policy.engine.name, policy.engine.version)
        if record.engine != used:
            detail = f"decided by {' '.join(record.engine)}, and this is {' '.join(used)}: replay it with that version"
            return Replayed(decision.id, "not-replayable", detail)
        request = parse(case.request)
        salt, descriptor = opened(request, content)
    except ContentError as error:
        return Replayed(decision.id, "not-replayable", str(error), digest=error.digest)
    except OSError as error:
        return Replayed(decision.id, "not-replayable", f"the content store cannot be read: {error}")
    except ExequaturError as error:
        return Replayed(decision.id, "not-replayable", f"what it rested on cannot be used: {error}")
    return _Opened(decision.id, record, Inputs(request, salt, descriptor, policy, record.now, approvals, above))


def opened(request: Statement, content: ContentStore) -> tuple[bytes, Descriptor]:
    """Return salt and descriptor behind a request: disclosed in it, or from the store.

    Raises ``ContentError`` for one that was erased, and ``MalformedError`` for another kind of statement.
    """
    record = request.record
    if not isinstance(record, Request):
        raise MalformedError(f"a {request.kind.value} record is no request")
    if record.disclosed is not None:
        salt, encoded = record.disclosed
    else:
        preimage = content.get(record.action.commitment)
        end = len(action.ACTION_TAG) + action.SALT_SIZE
        salt, encoded = preimage[len(action.ACTION_TAG) : end], preimage[end:]
    descriptor = action.decode(encoded)
    # What hashes to the commitment under another tag would be no descriptor; this asks with the right one. Only what
    # ``encode`` writes is decoded, so there is nothing to encode again.
    if (descriptor["type"], action.commitment(action.ACTION_TAG, salt, encoded)) != record.action:
        raise RequestMismatchError("the request commits to another action than the one that is kept for it")
    return salt, descriptor


def _compare(decision: bytes, logged: Decision, computed: Decision) -> Replayed:
    for field in Decision._fields:
        was, should_be = getattr(logged, field), getattr(computed, field)
        if was != should_be:
            detail = f"{field} is {_show(was)}, and its inputs give {_show(should_be)}: ask who signed it to explain it"
            return Replayed(decision, "different", detail, field=field)
    return Replayed(decision, "equal", f"{logged.outcome} at {logged.now}")


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _load(content: ContentStore, policy: bytes) -> InForce:
    record = statement.parse(policy)
    return InForce(record, *_load_set(parts(record, content)))


# What is loaded follows from the parts alone, whichever epoch, log and store they are of.
_load_set: Final = lru_cache(maxsize=_LOADED)(load_set)
