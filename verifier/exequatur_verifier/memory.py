"""What a runtime remembers, as a value: the largest head of each log, times, policies (specs/07 §2).

Verification reads it and says what is to be remembered; only the gate's ``admit`` writes it, in one transaction.
``None`` in its place means that nothing is remembered, and then continuity is not judged.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Clock(NamedTuple):
    """A reading of the local clocks: unix seconds, and the seconds since the boot that ``boot`` names."""

    unix: int
    boot: str = ""
    uptime: int = 0


class KnownHead(NamedTuple):
    """A signed tree head.

    Its signature is kept as evidence, and says that this very head was verified under ``trust``.
    """

    origin: str
    size: int
    root: bytes
    iat: int
    protected: bytes
    signature: bytes
    trust: bytes
    note: bytes | None = None


class KnownPolicy(NamedTuple):
    """A policy record that was accepted: its id, its owner's thumbprint, set and epoch, and approvals demanded."""

    id: bytes
    owner: bytes
    set: str
    epoch: int
    iat: int
    approvals: int = 0


class Memory(NamedTuple):
    """What is remembered.

    ``floor`` is the latest signed time seen; ``forked`` names origins that were caught with two histories;
    ``statuses`` has the newest version seen of each status list.
    """

    generation: int
    heads: Mapping[str, KnownHead]
    policies: Mapping[bytes, KnownPolicy]
    floor: int
    clock: Clock
    forked: frozenset[str] = frozenset()
    statuses: Mapping[str, int] = {}


class Proof(NamedTuple):
    """A consistency proof between two heads of a log, for ``check_consistency``."""

    origin: str
    size1: int
    root1: bytes
    size2: int
    root2: bytes
    path: tuple[bytes, ...]
