"""The registry: what registration asks about earlier entries; planned for a batch, fetched once, answered in memory.

    plan(batch)            ->  what is not known yet: record ids, keys, policy sets
    learn(linked, newest)  <-  the entries that were found for it
    add(statement, index)      as each statement of the batch is admitted
    commit() or discard()      when the batch has been committed, or has not

Facts about single records never change, so they are kept between batches (bounded). What a newer entry can
replace is forgotten when another process has appended.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from exequatur_verifier import statement as statements
from exequatur_verifier.records import Enrolment, Policy, Registration
from exequatur_verifier.statement import Statement

from .entry import REGISTRATION_SERIES, Entry, key_series, named_key, policy_series, thumbprint
from .errors import FatalLogError
from .registration import Enrolled, Newest, Standing, standing_of

_MAX_KEPT = 16_384
V = TypeVar("V")


class Needs(NamedTuple):
    """What has to be fetched: entries by record id, and the newest entry of each series."""

    ids: set[bytes]
    series: set[str]


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

    def plan(self, batch: Iterable[Statement]) -> Needs:
        """Return what the decisions on ``batch`` need and is not known."""
        ids: set[bytes] = set()
        series: set[str] = set() if self._registration else {REGISTRATION_SERIES}
        for statement in batch:
            record = statement.record
            ids.update(link.id for link in record.links if link.id not in self._standing)
            if statement.key_id not in self._enrolled:
                series.add(key_series(statement.key_id))
            if isinstance(record, Policy) and record.set not in self._policies:
                series.add(policy_series(record.set))
            if isinstance(record, Enrolment) and record.key is not None:
                series.add(key_series(thumbprint(record.key)))
        return Needs(ids, series)

    def learn(self, linked: Iterable[Entry], newest: Iterable[Entry]) -> None:
        """Take in committed entries that ``plan`` asked for: by record id, and the newest of each series."""
        for entry in linked:
            self._put_standing(statements.parse(entry.statement), entry.leaf_index)
        for entry in newest:
            self._put(statements.parse(entry.statement), entry.leaf_index)

    def begin(self, size: int) -> None:
        """Begin to decide on statements from index ``size`` on."""
        self._pending.clear()
        self._end = size

    def add(self, statement: Statement, index: int) -> None:
        """Count an admitted statement of the batch among the earlier ones."""
        self._put(statement, index)
        self._end = index + 1

    def commit(self) -> None:
        """Keep what the batch added, and let go of the oldest beyond the bound."""
        self._pending.clear()
        _trim(self._standing)
        if not self._replay:
            _trim(self._enrolled)
            _trim(self._policies)

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
        self._enrolled.clear()
        self._policies.clear()
        self._registration = None

    def _put(self, statement: Statement, index: int) -> None:
        self._put_standing(statement, index)
        record = statement.record
        if isinstance(record, Policy):
            self._set(self._policies, record.set, Newest(statement.id, record.epoch))
        elif isinstance(record, Enrolment):
            if record.form == "key" and record.key is not None:
                enrolled = Enrolled(record, record.key[3], statement.key_id)
                self._set(self._enrolled, thumbprint(record.key), enrolled)
            if record.registration is not None:
                self._registration = record.registration

    def _put_standing(self, statement: Statement, index: int) -> None:
        named = named_key(statement) if statement.claims.cnf is not None else None
        holder = None if named is None else named.thumbprint
        self._set(self._standing, statement.id, standing_of(statement, index, holder))

    def _set(self, kept: dict[Any, V], key: Any, value: V) -> None:
        self._pending.append((kept, key, kept.get(key)))
        kept[key] = value


def _trim(kept: dict[Any, Any]) -> None:
    # By a quarter at once, so that it is seldom done.
    if len(kept) > _MAX_KEPT:
        for key in list(kept)[: _MAX_KEPT // 4]:
            del kept[key]
