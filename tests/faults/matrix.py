"""The whole fault matrix: every call of every operation, times every fault that can befall it.

    python -m tests.faults.matrix            runs all of it, and compares it with specs/fault-matrix.md
    python -m tests.faults.matrix --write    runs all of it, and writes its tables there

CI runs every row with every fault too, but of calls that are alike the first, the last and one other.
"""

import argparse
import sys
import tempfile
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tests.faults import table
from tests.faults.nursery import Nursery
from tests.faults.trial import Operation, Trial, met, operations


def _run(operation: Operation) -> tuple[str, table.Found]:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Nursery() as nursery:
        trial = Trial(operation, nursery, Path(folder))
        cases = list(trial.cases())
        found = met(trial, cases)
    spent = time.monotonic() - begun
    print(f"{operation.name}: {len(trial.calls)} calls, {len(cases)} cases, {spent:.0f} s", file=sys.stderr)
    return operation.name, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the tables of specs/fault-matrix.md again")
    write = parser.parse_args().write
    with ThreadPool(2) as pool:
        found = dict(pool.map(_run, operations(), chunksize=1))
    if write:
        table.PAGE.write_text(table.replace(table.PAGE.read_text(), found))
        return 0
    written = table.published()
    for name in found:
        if found[name] != written.get(name):
            print(f"{name} is not as published:\n{table.render(found[name])}")
    return int(found != written)


if __name__ == "__main__":
    sys.exit(main())
