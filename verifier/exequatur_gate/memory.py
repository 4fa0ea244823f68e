"""Memory in the state: the durable form of the kernel's ``Memory``, and how an admission adds to it (specs/07 §2).

Only what a verdict learned from an admitted artifact is remembered, and the two heads that prove a log's
misbehaviour, whoever presented them. Every change counts up the generation, by which a verdict tells which
memory it was made with.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from exequatur_verifier.bundle import Stapled
from exequatur_verifier.memory import Clock, KnownHead, KnownPolicy, Memory, Proof
from exequatur_verifier.verdict import Evidence, Learned

MAX_PROOFS: Final = 256


def begin(connection: sqlite3.Connection, heads: tuple[KnownHead, ...]) -> None:
    """Write the memory of an enrolment."""
    floor = max((head.iat for head in heads), default=0)
    connection.execute("INSERT INTO memory VALUES (1, 0, ?, 0, '', 0)", (floor,))
    for head in heads:
        _put_head(connection, head)


def load(connection: sqlite3.Connection) -> Memory:
    """Return what is remembered."""
    row = connection.execute("SELECT generation, floor, unix, boot, uptime FROM memory").fetchone()
    generation, floor, *clock = row
    heads = (KnownHead(*row) for row in connection.execute("SELECT * FROM heads"))
    policies = (
        KnownPolicy(*row)
        for row in connection.execute("SELECT id, owner, policy_set, epoch, iat, approvals FROM policies")
    )
    forked = frozenset(origin for (origin,) in connection.execute("SELECT DISTINCT origin FROM forks"))
    return Memory(
        generation,
        {head.origin: head for head in heads},
        {policy.id: policy for policy in policies},
        floor,
        Clock(*clock),
        forked,
        dict(connection.execute("SELECT list, version FROM statuses").fetchall()),
    )


def load_proofs(connection: sqlite3.Connection) -> tuple[Proof, ...]:
    """Return the consistency proofs that earlier bundles brought."""
    rows = connection.execute("SELECT origin, size1, root1, size2, root2, path FROM proofs")
    return tuple(
        Proof(origin, size1, root1, size2, root2, _split(path)) for origin, size1, root1, size2, root2, path in rows
    )


def generation(connection: sqlite3.Connection) -> int:
    """Return how often memory has changed."""
    return int(connection.execute("SELECT generation FROM memory").fetchone()[0])


def remember(connection: sqlite3.Connection, learned: Learned, proofs: Iterable[Stapled]) -> None:
    """Remember what an admitted artifact taught; ``proofs`` are those of its bundle, which step 6 has checked."""
    remembered = load(connection)
    for head in learned.heads:
        known = remembered.heads.get(head.origin)
        if known is None or _replaces(head, known):
            _put_head(connection, head)
            connection.execute("DELETE FROM proofs WHERE origin = ? AND size2 <> ?", (head.origin, head.size))
        _keep_proofs(connection, head, proofs)
    if learned.policy is not None:
        _put_policy(connection, learned.policy)
    for status in learned.statuses:
        connection.execute(
            "INSERT INTO statuses VALUES (?, ?) ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
            status,
        )
    clock = _advance(remembered.clock, learned.clock)
    connection.execute(
        "UPDATE memory SET generation = generation + 1, floor = max(floor, ?), unix = ?, boot = ?, uptime = ?",
        (learned.floor, *clock),
    )


def remember_fork(connection: sqlite3.Connection, evidence: Evidence) -> None:
    """Keep the first two heads that prove a log's misbehaviour; from then on everything resting on it is denied."""
    for side in Evidence._fields:
        row = (*getattr(evidence, side), side)
        connection.execute("INSERT OR IGNORE INTO forks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("UPDATE memory SET generation = generation + 1")


def load_forks(connection: sqlite3.Connection) -> dict[str, Evidence]:
    """Return the evidence against each log that was caught, by origin."""
    found: dict[str, dict[str, KnownHead]] = {}
    for *head, side in connection.execute("SELECT * FROM forks"):
        found.setdefault(str(head[0]), {})[side] = KnownHead(*head)
    return {origin: Evidence(**sides) for origin, sides in found.items()}


def _replaces(head: KnownHead, known: KnownHead) -> bool:
    """Say whether a verified head takes the remembered one's place: a larger one, or a later signature of its size."""
    if (head.size, head.iat) != (known.size, known.iat):
        return (head.size, head.iat) > (known.size, known.iat)
    # The same head, verified under another trust policy, or with another note. One without a note says less.
    return head != known and (head.note is not None or head._replace(note=known.note) != known)


def _put_head(connection: sqlite3.Connection, head: KnownHead) -> None:
    connection.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?, ?, ?, ?)", head)


def _put_policy(connection: sqlite3.Connection, policy: KnownPolicy) -> None:
    """Remember a policy; those of its set with an older epoch are denied from now on, so they are dropped."""
    connection.execute("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?, ?)", policy)
    connection.execute("DELETE FROM policies WHERE owner = ? AND policy_set = ? AND epoch < ?", policy[1:4])


def _keep_proofs(connection: sqlite3.Connection, head: KnownHead, proofs: Iterable[Stapled]) -> None:
    """Keep proofs that lead to the remembered head: a bundle with an older head may need one, and bring none.

    They live as long as that head is the largest, and there are at most ``MAX_PROOFS`` of a log.
    """
    ((largest,),) = connection.execute("SELECT size FROM heads WHERE origin = ?", (head.origin,))
    if head.size != largest:
        return
    for proof in proofs:
        if proof.origin == head.origin:
            connection.execute(
                "INSERT OR REPLACE INTO proofs VALUES (?, ?, ?, ?, ?, ?)",
                (head.origin, proof.size, proof.root, head.size, head.root, b"".join(proof.path)),
            )
    connection.execute(
        "DELETE FROM proofs WHERE origin = ?1 AND size1 NOT IN "
        "(SELECT size1 FROM proofs WHERE origin = ?1 ORDER BY size1 DESC LIMIT ?2)",
        (head.origin, MAX_PROOFS),
    )


def _split(path: bytes) -> tuple[bytes, ...]:
    return tuple(path[start : start + 32] for start in range(0, len(path), 32))


def _advance(known: Clock, now: Clock) -> Clock:
    """Return the clock to remember: the latest time, and how far wall time was ahead of boot time at its best.

    The best of the whole boot is kept, so that a clock cannot be held back by less than the leeway at every
    admission. One second is allowed for both readings having been cut to whole seconds.
    """
    ahead = now.unix - now.uptime
    if known.boot == now.boot != "":
        ahead = max(ahead, known.unix - known.uptime + 1)
    unix = max(known.unix, now.unix)
    return Clock(unix, now.boot, unix - ahead + 1)
