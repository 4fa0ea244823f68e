"""Approvals: consent to one request, signed by somebody who is not concerned (specs/09 §2.1).

An approver signs the id of a request and the commitment of its action, so consent cannot be carried over to anything
else. The authority counts what stands in the log; runtimes check all of it again (specs/05, step 12).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from exequatur_verifier import statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Approval, Link, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement

SCOPES: Final = ("once", "uses", "until")
MOST: Final = 32


def sign_approval(
    request: Statement, signer: Signer, *, iss: str, scope: str, uses: int, expires: int, now: int, unique: bytes
) -> bytes:
    """Return the signed approval of a request, until ``expires`` (unix seconds); ``unique`` is 16 random bytes.

    ``scope`` is ``once``, ``uses`` (``uses`` of them), or ``until`` (any number, 0). Raises ``MalformedError`` for
    another kind of statement, and ``ValueError`` for a scope that contradicts itself, an approval that has expired, and
    an approver who asked.
    """
    record = request.record
    if not isinstance(record, Request):
        raise MalformedError(f"a {request.kind.value} record cannot be approved")
    if scope not in SCOPES or uses != {"once": 1, "until": 0}.get(scope, max(uses, 1)):
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
    record = request.record
    assert isinstance(record, Request)
    found: dict[bytes, Statement] = {}
    for approval in sorted(approvals, key=lambda item: item.id):
        consent, claims = approval.record, approval.claims
        if (
            isinstance(consent, Approval)
            and (consent.links, consent.commitment) == ((Link("request", request.id),), record.action.commitment)
            and consent.scope in SCOPES
            and claims.sub == request.claims.sub
            and claims.exp is not None
            and claims.exp > now
            and approval.key_id != request.key_id
            and claims.iss != request.claims.iss
        ):
            found.setdefault(approval.key_id, approval)
    return tuple(found.values())[:MOST]


def uses_within(approvals: Sequence[Statement]) -> int | None:
    """Return the most uses that all of the approvals cover; ``None`` where none of them has a bound."""
    consents = [approval.record for approval in approvals]
    bounds = [item.uses for item in consents if isinstance(item, Approval) and item.scope != "until"]
    return min(bounds, default=None)


def expires_within(approvals: Sequence[Statement]) -> int | None:
    """Return when the first of the approvals expires (unix seconds)."""
    return min((approval.claims.exp for approval in approvals if approval.claims.exp is not None), default=None)
