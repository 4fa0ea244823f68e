"""The ten kinds of record: the payloads of signed statements, as immutable values (specs/01, specs/records.cddl).

How they stand on the wire is in ``schema``. ``links`` name other records by relation and record id; which relations a
kind may have is the one table in ``lineage``. Runtime records also carry ``seq`` and ``prev``, their signer's previous
record, so that a hidden record shows as a gap.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

VERSION: Final = 1


class Kind(Enum):
    """The kinds, by the name that stands in the content type."""

    REQUEST = "request"
    DECISION = "decision"
    AUTHORIZATION = "authorization"
    VERIFICATION = "verification"
    OUTCOME = "outcome"
    ENFORCEMENT = "enforcement"
    POLICY = "policy"
    APPROVAL = "approval"
    STATUS = "status"
    ENROLMENT = "enrolment"


class Link(NamedTuple):
    """A relation and the id of the record it leads to."""

    relation: str
    id: bytes

    @property
    def as_array(self) -> bool:
        """Links are pairs on the wire."""
        return True


Links = tuple[Link, ...]


class Action(NamedTuple):
    """An action by its type and its salted commitment (32 bytes)."""

    type: str
    commitment: bytes


class Disclosed(NamedTuple):
    """What a commitment hides, laid open in the log because the issuer chose so. It cannot be erased there."""

    salt: bytes
    content: bytes


class Request(NamedTuple):
    """I intend to do this, there, under these conditions. ``claims`` are conditions that the requester vouches for."""

    links: Links
    action: Action
    audience: str
    claims: Mapping[str, Any]
    ttl: int | None = None
    uses: int | None = None
    disclosed: Disclosed | None = None


class Engine(NamedTuple):
    """The policy engine that decided, by name and exact version."""

    name: str
    version: str


class Decision(NamedTuple):
    """The verdict of policy, with what is needed to compute it again: the query's digest, the time, the engine."""

    links: Links
    outcome: str
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    engine: Engine
    query: bytes | None
    now: int
    code: str | None = None


class Epoch(NamedTuple):
    """A policy set by name, and the epoch of it under which something was decided."""

    set: str
    number: int


class StatusEntry(NamedTuple):
    """Where an artifact's revocation state stands: the URN of a status list, and an index in it."""

    list: str
    idx: int


class Authorization(NamedTuple):
    """The artifact.

    ``form`` is "action" (executable) or "grant" (delegable only); ``mode`` is "enforce" unless trust opts in.
    """

    links: Links
    form: str
    mode: str
    action: Action
    terms: bytes
    uses: int
    epoch: Epoch
    approvals: int | None = None
    depth: int | None = None
    status: StatusEntry | None = None
    disclosed: Disclosed | None = None


class Head(NamedTuple):
    """A tree head that was relied on: origin, size, root."""

    origin: str
    size: int
    root: bytes


class Verification(NamedTuple):
    """Each check that a runtime made before it began, what it measured (salted), and which primitives are active."""

    links: Links
    seq: int
    prev: bytes | None
    steps: tuple[tuple[int, str], ...]
    facts: bytes
    heads: tuple[Head, ...]
    trust: bytes
    enforcement: tuple[str, ...]
    gate: str
    use: int


class Resources(NamedTuple):
    """What an execution used, in microseconds and KiB."""

    wall_us: int
    user_us: int
    system_us: int
    max_rss_kib: int


class Outcome(NamedTuple):
    """What happened.

    Times are unix milliseconds; output digests are salted; ``violations`` name limits that were hit.
    """

    links: Links
    seq: int
    prev: bytes | None
    status: str
    started_ms: int | None = None
    ended_ms: int | None = None
    code: int | None = None
    signal: int | None = None
    stdout: bytes | None = None
    stderr: bytes | None = None
    resources: Resources | None = None
    violations: tuple[str, ...] = ()
    detail: str | None = None


class Enforcement(NamedTuple):
    """A report of a denial, kill, revocation, quarantine or gap. It never permits anything."""

    links: Links
    seq: int
    prev: bytes | None
    action: str
    code: str
    step: int | None = None
    detail: str | None = None
    latency_us: int | None = None
    times: int = 1
    about: bytes | None = None


class Policy(NamedTuple):
    """A policy set by digests: sources, schema, entities and mapping; in force from ``activation`` (unix seconds)."""

    links: Links
    set: str
    epoch: int
    engine: str
    sources: bytes
    schema: bytes
    entities: bytes
    mapping: bytes
    activation: int
    approvals: int = 0


class Approval(NamedTuple):
    """Consent to one request, by its id and its action's commitment; of scope "policy", to one policy record."""

    links: Links
    commitment: bytes
    scope: str
    uses: int


class Status(NamedTuple):
    """A version of a status list, packed as in Token Status List, and what is revoked by name."""

    links: Links
    list: str
    version: int
    next_update: int
    bits: int
    packed: bytes
    subjects: tuple[str, ...] = ()
    policies: tuple[bytes, ...] = ()
    keys: tuple[bytes, ...] = ()
    epochs: tuple[Epoch, ...] = ()


class Registration(NamedTuple):
    """The registration policy of a log: the largest statement, and how far ``iat`` may lie from the log's clock."""

    max_bytes: int
    skew_s: int


class Enrolment(NamedTuple):
    """A key with what it may sign, the keys that the log signs with, or a registration policy.

    Entry 0 is the genesis, which is its own operator's enrolment.
    """

    links: Links
    form: str
    iss: str | None = None
    key: Mapping[int, Any] | None = None
    kinds: tuple[Kind, ...] = ()
    actions: tuple[str, ...] = ()
    since: int = 0
    until: int | None = None
    origin: str | None = None
    receipt_keys: tuple[Mapping[int, Any], ...] = ()
    checkpoint_keys: tuple[str, ...] = ()
    registration: Registration | None = None


Record = (
    Request | Decision | Authorization | Verification | Outcome | Enforcement | Policy | Approval | Status | Enrolment
)
