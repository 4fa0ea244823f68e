"""What stands beside an artifact in its bundle, each statement with its place in the tree of the artifact's head.

That is who asked, who consented, the grants above with what opens their terms, further owners' signatures on the
policy, and the newest status lists (specs/04 §3.1). A status list may stand after the artifact, as long as the head
that the bundle rests on has it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.bundle import Bundle, Element, Parent, Position
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.records import Approval, Authorization, Head, Kind, Link
from exequatur_verifier.statement import Statement

from .log import Log, Placed

# Of one policy; a bundle holds 32 approvals, and those of the action come first.
_MOST_ENDORSEMENTS: Final = 16


class ParentParts(NamedTuple):
    """A grant above an artifact: its statement, what opens its terms, and the request it answers if a step asks who."""

    authorization: bytes
    salt: bytes
    terms: bytes
    request: bytes | None = None


class Beside(NamedTuple):
    """The logged statements that belong beside an artifact; the nearest grant stands first."""

    request: bytes | None = None
    approvals: tuple[bytes, ...] = ()
    parents: tuple[ParentParts, ...] = ()


class Elements(NamedTuple):
    """What stands beside one artifact, with positions."""

    request: Element | None = None
    approvals: tuple[Element, ...] = ()
    parents: tuple[Parent, ...] = ()
    status: tuple[Element, ...] = ()


class Wanted(NamedTuple):
    """What is to be placed beside an artifact: its statements, and those whose index is known."""

    beside: Beside
    endorsements: tuple[Placed, ...] = ()
    status: tuple[Placed, ...] = ()


def lists_of(artifact: Statement, parents: Iterable[bytes] = ()) -> list[str]:
    """Return the names of the status lists that an artifact and the grants above it name."""
    records = [artifact.record, *(statement.parse(parent).record for parent in parents)]
    named = (one.status for one in records if isinstance(one, Authorization))
    return list(dict.fromkeys(entry.list for entry in named if entry is not None))


def is_asked(artifact: Statement) -> bool:
    """Say whether a step of verification looks at the request that an authorization answers (specs/05, step 1)."""
    record = artifact.record
    assert isinstance(record, Authorization)
    return record.status is not None or any(link.relation in ("approval", "parent") for link in record.links)


def endorsements(log: Log, policy: Placed, now: int) -> tuple[Placed, ...]:
    """Return the further owners' signatures on a policy record that have not expired, in the order of the log."""
    signed = statement.parse(policy.statement)
    found: list[Placed] = []
    for placed in log.newest(Kind.APPROVAL, subject=signed.claims.sub, most=1000):
        approval = statement.parse(placed.statement)
        record, expires = approval.record, approval.claims.exp
        if (
            isinstance(record, Approval)
            and (record.scope, record.commitment, record.links) == ("policy", signed.id, (Link("policy", signed.id),))
            and approval.key_id != signed.key_id
            and expires is not None
            and expires > now
        ):
            found.append(placed)
    return tuple(reversed(found[:_MOST_ENDORSEMENTS]))


def place(log: Log, head: Head, wanted: Sequence[Wanted], known: Mapping[bytes, int]) -> list[Elements]:
    """Return the elements beside several artifacts of one head; ``known`` has indices of statements, as far as known.

    Raises ``NotProvenError`` for a statement that does not stand in the log, or not within that head.
    """
    indices: dict[bytes, int] = {}
    for one in wanted:
        indices |= {placed.statement: placed.leaf_index for placed in (*one.endorsements, *one.status)}
        for entry in _statements(one.beside):
            if entry not in indices:
                indices[entry] = known[entry] if entry in known else _find(log, entry)
    elements = _elements(log, head, indices)
    return [_placed(one, elements) for one in wanted]


def moved(log: Log, head: Head, old: Bundle, status: Mapping[str, Placed]) -> tuple[Element | None, Elements]:
    """Return the policy and the elements of a bundle at another head of ``log``, with ``status`` for its lists.

    Positions in other logs stay. Raises ``MalformedError`` for an element that has no position in this one.
    """
    beside = [old.policy, old.request, *old.approvals]
    for parent in old.parents:
        beside += [parent.authorization, parent.request]
    kept = [element for element in old.status if _list_of(element) not in status]
    present = [element for element in (*beside, *kept) if element is not None]
    indices = {element.statement: _index(log, element) for element in present}
    indices |= {placed.statement: placed.leaf_index for placed in status.values()}
    at_head = _elements(log, head, indices)

    def move(element: Element | None) -> Element | None:
        return None if element is None else move_one(element)

    def move_one(element: Element) -> Element:
        return Element(element.statement, {**element.positions, **at_head[element.statement].positions})

    def above(parent: Parent) -> Parent:
        return parent._replace(authorization=move_one(parent.authorization), request=move(parent.request))

    return move(old.policy), Elements(
        move(old.request),
        tuple(move_one(element) for element in old.approvals),
        tuple(above(parent) for parent in old.parents),
        (*(move_one(element) for element in kept), *(at_head[placed.statement] for placed in status.values())),
    )


def _statements(beside: Beside) -> Iterator[bytes]:
    if beside.request is not None:
        yield beside.request
    yield from beside.approvals
    for parent in beside.parents:
        yield parent.authorization
        if parent.request is not None:
            yield parent.request


def _find(log: Log, entry: bytes) -> int:
    record = statement.parse(entry).id
    index = log.find(record)
    if index is None:
        raise NotProvenError(f"{record.hex()} is not in {log.origin}; register it first")
    return index


def _elements(log: Log, head: Head, indices: Mapping[bytes, int]) -> dict[bytes, Element]:
    late = [index for index in indices.values() if index >= head.size]
    if late:
        raise NotProvenError(f"entry {late[0]} of {log.origin} is not within its head of {head.size} entries")
    paths = log.inclusion_paths(list(indices.values()), head.size)
    return {
        entry: Element(entry, {log.origin: Position(index, tuple(path))})
        for (entry, index), path in zip(indices.items(), paths, strict=True)
    }


def _placed(wanted: Wanted, elements: Mapping[bytes, Element]) -> Elements:
    request, approvals, parents = wanted.beside
    return Elements(
        None if request is None else elements[request],
        (
            *(elements[entry] for entry in approvals),
            *(elements[placed.statement] for placed in wanted.endorsements),
        ),
        tuple(
            Parent(
                elements[parent.authorization],
                parent.salt,
                parent.terms,
                None if parent.request is None else elements[parent.request],
            )
            for parent in parents
        ),
        tuple(elements[placed.statement] for placed in wanted.status),
    )


def _index(log: Log, element: Element) -> int:
    position = element.positions.get(log.origin)
    if position is None:
        raise MalformedError(f"the bundle does not say where an element of it stands in {log.origin}")
    return position.leaf_index


def _list_of(element: Element) -> str:
    """Return the name of the list in an element; a status list's subject is its name."""
    return statement.parse(element.statement).claims.sub
