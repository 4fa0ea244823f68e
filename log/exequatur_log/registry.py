"""The registry: what registration asks about earlier entries; planned for a batch, fetched once, answered in memory.

    plan(batch)               ->  what is not known yet: record ids, keys, policy sets, lists, grants, approvals
    learn(what was found)     <-  the entries that were found for it
    plan_askers(batch)        ->  the requests that the grants above the batch answer, to be learned as well
    add(statement, index)         as each statement of the batch is admitted
    commit() or discard()         when the batch has been committed, or has not

Facts about single records never change, so they are kept between batches (bounded). What a newer entry can
replace is forgotten when another process has appended.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from exequatur_verifier import statement as statements
from exequatur_verifier.records import Approval, Authorization, Enrolment, Policy, Registration, Request, Status
from exequatur_verifier.statement import Statement

from .entry import (
    REGISTRATION_SERIES,
    Entry,
    approval_series,
    grant_series,
    key_series,
    policy_series,
    status_series,
    thumbprint,
)
from .errors import FatalLogError
from .standing import Enrolled, Newest, Standing, linked, standing_of

_MAX_KEPT = 16_384
V = TypeVar("V")


class Needs(NamedTuple):
    """What has to be fetched, as ``Found`` says: by record id, by series twice, and by subject."""

    ids: set[bytes]
    newest: set[str]
    oldest: set[str]
    subjects: set[str]


class Found(NamedTuple):
    """What was found: entries by record id, the newest of a series, the oldest of one, authorizations of a subject."""

    linked: Iterable[Entry] = ()
    newest: Iterable[Entry] = ()
    oldest: Iterable[Entry] = ()
    issued: Iterable[Entry] = ()


class BatchRegistry:
    """The registry of one log, for one batch at a time. Implements ``registration.Registry``."""

    def __init__(self, operator: bytes, origin: str, *, replay: bool = False) -> None:
        """``replay``: everything is added from entry 0 on, so what newer entries replace is not fetched, nor let go."""
        self._operator = operator
        self._origin = origin
        self._replay = replay
        self._standing: dict[bytes, Standing] = {}
        self._enrolled: dict[bytes, Enrolled] = {}
        self._policies: dict[str, Newest] = {}
        self._lists: dict[str, Newest] = {}
        # The uses under a grant; the index of an approval by signer and target, and of what rests on an approval.
        self._delegated: dict[bytes, int] = {}
        self._approved: dict[tuple[bytes, bytes], int] = {}
        self._spent: dict[bytes, int] = {}
        self._registration: Registration | None = None
        self._pending: list[tuple[dict[Any, Any], Any, Any]] = []
        self._end = 0

    @property
    def operator(self) -> bytes:
        """The thumbprint of the operator's key."""
        return self._operator

    @property
    def origin(self) -> str:
        """The origin of the log."""
        return self._origin

    @property
    def registration(self) -> Registration:
        """The registration policy last committed."""
        if self._registration is None:
            raise FatalLogError("the log holds no registration policy")
        return self._registration

    def standing(self, record_id: bytes) -> Standing | None:
        """Return what is known of a record before the end of the log as it is decided on."""
        found = self._standing.get(record_id)
        return found if found is not None and found.leaf_index < self._end else None

    def enrolled(self, key_id: bytes) -> Enrolled | None:
        """Return the enrolment last committed for a key."""
        return self._enrolled.get(key_id)

    def newest_policy(self, name: str) -> Newest | None:
        """Return the newest policy record of a set."""
        return self._policies.get(name)

    def newest_status(self, name: str) -> Newest | None:
        """Return the newest version of a status list."""
        return self._lists.get(name)

    def approved(self, signer: bytes, target: bytes) -> int | None:
        """Return the index of the approval that a key has given to a request or a policy record."""
        return self._earlier(self._approved.get((signer, target)))

    def spent(self, approval: bytes) -> int | None:
        """Return the index of the authorization that rests on an approval."""
        return self._earlier(self._spent.get(approval))

    def delegated(self, grant: bytes) -> int:
        """Return the uses that all authorizations under a grant have together."""
        return self._delegated.get(grant, 0)

    def delegated_beside(self, statement: Statement) -> int:
        """Return the uses of those that stand under the grant that ``statement`` is an authorization under, or 0."""
        parent = _grant_above(statement)
        return 0 if parent is None else self.delegated(parent)

    def plan(self, batch: Iterable[Statement]) -> Needs:
        """Return what the decisions on ``batch`` need and is not known."""
        needs = Needs(set(), set() if self._registration else {REGISTRATION_SERIES}, set(), set())
        for statement in batch:
            record = statement.record
            needs.ids.update(link.id for link in record.links if link.id not in self._standing)
            if statement.key_id not in self._enrolled:
                needs.newest.add(key_series(statement.key_id))
            match record:
                case Authorization():
                    self._plan_authorization(record, statement, needs)
                case Policy(set=name) if name not in self._policies:
                    needs.newest.add(policy_series(name))
                case Status(list=name) if name not in self._lists:
                    needs.newest.add(status_series(name))
                case Approval(links=(link, *_)) if (statement.key_id, link.id) not in self._approved:
                    needs.oldest.add(approval_series(statement.key_id, link.id))
                case Enrolment() if record.key is not None:
                    needs.newest.add(key_series(thumbprint(record.key)))
                case _:
                    pass
        return needs

    def _plan_authorization(self, record: Authorization, statement: Statement, needs: Needs) -> None:
        for link in record.links:
            if link.relation == "approval" and link.id not in self._spent:
                needs.subjects.add(statement.claims.sub)
            elif link.relation == "parent" and link.id not in self._delegated:
                needs.newest.add(grant_series(link.id))

    def plan_askers(self, batch: Iterable[Statement]) -> set[bytes]:
        """Return the requests that were answered with the grants that requests of ``batch`` are made under."""
        asked: set[bytes] = set()
        for statement in batch:
            if statement.record.links and isinstance(statement.record, Request):
                grant = self._standing.get(linked(statement.record.links, "parent") or b"")
                request = None if grant is None else grant.linked("request")
                if request is not None and request not in self._standing:
                    asked.add(request)
        return asked

    def learn(self, found: Found) -> None:
        """Take in committed entries that were asked for."""
        for entry in found.linked:
            self._put_standing(statements.parse(entry.statement), entry.leaf_index)
        for entry in (*found.oldest, *found.issued):
            self._put(statements.parse(entry.statement), entry.leaf_index)
        for entry in found.newest:
            statement = statements.parse(entry.statement)
            self._put(statement, entry.leaf_index)
            parent = _grant_above(statement)
            if parent is not None and entry.number is not None:
                self._set(self._delegated, parent, entry.number)

    def begin(self, size: int) -> None:
        """Begin to decide on statements from index ``size`` on."""
        self._pending.clear()
        self._end = size

    def add(self, statement: Statement, index: int) -> None:
        """Count an admitted statement of the batch among the earlier ones."""
        if isinstance(statement.record, Authorization):
            parent = _grant_above(statement)
            if parent is not None:
                self._set(self._delegated, parent, self.delegated(parent) + statement.record.uses)
        self._put(statement, index)
        self._end = index + 1

    def commit(self) -> None:
        """Keep what the batch added, and let go of the oldest beyond the bound."""
        self._pending.clear()
        for kept in (self._standing, self._approved, self._spent):
            _trim(kept)
        if not self._replay:
            for replaced in self._replaced:
                _trim(replaced)

    def discard(self) -> None:
        """Forget what the batch added, in reverse."""
        for kept, key, former in reversed(self._pending):
            if former is None:
                del kept[key]
            else:
                kept[key] = former
        self._pending.clear()
        self._registration = None

    def forget(self) -> None:
        """Forget what a newer entry could have replaced: another process has appended."""
        for replaced in self._replaced:
            replaced.clear()
        self._registration = None

    @property
    def _replaced(self) -> tuple[dict[Any, Any], ...]:
        """What a newer entry can replace."""
        return self._enrolled, self._policies, self._lists, self._delegated

    def _earlier(self, index: int | None) -> int | None:
        return index if index is not None and index < self._end else None

    def _put(self, statement: Statement, index: int) -> None:
        self._put_standing(statement, index)
        record = statement.record
        match record:
            case Authorization():
                for link in record.links:
                    if link.relation == "approval":
                        self._set_first(self._spent, link.id, index)
            case Approval(links=(link, *_)):
                self._set_first(self._approved, (statement.key_id, link.id), index)
            case Policy(set=name, epoch=epoch):
                self._set(self._policies, name, Newest(statement.id, epoch, statement.claims.iss))
            case Status(list=name, version=version):
                self._set(self._lists, name, Newest(statement.id, version, statement.claims.iss))
            case Enrolment():
                self._put_enrolment(record, statement)
            case _:
                pass

    def _put_enrolment(self, record: Enrolment, statement: Statement) -> None:
        if record.form == "key" and record.key is not None:
            enrolled = Enrolled(record, record.key[3], statement.key_id)
            self._set(self._enrolled, thumbprint(record.key), enrolled)
        if record.registration is not None:
            self._registration = record.registration

    def _put_standing(self, statement: Statement, index: int) -> None:
        self._set(self._standing, statement.id, standing_of(statement, index))

    def _set_first(self, kept: dict[Any, int], key: Any, index: int) -> None:
        if index < kept.get(key, index + 1):
            self._set(kept, key, index)

    def _set(self, kept: dict[Any, V], key: Any, value: V) -> None:
        self._pending.append((kept, key, kept.get(key)))
        kept[key] = value


def _trim(kept: dict[Any, Any]) -> None:
    # By a quarter at once, so that it is seldom done.
    if len(kept) > _MAX_KEPT:
        for key in list(kept)[: _MAX_KEPT // 4]:
            del kept[key]


def _grant_above(statement: Statement) -> bytes | None:
    """Return the grant that an authorization stands under."""
    return linked(statement.record.links, "parent") if isinstance(statement.record, Authorization) else None
