"""Many frontends, one database, no leader; a server that dies under them; a database that is not the one it was."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from exequatur_log import startup
from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, FatalLogError, LogError, Refused, StorageError
from exequatur_log.head import Identity
from exequatur_log.log import Log
from exequatur_log.storage import proofs
from exequatur_log.storage.connection import Connection
from exequatur_log.storage.place import Postgres
from exequatur_log.tree import Span
from exequatur_verifier import merkle
from tests.log import scene
from tests.log.scene import KEYS, NOW, check_receipt
from tests.log.test_processes import acknowledged, start
from tests.support.postgres import Server, name_of, query

Answered = dict[int, tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be killed."""
    running = Server(tmp_path_factory.mktemp("mortal"))
    yield running
    running.stop()


def check_whole(place: Postgres, answered: Answered, size: int | None = None) -> None:
    """Check that the log is one history, and that everything that was acknowledged stands in it, byte for byte."""
    assert check_file(place) == []
    with scene.reopen(place) as log:
        heads = list(log.heads(limit=10_000))
        assert size is None or heads[-1].size == size
        for one, two in pairwise(heads):
            merkle.check_consistency(one.size, two.size, one.root, two.root, log.consistency(one.size, two.size))
        standing = {entry.leaf_index: entry.statement for entry in log.entries()}
        for index, (entry, receipt) in answered.items():
            check_receipt(receipt, entry, index)
            assert standing[index] == entry
        again = log.register_many([entry for entry, _ in answered.values()])
        assert [getattr(answer, "receipt", None) for answer in again] == [receipt for _, receipt in answered.values()]


def test_two_frontends_append_to_one_database(server: Server) -> None:
    # L-13 L-42
    place = server.database()
    scene.create(place).close()
    answered: Answered = {}

    async def work(log: Log) -> None:
        for count in (1, 7, 40, 1, 90, 1):
            entries = [scene.request() for _ in range(count)]
            for entry, answer in zip(entries, await log.register_many(entries), strict=True):
                assert isinstance(answer, Registered)
                assert answered.setdefault(answer.leaf_index, (entry, answer.receipt))[0] == entry

    async def run() -> None:
        logs = [await Log.open(place, KEYS, clock=lambda: NOW) for _ in range(2)]
        await asyncio.gather(*(work(log) for log in logs for _ in range(2)))
        # The same statement at once through both stands once.
        entry = scene.request()
        one, two = await asyncio.gather(*(log.register(entry) for log in logs))
        assert one.receipt == two.receipt
        assert one.fresh != two.fresh
        for log in logs:
            await log.close()

    asyncio.run(run())
    assert sorted(answered) == list(range(4, 564))
    check_whole(place, answered, 565)


def test_two_processes_append_to_one_database(server: Server) -> None:
    # L-42
    place = server.database()
    scene.create(place).close()
    workers = [start(place, 25, name) for name in ("one", "two")]
    for worker in workers:
        assert worker.stdin is not None
        print(file=worker.stdin, flush=True)
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    answered = {**acknowledged(outputs[0]), **acknowledged(outputs[1])}
    assert sorted(answered) == list(range(4, 54))
    check_whole(place, answered, 54)


