"""``python -m tests.bench``: every figure of design §8 that this build has, beside the raw operation, in one table.

A ratio is what counts: both of its figures are measured in the same run, by turns. A row that is below its
target says so, and does not fail the run.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import (
    airline,
    auditing,
    capacity,
    peers,
    proofs,
    registration,
    revoking,
    serving,
    startup,
    table,
    verification,
)
from tests.bench.table import Row
from tests.data import ROOT

SUBJECTS: dict[str, Callable[..., list[Row]]] = {
    "verify": verification.measure,
    "register": registration.measure,
    "serve": serving.measure,
    "capacity": capacity.measure,
    "peers": peers.measure,
    "start": startup.measure,
    "audit": auditing.measure,
    "airline": airline.measure,
    "revoke": revoking.measure,
    "prove": proofs.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SUBJECTS), metavar="NAME", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: under a minute")
    parser.add_argument("--large", action="store_true", help="a log of ten million entries too: half an hour, 10 GB")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table as Markdown too")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", metavar="FILE", help="where to")
    options = parser.parse_args(arguments)
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    described, begun = table.machine(), time.perf_counter()
    rows: list[Row] = []
    for name, measure in SUBJECTS.items():
        if options.only and name not in options.only:
            continue
        print(f"measuring {name}…", end="", file=sys.stderr, flush=True)
        started = time.perf_counter()
        # In the checkout rather than in /tmp, which may be memory: what is called durable is to reach a disk.
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=build) as folder:
            extra = {"large": True} if name == "prove" and options.large else {}
            rows += measure(Path(folder), quick=options.quick, **extra)
        print(f" {time.perf_counter() - started:.0f} s", file=sys.stderr)
        # After each subject: the last one may take long, and what was measured before is worth keeping.
        if options.table is not None:
            options.table.write_text(table.markdown(rows, described))
    seconds = time.perf_counter() - begun
    print(table.text(rows))
    print(f"\n{described['cpu']}, {described['cores']} cores; {described['python']}, {described['openssl']}")
    print(f"commit {described['commit']}; load at the start {described['load'][0]}; {seconds:.0f} s")
    table.write(options.json, rows, described, quick=options.quick, seconds=seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
