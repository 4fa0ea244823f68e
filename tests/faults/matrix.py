"""The fault matrix: every call of every operation, times every fault that can befall it.

    python -m tests.faults.matrix                       runs all of it, and compares it with specs/fault-matrix.md
    python -m tests.faults.matrix --write open close    runs two operations, and writes their tables there

CI runs every row with every fault too, but of calls that are alike only two: the last, and one that is drawn.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path
from random import Random
from typing import Final

from exequatur_log.storage.place import Postgres
from tests.faults import cuts, logs, publishing, table, witnesses
from tests.faults.nursery import Nursery
from tests.faults.seam import SeamTrial
from tests.faults.trial import Found, Operation, Trial
from tests.support.postgres import Server
from tests.support.proxy import Proxy

# What is broken below the log's feet: calls of the system, by operation; calls of the driver; the wire.
OPERATIONS: Final[dict[str, Operation]] = {
    operation.name: operation for operation in (*logs.operations(), *publishing.operations(), *witnesses.operations())
}
DRIVER: Final = "driver"
WIRE: Final = "wire"
NAMES: Final = (*OPERATIONS, DRIVER, WIRE)


def run(operation: Operation, nursery: Nursery, folder: Path, draw: Random | None = None) -> Found:
    """Return what became of an operation on a disk that fails, all of it unless ``draw`` chooses."""
    trial = Trial(operation, nursery, folder / "trial")
    return trial.run(trial.cases(draw))


def run_driver(server: Server, nursery: Nursery) -> Found:
    """Return what became of batches when the driver of PostgreSQL failed."""
    return SeamTrial(server.database(), nursery).run()


def run_wire(server: Server) -> Found:
    """Return what became of batches when the connection to PostgreSQL was cut."""
    place = server.database()
    with Proxy(server.port) as proxy:
        return cuts.run(place, Postgres(place.url.replace(f":{server.port}/", f":{proxy.port}/")), proxy)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        # Root's server runs as somebody else.
        Path(folder).chmod(0o755)
        yield Path(folder)


def _run(name: str) -> tuple[str, Found]:
    begun = time.monotonic()
    with _folder() as folder, Nursery(folder) as nursery:
        if name in OPERATIONS:
            found = run(OPERATIONS[name], nursery, folder)
        else:
            server = Server(folder)
            try:
                found = run_wire(server) if name == WIRE else run_driver(server, nursery)
            finally:
                server.stop()
    print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return name, found


def main() -> int:
    """Run everything, and write or compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the tables of specs/fault-matrix.md again")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="OPERATION", help="only these operations")
    given = parser.parse_args()
    with ThreadPool(2) as pool:
        found = dict(pool.map(_run, given.names or NAMES, chunksize=1))
    if given.write:
        table.PAGE.write_text(table.replace(table.PAGE.read_text(), found))
        return 0
    written = table.published()
    differing = [name for name in found if found[name] != written.get(name)]
    for name in differing:
        print(f"{name} is not as published:\n{table.render(found[name])}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
