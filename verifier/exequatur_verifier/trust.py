"""The trust policy: what one runtime believes (specs/06). How it stands in its file is in ``trust_file``.

Nothing in a bundle can add to it. Its digest, the SHA-256 of the file's bytes, goes into every verification record.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from .keys import PublicKey
from .note import NoteKey

# The modes of an authorization beside ``enforce``, into which trust may opt.
MODES: Final = frozenset(("observe", "break-glass"))


class Issuer(NamedTuple):
    """An authority or an approver: its keys, the action types it speaks for, the log indices at which it may."""

    iss: str
    keys: tuple[PublicKey, ...]
    actions: tuple[str, ...]
    since: int = 0
    until: int | None = None


class TrustedLog(NamedTuple):
    """A log: its issuer name and origin, its genesis record id, its keys, and how old a head may be (seconds)."""

    iss: str
    origin: str
    genesis: bytes
    receipt_keys: tuple[PublicKey, ...]
    checkpoint_vkeys: tuple[NoteKey, ...]
    max_age: int


class Group(NamedTuple):
    """So many of these: witness keys or further groups (C2SP tlog-policy)."""

    least: int
    members: tuple["NoteKey | Group", ...]

    def is_met(self, keys: frozenset[NoteKey]) -> bool:
        """Say whether enough members are among ``keys``, or are groups that are met."""
        met = (member.is_met(keys) if isinstance(member, Group) else member in keys for member in self.members)
        return sum(met) >= self.least


class Runtime(NamedTuple):
    """Who is asked: the audience of artifacts for this runtime, and the key that their ``cnf`` must be."""

    id: str
    key: PublicKey


class Receipts(NamedTuple):
    """From how many of the trusted logs a receipt is needed."""

    k: int = 1


class PolicyTrust(NamedTuple):
    """Whose policies are accepted: so many of the owners' keys, single records by id, least epoch, greatest age."""

    owners: tuple[PublicKey, ...] = ()
    threshold: int = 1
    accept: tuple[bytes, ...] = ()
    min_epoch: int = 0
    max_age: int | None = None


class ApprovalTrust(NamedTuple):
    """How many approvals an action needs at least, by its type and by the mode of its authorization."""

    required: Mapping[str, int] = {}
    modes: Mapping[str, int] = {}


class StatusTrust(NamedTuple):
    """Types of action whose authorizations must name a status list, and the greatest age of a list (seconds)."""

    required: tuple[str, ...] = ()
    max_age: int | None = None


class EnforcementTrust(NamedTuple):
    """Primitives that must be on offer for any action, and whether the home must be out of a process's reach."""

    required: tuple[str, ...] = ()
    protected_home: bool = False


class Trust(NamedTuple):
    """A trust policy. ``quorum`` is ``None`` where no witness is asked for."""

    digest: bytes
    leeway: int
    runtime: Runtime
    issuers: tuple[Issuer, ...]
    logs: Mapping[str, TrustedLog]
    receipts: Receipts
    witnesses: tuple[NoteKey, ...]
    quorum: Group | None
    policy: PolicyTrust
    modes: Mapping[str, tuple[str, ...]]
    enforcement: EnforcementTrust
    approvers: tuple[Issuer, ...] = ()
    approvals: ApprovalTrust = ApprovalTrust()
    status: StatusTrust = StatusTrust()

    def is_quorum(self, keys: Iterable[NoteKey]) -> bool:
        """Say whether cosignatures by ``keys`` satisfy the quorum; always so where none is asked for."""
        return self.quorum is None or self.quorum.is_met(frozenset(keys))