def test_a_server_that_is_killed_loses_nothing_it_acknowledged(mortal: Server) -> None:
    # L-11 L-12
    place = mortal.database()
    scene.create(place).close()
    answered: Answered = {}
    unavailable = 0

    async def work(log: Log, done: asyncio.Event) -> None:
        """Register until it is told to stop, each statement until it stands."""
        nonlocal unavailable
        while not done.is_set():
            entry = scene.request()
            while True:
                (answer,) = await log.register_many([entry])
                if isinstance(answer, Registered):
                    answered[answer.leaf_index] = (entry, answer.receipt)
                    break
                assert answer.code is Code.UNAVAILABLE
                unavailable += 1
                await asyncio.sleep(0.02)

    async def read(log: Log, done: asyncio.Event) -> None:
        """Read until it is told to stop; while there is no server there is no answer either."""
        while not done.is_set():
            known = max(answered, default=3)
            with suppress(StorageError):
                assert (await log.head()).size > known
            await asyncio.sleep(0.01)

    async def more() -> None:
        wanted = len(answered) + 20
        while len(answered) < wanted:  # noqa: ASYNC110  (whoever registers should not know who counts)
            await asyncio.sleep(0.01)

    async def run() -> None:
        done = asyncio.Event()
        logs = [await Log.open(place, KEYS, clock=lambda: NOW) for _ in range(2)]
        tasks = [asyncio.create_task(work(log, done)) for log in logs for _ in range(4)]
        tasks += [asyncio.create_task(read(log, done)) for log in logs]
        for end in (mortal.kill, mortal.kill, mortal.stop):
            await more()
            await asyncio.to_thread(end)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(mortal.start)
        await more()
        done.set()
        await asyncio.gather(*tasks)
        for log in logs:
            log.check()
            await log.close()

    asyncio.run(run())
    assert unavailable > 0
    check_whole(place, answered)


def test_a_connection_that_is_lost_says_nothing_against_the_log(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the head of another frontend is compared with the one seen last, and not while signatures are."""
    # L-12
    place = server.database()
    name, admin, cut = name_of(place), server.place("postgres"), [True]

    async def losing(connection: Connection, spans: Collection[Span]) -> tuple[bytes, ...]:
        if cut and cut.pop():
            query(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return await hashes(connection, spans)

    hashes = proofs.hashes
    with scene.create(place) as log, scene.reopen(place) as other:
        assert other.register(scene.request()).fresh
        monkeypatch.setattr(proofs, "hashes", losing)
        assert log.register(scene.request()).leaf_index == 5
        assert cut == []
        monkeypatch.undo()
        in_force = startup.in_force

        async def lost(connection: Connection, identity: Identity) -> Identity:
            query(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            return await in_force(connection, identity)

        monkeypatch.setattr("exequatur_log.log.in_force", lost)
        with pytest.raises(StorageError):
            log.run(lambda opened: opened.checked_head())
        monkeypatch.undo()
        assert log.run(lambda opened: opened.checked_head()).size == 6
    check_whole(place, {}, 6)


def test_a_database_that_was_restored_from_an_older_copy_stops_the_log(server: Server) -> None:
    # L-16
    place = server.database()
    scene.create(place).close()
    older = server.database(place)
    with scene.reopen(place) as log:
        assert log.register(scene.request()).fresh
        name, admin = name_of(place), server.place("postgres")
        query(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        query(admin, f"ALTER DATABASE {name} RENAME TO {name}_lost")
        query(admin, f"ALTER DATABASE {name_of(older)} RENAME TO {name}")
        with pytest.raises(FatalLogError, match="older copy"):
            log.register(scene.request())
        with pytest.raises(FatalLogError, match="older copy"):
            log.register(scene.request())


def test_a_database_that_holds_a_fork_stops_the_log(server: Server) -> None:
    # L-16
    place = server.database()
    scene.create(place).close()
    fork = server.database(place)
    with scene.reopen(fork) as log:
        log.register_many([scene.request() for _ in range(5)])
    with scene.reopen(place) as log:
        assert log.register(scene.request()).fresh
        name, admin = name_of(place), server.place("postgres")
        query(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        query(admin, f"ALTER DATABASE {name} RENAME TO {name}_lost")
        query(admin, f"ALTER DATABASE {name_of(fork)} RENAME TO {name}")
        with pytest.raises(FatalLogError, match="extend"):
            log.register(scene.request())


def test_a_server_that_is_away_is_unavailable_and_no_reason_to_stop(mortal: Server) -> None:
    # L-12
    place, entry = mortal.database(), scene.request()
    with scene.create(place) as log:
        mortal.stop()
        with pytest.raises(Refused) as caught:
            log.register(entry)
        assert caught.value.code is Code.UNAVAILABLE
        with pytest.raises(LogError, match="cannot be reached"):
            BlockingLog.open(place)
        mortal.start()
        assert log.register(entry).leaf_index == 4
        assert log.head().size == 5
