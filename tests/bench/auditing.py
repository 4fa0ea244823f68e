"""The audit of a whole home, at one size and at four times that: how fast it reads, and that its memory stays.

The raw work is what no audit can do without: the hash of each entry and the check of its signature, spread over
all cores. An audit does more: it derives every tile, head and registration again, and every decision.
"""

import os
import time
from collections.abc import Callable, Sequence
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
from exequatur_verifier.keys import PublicKey
from tests.bench import fresh, raw
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, rate
from tests.support import world

SUBJECT = "audit of a home, in a process of its own"
_CORES = os.cpu_count() or 1
_BATCH = 250


class _Filled(NamedTuple):
    """A home, the number of entries of its log, and the work that no audit can do without."""

    path: Path
    size: int
    floor: Callable[[ThreadPoolExecutor], None]


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of the audit."""
    executions = 500 if quick else 2000
    homes = [_fill(folder / str(count), count) for count in (executions, 4 * executions)]
    small, large = ([_rounds("audit", home.path, home, 1 if quick else 3) for home in homes])
    checked, _ = _rounds("fsck", homes[1].path / "log.db", homes[1], 1 if quick else 3), None
    rows = [
        rate(
            SUBJECT,
            f"{what}, entries a second of {home.size:,}, against hashes and checks on {_CORES} cores",
            measured.ours,
            measured.bare,
            statistic="best",
        )
        for what, home, measured in (("audit", homes[0], small), ("audit", homes[1], large), ("fsck", homes[1], checked))
    ]
    name = f"most memory, {homes[1].size:,} entries, against {homes[0].size:,}"
    return [*rows, Row(SUBJECT, name, large.peak, small.peak, "MB", large.peak / small.peak, Target("≤", 1.1), "best")]


class _Measured(NamedTuple):
    ours: Timing
    bare: Timing
    peak: float


def _rounds(name: str, path: Path, home: _Filled, rounds: int) -> _Measured:
    """Return seconds per entry of an audit and of the work below it, and the smallest peak of memory, in MB."""
    reports: list[dict[str, Any]] = []
    with ThreadPoolExecutor(_CORES) as pool:
        _, bare = alternate(
            rounds, home.size, lambda _: reports.append(fresh.run(name, path)), lambda _: home.floor(pool)
        )
    assert all(report["ok"] for report in reports)
    # The process says how long the work took without its imports.
    ours = Timing(tuple(report["seconds"] / home.size for report in reports))
    return _Measured(ours, bare, min(report["peak"] for report in reports))


def _fill(path: Path, executions: int) -> _Filled:
    """Found a home, authorize as many commands, and return it."""
    found(path)
    with Home(path, find_passphrase(str(path))) as home:
        for start in range(0, executions, _BATCH):
            now = int(time.time())
            batch = [_ask(home, now, start + index) for index in range(min(_BATCH, executions - start))]
            assert all(isinstance(answer, Issued) for answer in home.authority(now).authorize_many(batch, now=now))
        keys: dict[bytes, PublicKey] = {
            key.thumbprint: key for key in (home.signer(role).public_key for role in ("operator", "owner", *_SIGNING))
        }
        entries = [statement.parse(entry.statement) for entry in home.log.entries()]
    leaves = [item.entry for item in entries]
    checks = [raw.check_of(item, keys[item.key_id]) for item in entries]

    def floor(pool: ThreadPoolExecutor) -> None:
        _hash(leaves)
        raw.run_all(pool, _CORES, checks)

    return _Filled(path, len(entries), floor)


_SIGNING = ("requester", "authority")


def _hash(leaves: Sequence[bytes]) -> None:
    for leaf in leaves:
        merkle.leaf_hash(leaf)


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
