"""Approvals: consent to one request, signed by somebody who is not concerned (specs/09 §2.1).

An approver signs the id of a request and the commitment of its action, so consent cannot be carried over to anything
else. The authority counts what stands in the log; runtimes check all of it again (specs/05, step 12).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.bundle import MAX_CHAIN
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Approval, Link, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement

GRANT: Final = "exequatur.grant"
SCOPES: Final = ("once", "uses", "until")
# Consent to a grant, which is consent to what is done under it.
TASK: Final = "task"
MOST: Final = 32
# How long a request waits for approvals, from the time that it was made.
WAITING_S: Final = 7 * 86_400

# Returns a logged statement by its record id.
Find = Callable[[bytes], bytes | None]


class Concerned(NamedTuple):
    """Whose consent counts for nothing, because they decide or carry out: keys by thumbprint, names by ``iss``.

    ``known`` are the keys of those who may approve at all; ``None`` for whoever the log lets approve.
    """

    keys: frozenset[bytes] = frozenset()
    names: frozenset[str] = frozenset()
    known: frozenset[bytes] | None = None


NOBODY: Final = Concerned()


def sign_approval(
    request: Statement, signer: Signer, *, iss: str, scope: str, uses: int, expires: int, now: int, unique: bytes
) -> bytes:
    """Return the signed approval of a request, until ``expires`` (unix seconds); ``unique`` is 16 random bytes.

    ``scope`` is ``once``, ``uses`` (``uses`` of them), or ``until`` (any number, 0); of a request for a grant it is
    ``task``, and ``uses`` how many the grant may have (0: any number). Raises ``MalformedError`` for another kind of
    statement, and ``ValueError`` for a scope that contradicts itself or is not for this request, an approval that has
    expired, and an approver who asked.
    """
    record = request.record
    if not isinstance(record, Request):
        raise MalformedError(f"a {request.kind.value} record cannot be approved")
    scopes = _scopes_of(record.action.type)
    if scope not in scopes:
        raise ValueError(f"a request of {record.action.type} is approved {' or '.join(scopes)}, not {scope!r}")
    if uses < 0 or uses != {"once": 1, "until": 0, TASK: uses}.get(scope, max(uses, 1)):
        raise ValueError(f"an approval of scope {scope!r} is not for {uses} uses")
    if expires <= now:
        raise ValueError("the approval would have expired already")
    if iss == request.claims.iss or signer.public_key.thumbprint == request.key_id:
        raise ValueError("who asked for it cannot approve it; ask somebody else")
    approval = Approval((Link("request", request.id),), record.action.commitment, scope, uses)
    return statement.sign(approval, Claims(iss, request.claims.sub, now, unique, exp=expires), signer)


def usable(request: Statement, approvals: Iterable[Statement], now: int) -> tuple[Statement, ...]:
    """Return those approvals that count for a request at ``now``: of it, in force, of distinct others.

    That their signatures hold and their keys may sign is the log's to check. They come in the order of their ids.
    """
    found: dict[bytes, Statement] = {}
    for approval in sorted(approvals, key=lambda item: item.id):
        if fault(request, approval, now) is None:
            found.setdefault(approval.key_id, approval)
    return tuple(found.values())[:MOST]


def fault(request: Statement, approval: Statement, now: int, concerned: Concerned = NOBODY) -> str | None:
    """Return why an approval does not count for a request at ``now``; ``None`` if it does."""
    asked, consent, claims = request.record, approval.record, approval.claims
    assert isinstance(asked, Request)
    if not isinstance(consent, Approval) or consent.links != (Link("request", request.id),):
        return "it is of another request"
    if consent.commitment != asked.action.commitment or claims.sub != request.claims.sub:
        return "it is of another action than the one that is asked for"
    if consent.scope not in _scopes_of(asked.action.type):
        return f"its scope {consent.scope} is not for {asked.action.type}"
    if claims.exp is None or claims.exp <= now:
        return "it has expired"
    # One party may have several keys, but speaks under one name.
    if approval.key_id == request.key_id or claims.iss == request.claims.iss:
        return "it is by who asked"
    if approval.key_id in concerned.keys or claims.iss in concerned.names:
        return "it is by who decides this, or carries it out"
    if concerned.known is not None and approval.key_id not in concerned.known:
        return f"its key {approval.key_id.hex()} is none of the approvers that are trusted here"
    return None


def approvers(approvals: Iterable[Statement]) -> frozenset[bytes]:
    """Return the keys behind approvals."""
    return frozenset(approval.key_id for approval in approvals)


def above(request: Statement, find: Find) -> tuple[Statement, ...]:
    """Return the approvals of the grants above a request, which count for what is done under them."""
    found: list[Statement] = []
    for grant in chain(request, find):
        linked = (_open(link.id, find) for link in grant.record.links if link.relation == "approval")
        found += (approval for approval in linked if approval is not None)
    return tuple(found)


def chain(request: Statement, find: Find) -> list[Statement]:
    """Return the grants above a request, the nearest first, as many as a bundle can hold and one more."""
    grants: list[Statement] = []
    asked: Statement | None = request
    while asked is not None and len(grants) <= MAX_CHAIN:
        grant = _follow(asked, "parent", find)
        if grant is None:
            break
        grants.append(grant)
        asked = _follow(grant, "request", find)
    return grants


def _follow(one: Statement, relation: str, find: Find) -> Statement | None:
    linked = next((link.id for link in one.record.links if link.relation == relation), None)
    return None if linked is None else _open(linked, find)


def _open(record_id: bytes, find: Find) -> Statement | None:
    """Return a logged statement; ``None`` if the log has another one under that id, or none."""
    entry = find(record_id)
    found = None if entry is None else statement.parse(entry)
    return found if found is not None and found.id == record_id else None


def _scopes_of(kind: str) -> tuple[str, ...]:
    return (TASK,) if kind == GRANT else SCOPES


def uses_within(approvals: Sequence[Statement]) -> int | None:
    """Return the most uses that all of the approvals cover; ``None`` where none of them has a bound."""
    consents = [approval.record for approval in approvals]
    bounds = [item.uses for item in consents if isinstance(item, Approval) and item.uses]
    return min(bounds, default=None)


def expires_within(approvals: Sequence[Statement]) -> int | None:
    """Return when the first of the approvals expires (unix seconds)."""
    return min((approval.claims.exp for approval in approvals if approval.claims.exp is not None), default=None)
