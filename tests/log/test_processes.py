"""Several processes, one file: they take turns, and a killed one loses nothing that it acknowledged."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from exequatur_log.blocking import check_file
from exequatur_log.errors import FatalLogError
from exequatur_log.log import Log
from exequatur_log.storage.place import Place
from exequatur_verifier import merkle
from tests.data import ROOT
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW, check_receipt

# Each acknowledged registration is a line: index, the statement, the receipt.
WORKER = """
import sys
from exequatur_log.storage import place
from tests.log import scene
with scene.reopen(place.parse(sys.argv[1])) as log:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[2])):
        entry = scene.request(f"urn:scene:worker:{sys.argv[3]}:{number}")
        answer = log.register(entry)
        print(answer.leaf_index, entry.hex(), answer.receipt.hex(), flush=True)
"""


def start(place: Place, times: int, name: str) -> subprocess.Popen[str]:
    packages = [str(ROOT), *(str(ROOT / part) for part in ("verifier", "log"))]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, scene.spelled(place), str(times), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def acknowledged(output: str) -> dict[int, tuple[bytes, bytes]]:
    lines = (line.split() for line in output.splitlines() if line.count(" ") == 2)
    return {int(index): (bytes.fromhex(entry), bytes.fromhex(receipt)) for index, entry, receipt in lines}


def test_two_processes_append_to_one_log(path: Path) -> None:
    # L-13 L-37
    with scene.create(path) as log:
        workers = [start(path, 20, name) for name in ("one", "two")]
        for worker in workers:
            assert worker.stdin is not None
            print(file=worker.stdin, flush=True)
        mine = [log.register(scene.request()).leaf_index for _ in range(10)]
        outputs = [worker.communicate()[0] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0]
        answered = {**acknowledged(outputs[0]), **acknowledged(outputs[1])}
        assert sorted([*mine, *answered]) == list(range(4, 54))
        for index, (entry, receipt) in answered.items():
            check_receipt(receipt, entry, index)
            assert log.receipt(index) == receipt
            assert log.register(entry).receipt == receipt
        sizes = [head.size for head in log.heads()]
        roots = {size: log.root(size) for size in sizes}
        for size1, size2 in pairwise(sizes):
            merkle.check_consistency(size1, size2, roots[size1], roots[size2], log.consistency(size1, size2))
    assert check_file(path) == []


def test_a_killed_process_loses_nothing_it_acknowledged(path: Path) -> None:
    # L-11
    scene.create(path).close()
    answered: dict[int, tuple[bytes, bytes]] = {}
    for lines in (1, 3, 8):
        worker = start(path, 1000, f"killed {lines}")
        assert worker.stdin is not None
        assert worker.stdout is not None
        print(file=worker.stdin, flush=True)
        seen = "".join(worker.stdout.readline() for _ in range(lines))
        worker.send_signal(signal.SIGKILL)
        rest, _ = worker.communicate()
        answered |= acknowledged(seen + rest.rpartition("\n")[0])
    assert check_file(path) == []
    with scene.reopen(path) as log:
        assert log.head().size >= 4 + len(answered)
        for index, (entry, receipt) in answered.items():
            assert log.get(index).statement == entry
            assert log.receipt(index) == receipt
        assert log.register(scene.request()).fresh


def test_a_process_that_sees_a_fork_stops(path: Path, tmp_path: Path) -> None:
    """Another copy of the log takes the file's place, well signed and larger, but not an extension."""
    # L-16
    scene.create(path).close()
    other = tmp_path / "other.db"
    other.write_bytes(path.read_bytes())

    async def run() -> None:
        async with await Log.open(path, KEYS, clock=lambda: NOW) as log:
            await log.register(scene.request())
            async with await Log.open(other, KEYS, clock=lambda: NOW) as fork:
                await fork.register_many([scene.request() for _ in range(5)])

            def replace(connection: sqlite3.Connection) -> None:
                connection.execute("ATTACH ? AS other", (str(other),))
                for table in ("entries", "tiles", "heads", "head"):
                    connection.execute(f"DELETE FROM {table}")
                    connection.execute(f"INSERT INTO {table} SELECT * FROM other.{table}")

            damage.apply(path, replace)
            with pytest.raises(FatalLogError, match="extend"):
                await log.register(scene.request())

    asyncio.run(run())
