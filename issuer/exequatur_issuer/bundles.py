"""Bundles: an artifact with all that an offline verifier needs of the log, gathered and put together.

Everything leads to the one head that the artifact's receipt is signed for (specs/04 §4): the path of the
policy record, the checkpoint if the log signed one for exactly that size, and proofs that the head continues
those which the runtime may remember. ``refresh`` does the same again for a later head; the artifact itself
never changes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from exequatur_verifier import bundle, checkpoint, merkle, note, receipt, statement
from exequatur_verifier.bundle import MAX_PROOFS, Bundle, Element, Position, Stapled
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.records import Head, Kind
from exequatur_verifier.statement import Statement

from . import beside as besides
from .beside import Beside, Elements, ParentParts
from .log import Log, Placed
from .parts import join, split

__all__ = [
    "Beside",
    "Elements",
    "Evidence",
    "ParentParts",
    "Placed",
    "assemble",
    "gather",
    "head_of",
    "join",
    "refresh",
    "split",
]


class Evidence(NamedTuple):
    """What one head of one log says of what a bundle holds; the same for all artifacts of that head and runtime."""

    policy: Element | None
    checkpoint: bytes | None
    proofs: tuple[Stapled, ...]
    endorsements: tuple[Placed, ...] = ()


def head_of(artifact: Statement, presented: bytes) -> Head:
    """Return the head that a receipt of ``artifact`` is signed for. Its signature is not checked."""
    parsed = receipt.parse(presented)
    return Head(parsed.origin, parsed.inclusion.size, receipt.root(parsed, artifact.leaf))


def gather(log: Log, head: Head, policy: Placed | None, remembered: Iterable[Head], *, now: int) -> Evidence:
    """Return the evidence for a head of ``log``.

    ``policy`` is the artifact's policy, whose endorsements that have not expired at ``now`` are found in the log;
    ``None`` leaves it out, for a runtime that accepts it by its id.
    ``remembered`` are older heads that the runtime may hold, of which those of this log and of smaller size are
    stapled, the largest 64 at most. Raises ``NotProvenError`` when one of them is not continued by this head:
    then the log has two histories, and nothing that rests on it may be given out.
    """
    element: Element | None = None
    endorsements: tuple[Placed, ...] = ()
    if policy is not None:
        (path,) = log.inclusion_paths([policy.leaf_index], head.size)
        element = Element(policy.statement, {log.origin: Position(policy.leaf_index, tuple(path))})
        endorsements = besides.endorsements(log, policy, now)
    older = {known for known in remembered if known.origin == log.origin and 0 < known.size < head.size}
    known = sorted(older, key=lambda item: item.size)[-MAX_PROOFS:]
    paths = log.consistency_paths([item.size for item in known], head.size)
    proofs = tuple(_staple(item, head, tuple(path)) for item, path in zip(known, paths, strict=True))
    return Evidence(element, log.checkpoint(head.size), proofs, endorsements)


def current(log: Log, presented: bytes, status: Iterable[Placed]) -> bytes:
    """Return a receipt whose head has these status lists: the one that was frozen if it does, else a fresh one."""
    inclusion = receipt.parse(presented).inclusion
    is_within = all(placed.leaf_index < inclusion.size for placed in status)
    return presented if is_within else log.receipt(inclusion.leaf_index)


def assemble(
    artifact: bytes, presented: bytes, salt: bytes, terms: bytes, evidence: Evidence, elements: Elements
) -> bytes:
    """Return the bundle of a registered artifact.

    It holds its receipt, salt and encoded terms, the head's evidence, and what else stands beside it.
    """
    checkpoints = () if evidence.checkpoint is None else (evidence.checkpoint,)
    return bundle.encode(
        Bundle(
            artifact=statement.attach(artifact, (presented,)),
            salt=salt,
            terms=terms,
            policy=evidence.policy,
            checkpoints=checkpoints,
            proofs=evidence.proofs,
            **elements._asdict(),
        )
    )


def refresh(data: bytes, log: Log, remembered: Iterable[Head] = ()) -> bytes:
    """Return the bundle ``data`` with everything that comes from ``log`` as of its current head.

    Artifact, salt and terms stay as they are, and so does what comes from other logs; status lists are the newest
    that the log holds, in a bundle of this log alone. Proofs lead from the head of before, from those that they led
    from before, and from ``remembered``, the heads that the runtime may have met since. Raises ``MalformedError`` for
    bytes that are no bundle, or none with a receipt of this log, and ``NotProvenError`` when the log does not
    continue what the bundle shows.
    """
    old = bundle.decode(data)
    artifact, receipts = statement.parse_transparent(old.artifact)
    parsed = [receipt.parse(item) for item in receipts]
    places = [place for place, item in enumerate(parsed) if item.origin == log.origin]
    if len(places) != 1:
        raise MalformedError(f"the bundle holds {len(places)} receipts of {log.origin}; one is what can be refreshed")
    place = places[0]
    # Before the head, which is to have them.
    status = newest_lists(old, log) if len(receipts) == 1 else {}
    fresh = log.receipt(parsed[place].inclusion.leaf_index)
    head, former = head_of(artifact, fresh), head_of(artifact, receipts[place])
    known = [Head(item.origin, item.size, item.root) for item in old.proofs]
    if former.size == head.size and former.root != head.root:
        raise NotProvenError(f"{log.origin} has another root for {head.size} leaves than the bundle shows")
    new = gather(log, head, None, [*known, former, *remembered], now=receipt.parse(fresh).iat)
    policy, elements = besides.moved(log, head, old, status)
    others = [item for item in old.checkpoints if _origin(item) != log.origin]
    return bundle.encode(
        old._replace(
            artifact=statement.attach(artifact.entry, (*receipts[:place], fresh, *receipts[place + 1 :])),
            policy=policy,
            checkpoints=(*others, *(() if new.checkpoint is None else (new.checkpoint,))),
            proofs=(*(item for item in old.proofs if item.origin != log.origin), *new.proofs),
            **elements._asdict(),
        )
    )


def lists_of(data: bytes) -> list[str]:
    """Return the names of the status lists that a bundle needs; raise ``MalformedError`` for what is no bundle."""
    return _lists_of(bundle.decode(data))


def newest_lists(old: Bundle, log: Log) -> dict[str, Placed]:
    """Return the newest version in ``log`` of each status list that a bundle needs, as far as there is one."""
    found = {name: log.newest(Kind.STATUS, subject=name) for name in _lists_of(old)}
    return {name: versions[0] for name, versions in found.items() if versions}


def _lists_of(parts: Bundle) -> list[str]:
    artifact, _ = statement.parse_transparent(parts.artifact)
    return besides.lists_of(artifact, (parent.authorization.statement for parent in parts.parents))


def _staple(known: Head, head: Head, path: tuple[bytes, ...]) -> Stapled:
    try:
        merkle.check_consistency(known.size, head.size, known.root, head.root, path)
    except ExequaturError as error:
        raise NotProvenError(f"{known.origin} does not continue its head of {known.size} leaves: {error}") from None
    return Stapled(known.origin, known.size, known.root, path)


def _origin(data: bytes) -> str:
    return checkpoint.parse(note.parse(data).text).origin
