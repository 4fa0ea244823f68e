"""Revoking: from the command to the registered list, and to the first denial at a runtime that refreshes."""

import os
import time
from pathlib import Path
from typing import Final

from exequatur_cli.founding import found
from exequatur_cli.freshening import freshen
from exequatur_cli.home import now
from exequatur_gate import clock
from exequatur_issuer.revoke import of_artifact, revoke
from exequatur_verifier import bundle, statement
from exequatur_verifier.host import hash_file, offered
from exequatur_verifier.host import measure as measured
from exequatur_verifier.trust_file import parse
from exequatur_verifier.verdict import Code
from exequatur_verifier.verify import verify
from tests.bench.rounds import Timing
from tests.bench.table import Row, taken
from tests.support.founded import ENVIRON, SHELL, enter, issue

SUBJECT: Final = "revocation, everything in one home"


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of revoking."""
    rounds = 3 if quick else 20
    command = [SHELL, b"-c", b"exit 0"]
    home = found(folder / "home").path
    trust = parse((home / "trust.toml").read_bytes())
    found_command = measured(command, cwd=os.fsencode(folder), environ=ENVIRON, load=hash_file, enforcement=offered())
    registered: list[float] = []
    denied: list[float] = []
    with enter(home) as opened:
        lists, reports = opened.status_lists(), opened.reports()
        assert lists is not None
        for data in issue(opened, [command] * rounds, folder):
            artifact, _ = statement.parse_transparent(bundle.decode(data).artifact)
            stopwatch = _Stopwatch()
            target = of_artifact(artifact)
            done = revoke(lists, reports, target, "revoke", "measured", now=now(), elapsed_us=stopwatch.microseconds)
            assert done.latency_us is not None
            registered.append(done.latency_us / 1e6)
            fresh = freshen(opened, data)
            verdict = verify(fresh, found_command.descriptor, found_command.facts, trust, None, (), clock.read())
            denied.append(stopwatch.microseconds() / 1e6)
            assert verdict.code is Code.REVOKED, verdict.failure
    name = "from revoke to the first denial of a refreshed bundle"
    return [
        taken(SUBJECT, "from revoke to the registered list", Timing(tuple(registered)), "ms", statistic="p50"),
        taken(SUBJECT, name, Timing(tuple(denied)), "s", statistic="p50"),
        taken(SUBJECT, name, Timing(tuple(denied)), "s", statistic="p99"),
    ]


class _Stopwatch:
    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def microseconds(self) -> int:
        return round((time.perf_counter() - self._begun) * 1e6)
