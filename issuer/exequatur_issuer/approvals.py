"""Approvals: consent to one request, by somebody else than who asked, decides or executes (specs/09 §2.1).

    request      <- the approver reads what its commitment opens to (``display``), and signs
    approval     {links: [request], commitment, scope, uses}, claim exp
    log          admits one approval of a key for a request, and knows that the key is enrolled for them
    decision     links the approvals that count, and so does the artifact, which is no wider than any of them

    scope    of                 uses    the artifact has
    once     an action          1       one use
    uses     an action          n       at most n uses
    until    an action          0       as many uses as policy grants, until the approval expires
    task     a grant            0       as ``until``, and consents to what is done under the grant

Which approvals count is computed from the request, the approvals and the time alone, so that replay counts them again.
Whom the authority takes for an approver, and that nobody approves their own doing, is asked before that (``Consents``).
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.bundle import MAX_CHAIN
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Approval, Kind, Link, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement

from .log import Log

GRANT: Final = "exequatur.grant"
SCOPES: Final = ("once", "uses", "until", "task")
# How long a request waits for approvals, from the time that it was made.
WAITING_S: Final = 7 * 86_400
_MOST: Final = 32

# Returns a logged statement by its record id.
Find = Callable[[bytes], bytes | None]


class ApprovalError(ExequaturError):
    """An approval that would count for nothing, so it is not signed: why, and what to do."""


class Found(NamedTuple):
    """The approvals of a request that count, in the order of the log, and a sentence for each that does not."""

    counted: tuple[Statement, ...] = ()
    passed_over: tuple[str, ...] = ()


def sign_approval(
    request: Statement,
    signer: Signer,
    *,
    iss: str,
    now: int,
    exp: int,
    unique: bytes,
    scope: str | None = None,
    uses: int | None = None,
) -> bytes:
    """Return the signed approval of a request, for the log to register.

    ``scope`` is ``once`` by default, ``uses`` where ``uses`` are given, and ``task`` for a grant. It counts until
    ``exp`` (unix seconds); ``unique`` is 16 random bytes. Raises ``ApprovalError``.
    """
    record = _request(request)
    is_grant = record.action.type == GRANT
    scope = scope or ("task" if is_grant else "once" if uses is None else "uses")
    if scope not in SCOPES or (scope == "task") != is_grant:
        fits = "task" if is_grant else "once, uses or until"
        raise ApprovalError(f"scope {scope} is not for a request of {record.action.type}; approve it {fits}")
    if (scope == "uses") != (uses is not None):
        raise ApprovalError(f"a number of uses goes with scope uses, and with no other; this one is {scope}")
    if exp <= now:
        raise ApprovalError("an approval that has expired before it is signed counts for nothing; give it a later end")
    fault = _own(request, signer.public_key.thumbprint, iss)
    if fault is not None:
        raise ApprovalError(f"{fault}; let somebody else approve")
    made = Approval(
        links=(Link("request", request.id),),
        commitment=record.action.commitment,
        scope=scope,
        uses=1 if scope == "once" else uses or 0,
    )
    return statement.sign(made, Claims(iss, request.claims.sub, now, unique, exp=exp), signer)


def counted(request: Statement, approvals: Iterable[Statement], now: int) -> tuple[Statement, ...]:
    """Return those of ``approvals`` that consent to a request at ``now``, in their order, one for each key."""
    found: dict[bytes, Statement] = {}
    for approval in approvals:
        if fault(request, approval, now) is None:
            found.setdefault(approval.key_id, approval)
    return tuple(found.values())[:_MOST]


def fault(request: Statement, approval: Statement, now: int) -> str | None:
    """Return why an approval is no consent to a request at ``now``; ``None`` if it is."""
    asked, record = _request(request), approval.record
    if not isinstance(record, Approval) or record.links != (Link("request", request.id),):
        return "it is of another request"
    if record.commitment != asked.action.commitment or approval.claims.sub != request.claims.sub:
        return "it is of another action than the one that is asked for"
    if (record.scope == "task") != (asked.action.type == GRANT) or record.scope == "policy":
        return f"its scope {record.scope} is not for {asked.action.type}"
    if approval.claims.exp is None or approval.claims.exp <= now:
        return "it has expired"
    return _own(request, approval.key_id, approval.claims.iss)


def approvers(approvals: Iterable[Statement]) -> frozenset[bytes]:
    """Return the keys behind approvals."""
    return frozenset(approval.key_id for approval in approvals)


class Consents:
    """The approvals that a log holds, seen by an authority: its name and key, and whom it takes for approvers.

    ``known`` are the thumbprints of approvers' keys; ``None`` for every key that the log lets approve.
    """

    def __init__(self, log: Log, *, iss: str, key: bytes, known: frozenset[bytes] | None = None) -> None:
        self._log = log
        self._iss = iss
        self._key = key
        self._known = known

    def of(self, request: Statement, holder: bytes, now: int) -> Found:
        """Return the approvals of a request; ``holder`` is the thumbprint of the key that its artifact is bound to."""
        placed = self._log.newest(Kind.APPROVAL, subject=request.claims.sub, most=4 * _MOST)
        given = [statement.parse(one.statement) for one in reversed(placed)]
        passed_over: list[str] = []
        sound: list[Statement] = []
        for approval in given:
            wrong = fault(request, approval, now) or self._wrong(approval, holder)
            if wrong is None:
                sound.append(approval)
            else:
                passed_over.append(f"the approval by {approval.claims.iss} does not count: {wrong}")
        return Found(counted(request, sound, now), tuple(passed_over))

    def linked(self, record: Statement) -> tuple[Statement, ...]:
        """Return the approvals that a logged decision or authorization links."""
        return linked_approvals(record, self.find)

    def above(self, request: Statement) -> tuple[Statement, ...]:
        """Return the approvals of the grants above a request."""
        return above(request, self.find)

    def find(self, record_id: bytes) -> bytes | None:
        """Return a logged statement by its record id."""
        return entry_of(self._log, record_id)

    def _wrong(self, approval: Statement, holder: bytes) -> str | None:
        if approval.key_id in (self._key, holder) or approval.claims.iss == self._iss:
            return "its signer decides this or carries it out"
        if self._known is not None and approval.key_id not in self._known:
            return f"the key {approval.key_id.hex()} is none of this authority's approvers"
        return None


def linked_approvals(of: Statement, find: Find) -> tuple[Statement, ...]:
    """Return the approvals that a record links; ``find`` returns a logged statement by its record id."""
    entries = (find(link.id) for link in of.record.links if link.relation == "approval")
    return tuple(statement.parse(entry) for entry in entries if entry is not None)


def above(request: Statement, find: Find) -> tuple[Statement, ...]:
    """Return the approvals of the grants above a request, which count for what is done under them."""
    found: list[Statement] = []
    for grant in chain(request, find):
        found += linked_approvals(grant, find)
    return tuple(found)


def chain(request: Statement, find: Find) -> list[Statement]:
    """Return the grants above a request, the nearest first, as far as the log has them and a bundle could hold them."""
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
    entries = (find(link.id) for link in one.record.links if link.relation == relation)
    entry = next(entries, None)
    return None if entry is None else statement.parse(entry)


def entry_of(log: Log, record_id: bytes) -> bytes | None:
    """Return the statement of a record id in a log."""
    index = log.find(record_id)
    return None if index is None else log.entry(index)


def _request(request: Statement) -> Request:
    if not isinstance(request.record, Request):
        raise ApprovalError(f"a {request.kind.value} record is nothing to approve; name a request")
    return request.record


def _own(request: Statement, key: bytes, iss: str) -> str | None:
    if key == request.key_id:
        return "the request is signed with the approver's own key"
    # One party may have several keys, but speaks under one name.
    return "who asks and who approves have one name" if iss == request.claims.iss else None
