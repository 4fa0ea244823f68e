"""The queue of what waits for approvals: from the journal which requests, from the log and the content store the rest.

An approver signs what a commitment is taken over. So each request comes with the very bytes, read from the store and
hashed again; one whose content was erased cannot be shown, and so cannot be approved.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from exequatur_verifier import action, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import ExequaturError, NotProvenError
from exequatur_verifier.records import Request
from exequatur_verifier.statement import Statement

from .approvals import Consents
from .content import ContentError, ContentStore
from .decide import open_request
from .journal import Journal, Waiting
from .log import Log


class NotWaitingError(ExequaturError):
    """There is no such request that waits for approvals: why, and what to do."""


class Pending(NamedTuple):
    """A request that waits for approvals.

    ``request`` is its record id, ``salt`` and ``encoded`` what its commitment is taken over; ``wanted`` is how many
    approvals it needs, and ``given`` who has approved. Times are in unix seconds.
    """

    request: bytes
    subject: str
    requester: str
    audience: str
    claims: Mapping[str, Any]
    salt: bytes
    encoded: bytes
    since: int
    wanted: int
    given: tuple[str, ...]
    expires: int
    statement: Statement

    @property
    def record(self) -> Request:
        """The request's record."""
        record = self.statement.record
        assert isinstance(record, Request)
        return record

    @property
    def descriptor(self) -> Descriptor:
        """The action, decoded from what the commitment is taken over."""
        return action.decode(self.encoded)


class Queue:
    """What waits at one authority; one object serves one thread. ``consents`` finds what has been given."""

    def __init__(self, log: Log, content: ContentStore, journal: Journal, consents: Consents) -> None:
        self._log = log
        self._content = content
        self._journal = journal
        self._consents = consents

    def pending(self, now: int) -> list[Pending]:
        """Return what waits at ``now``, the oldest first, but for what can no longer be shown."""
        found: list[Pending] = []
        for waiting in self._journal.waiting(now):
            try:
                found.append(self._pending(waiting, now))
            except ContentError:
                continue
        return found

    def find(self, request: bytes, now: int) -> Pending:
        """Return one request that waits. Raises ``NotWaitingError``, and ``ContentError`` for what was erased."""
        waiting = self._journal.waiting(0, request)
        if not waiting:
            answered = self._journal.find(request) is not None
            why = "it was answered" if answered else "this authority has not been asked it"
            raise NotWaitingError(f"request {request.hex()} does not wait for approvals: {why}")
        if waiting[0].expires <= now:
            raise NotWaitingError(f"request {request.hex()} has waited for too long; make a new request")
        return self._pending(waiting[0], now)

    def _pending(self, waiting: Waiting, now: int) -> Pending:
        entry = self._consents.find(waiting.request)
        if entry is None:
            raise NotProvenError(f"request {waiting.request.hex()} was logged, and is not in {self._log.origin}")
        request = statement.parse(entry)
        record = request.record
        assert isinstance(record, Request)
        preimage = self._content.get(record.action.commitment)
        end = len(action.ACTION_TAG) + action.SALT_SIZE
        salt, encoded = preimage[len(action.ACTION_TAG) : end], preimage[end:]
        open_request(request, salt, action.decode(encoded))
        # Whose artifact it will be is not known yet; that nobody approves for themselves is asked again then.
        given = self._consents.of(request, b"", now).counted
        return Pending(
            waiting.request,
            request.claims.sub,
            request.claims.iss,
            record.audience,
            record.claims,
            salt,
            encoded,
            waiting.since,
            waiting.wanted,
            tuple(approval.claims.iss for approval in given),
            waiting.expires,
            request,
        )
