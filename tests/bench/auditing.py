"""The audit of a whole home, at one size and at four times that: how fast it reads, and that its memory stays.

The raw work is what no audit can do without: the hash of each entry and the check of its signature, spread over
all cores. An audit does more: it derives every tile, head and registration again, and every decision.

What an audit keeps of earlier entries is bounded, and the bounds are reached at about 20,000 entries. Smaller logs, as
they are made here, still show those caches filling; that memory is flat beyond them takes a larger log to see.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from exequatur_cli.founding import found, subject
from exequatur_cli.home import Home, unique
from exequatur_gate.home import find_passphrase
from exequatur_issuer.asked import Asked, RuntimeIdentity
from exequatur_issuer.authorize import Issued
from exequatur_issuer.request import sign_request
from exequatur_verifier import merkle, statement
from tests.bench import fresh, raw
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, rate
from tests.support import world

SUBJECT = "audit of a home, in a process of its own"
_CORES = os.cpu_count() or 1
_BATCH = 250


class Filled(NamedTuple):
    """A home, the number of entries of its log, and the work that no audit of it can do without."""

    path: Path
    size: int
    floor: Callable[[ThreadPoolExecutor], None]


class Audited(NamedTuple):
    """Seconds per entry of the audit and of the work below it, and the smallest peak of memory in MB."""

    ours: Timing
    bare: Timing
    peak: float


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of the audit."""
    executions, rounds = (150, 1) if quick else (800, 3)
    small, large = (_fill(folder / str(count), count) for count in (executions, 4 * executions))
    audits = {home.size: _audit("audit", home.path, home, rounds) for home in (small, large)}
    checks = _audit("fsck", large.path / "log.db", large, rounds)
    measured = [*(("audit", size, audited) for size, audited in audits.items()), ("fsck alone", large.size, checks)]
    rows = [
        rate(
            SUBJECT,
            f"entries a second, {what}, {size:,} entries, against hashes and checks on {_CORES} cores",
            audited.ours,
            audited.bare,
            statistic="best",
        )
        for what, size, audited in measured
    ]
    peaks = audits[large.size].peak, audits[small.size].peak
    name = f"most memory, {large.size:,} entries, against {small.size:,}"
    return [*rows, Row(SUBJECT, name, *peaks, "MB", peaks[0] / peaks[1], Target("≤", 1.1), "best")]


def _audit(work: str, path: Path, home: Filled, rounds: int) -> Audited:
    reports: list[dict[str, Any]] = []
    with ThreadPoolExecutor(_CORES) as pool:
        _, bare = alternate(
            rounds, home.size, lambda _: reports.append(fresh.run(work, path)), lambda _: home.floor(pool)
        )
    assert all(report["ok"] for report in reports)
    # The process itself says how long the work took, without its imports.
    ours = Timing(tuple(report["seconds"] / home.size for report in reports))
    return Audited(ours, bare, min(report["peak"] for report in reports))


def _fill(path: Path, executions: int) -> Filled:
    """Found a home, authorize so many commands there, and return it."""
    found(path)
    with Home(path, find_passphrase(str(path))) as home:
        for start in range(0, executions, _BATCH):
            now = int(time.time())
            batch = [_ask(home, now, number) for number in range(start, min(start + _BATCH, executions))]
            assert all(isinstance(answer, Issued) for answer in home.authority(now).authorize_many(batch, now=now))
        keys = [home.signer(role).public_key for role in ("operator", "owner", "requester", "authority")]
        entries = [statement.parse(entry.statement) for entry in home.log.entries()]
    by_id = {key.thumbprint: key for key in keys}
    checks = [raw.check_of(item, by_id[item.key_id]) for item in entries]

    def floor(pool: ThreadPoolExecutor) -> None:
        for item in entries:
            merkle.leaf_hash(item.entry)
        raw.run_all(pool, _CORES, checks)

    return Filled(path, len(entries), floor)


def _ask(home: Home, now: int, number: int) -> Asked:
    """Return a request for a command that no other one asks for."""
    descriptor = {**world.COMMAND, "args": [b"git", b"log", str(number).encode()]}
    runtime = home.settings.runtimes["local"]
    salt = unique()
    request = sign_request(
        descriptor,
        home.signer("requester"),
        iss=home.settings.requester.iss,
        audience=runtime.id,
        subject=subject(),
        unique=unique(),
        salt=salt,
        now=now,
    )
    return Asked(request, salt, descriptor, world.FACTS.measured, RuntimeIdentity(runtime.id, runtime.key.encoded))
