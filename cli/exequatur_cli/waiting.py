"""What waits in a home for approvals: for ``exequatur approve``, and for approvers who ask the service."""

from collections.abc import Callable
from typing import NamedTuple

from exequatur_issuer import modes
from exequatur_issuer.approvals import usable
from exequatur_issuer.content import ContentError
from exequatur_issuer.decide import InForce, decide
from exequatur_issuer.http import waiting as shown
from exequatur_issuer.replay import opened
from exequatur_verifier import action, statement
from exequatur_verifier.records import Kind, Request
from exequatur_verifier.statement import Statement

from .home import Home, now
from .issuing import waiting


class Pending(NamedTuple):
    """A request that waits for approvals, the decision that says so, and who has approved."""

    request: Statement
    decision: Statement
    approvals: tuple[Statement, ...]

    @property
    def record(self) -> Request:
        """What is asked for."""
        record = self.request.record
        assert isinstance(record, Request)
        return record


class Queue:
    """What waits for each approver, as the service shows it; ``policy`` is the set in force at a time."""

    def __init__(self, home: Home, policy: Callable[[int], InForce]) -> None:
        self._home = home
        self._policy = policy

    def pending(self, approver: str) -> list[shown.Pending]:
        """Return what waits for this approver, the oldest first. What cannot be opened cannot be approved."""
        time = now()
        policy, found = self._policy(time), []
        for item in pending(self._home, time):
            if self._is_for(item, approver):
                try:
                    found.append(self._shown(item, policy, time))
                except ContentError:
                    continue
        return found

    def _is_for(self, item: Pending, approver: str) -> bool:
        """Say whether trust names the approver for this action, who has not asked for it or approved it already."""
        named = [one for one in self._home.trust.approvers if one.iss == approver]
        others = {item.request.claims.iss, *(approval.claims.iss for approval in item.approvals)}
        return approver not in others and any(item.record.action.type in one.actions for one in named)

    def _shown(self, item: Pending, policy: InForce, time: int) -> shown.Pending:
        salt, descriptor = opened(item.request, self._home.content)
        obliged = decide(item.request, salt, descriptor, policy, time).obligations
        mode = modes.permitted(item.record, self._home.settings.modes)
        wanted = obliged.approvals if obliged is not None else 0 if mode is None else mode.approvals
        return shown.Pending(
            request=item.request.id,
            subject=item.request.claims.sub,
            requester=item.request.claims.iss,
            audience=item.record.audience,
            claims=item.record.claims,
            salt=salt,
            encoded=action.encode(descriptor),
            since=item.decision.claims.iat,
            wanted=max(wanted, policy.record.approvals),
            given=tuple(approval.claims.iss for approval in item.approvals),
        )


def pending(home: Home, time: int) -> list[Pending]:
    """Return the requests that wait for approvals, the oldest first."""
    found: list[Pending] = []
    for request, decision in waiting(home):
        entries = home.log.find(sub=request.claims.sub, kind=Kind.APPROVAL, limit=1000)
        given = usable(request, (statement.parse(entry.statement) for entry in entries), time)
        found.append(Pending(request, decision, given))
    return found
