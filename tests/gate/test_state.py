"""The state: made once, opened only when it is whole, this key's and not behind; every refusal provoked in the file."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exequatur_gate import locks, memory, tables
from exequatur_gate.state import State, StateUnavailableError, lock_path
from exequatur_verifier.bundle import Stapled
from exequatur_verifier.memory import Clock, KnownHead, KnownPolicy
from exequatur_verifier.verdict import Code, Evidence, Learned
from tests.support import world
from tests.support.world import NOW

KEY = b"k" * 32
TRUST = b"t" * 32


def head(size: int, iat: int, root: bytes = b"r" * 32, note: bytes | None = None) -> KnownHead:
    return KnownHead("log.example/a", size, root, iat, b"protected", b"signature %d" % size, TRUST, note)


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "state.db")
    State.create(path, KEY, [head(10, NOW - 50)]).close()
    return path


@pytest.fixture
def state(path: str) -> Iterator[State]:
    state = State.open(path, KEY)
    yield state
    state.close()


def learn(state: State, *heads: KnownHead, clock: Clock | None = None, proofs: tuple[Stapled, ...] = ()) -> None:
    with state.transaction() as transaction:
        memory.remember(transaction, Learned(heads, NOW, None, clock or Clock(NOW)), proofs)


def sql(path: str, *commands: str) -> None:
    connection = sqlite3.connect(path)
    for command in commands:
        connection.execute(command)
    connection.commit()
    connection.close()


def test_enrolment_is_remembered(state: State) -> None:
    # G-02
    known, proofs = state.recall()
    assert known.heads == {"log.example/a": head(10, NOW - 50)}
    assert (known.generation, known.floor, known.policies, known.forked, proofs) == (0, NOW - 50, {}, frozenset(), ())
    assert state.last_seq == 0


def test_state_is_for_its_owner_alone(path: str, state: State) -> None:
    learn(state, head(11, NOW))
    for name in (path, path + "-wal", path + "-shm", lock_path(path)):
        assert Path(name).stat().st_mode & 0o777 == 0o600, name


def test_every_commit_is_synchronous_and_in_the_write_ahead_log(state: State) -> None:
    read = state._connection.execute
    assert read("PRAGMA synchronous").fetchone() == (2,)
    assert read("PRAGMA journal_mode").fetchone() == ("wal",)


def test_enrolment_never_overwrites(path: str) -> None:
    with pytest.raises(FileExistsError):
        State.create(path, KEY, [])
    State.open(path, KEY).close()


def remove(path: str) -> None:
    Path(path).unlink()


def remove_lock(path: str) -> None:
    Path(lock_path(path)).unlink()


def empty(path: str) -> None:
    os.truncate(path, 0)


def cut(path: str) -> None:
    os.truncate(path, 8192)


def scribble(path: str) -> None:
    """Overwrite the middle of every page but the first, where the schema is."""
    with Path(path).open("r+b") as file:
        for offset in range(4096, Path(path).stat().st_size, 4096):
            file.seek(offset)
            file.write(b"\xff" * 200)


def forget_memory(path: str) -> None:
    sql(path, "DELETE FROM memory")


def forget_chain(path: str) -> None:
    sql(path, "DELETE FROM chain")


def drop_reservations(path: str) -> None:
    sql(path, "DROP TABLE reservations")


def raise_version(path: str) -> None:
    sql(path, "PRAGMA user_version = 3")


def be_another_file(path: str) -> None:
    sql(path, "PRAGMA application_id = 1")


def be_another_keys(path: str) -> None:
    sql(path, "UPDATE identity SET runtime = zeroblob(32)")


def be_no_database(path: str) -> None:
    with Path(path).open("r+b") as file:
        file.write(b"this is no database, whatever it was")


@pytest.mark.parametrize(
    "damage",
    [
        remove,
        remove_lock,
        empty,
        cut,
        scribble,
        forget_memory,
        forget_chain,
        drop_reservations,
        raise_version,
        be_another_file,
        be_another_keys,
        be_no_database,
    ],
)
def test_damaged_state_is_unavailable_and_not_made_anew(path: str, damage: Callable[[str], None]) -> None:
    # G-02
    damage(path)
    existed = Path(path).exists()
    with pytest.raises(StateUnavailableError) as refusal:
        State.open(path, KEY)
    assert refusal.value.code is Code.STATE_UNAVAILABLE
    assert Path(path).exists() == existed


def test_another_key_is_refused(path: str) -> None:
    # G-02
    with pytest.raises(StateUnavailableError, match="belongs to the key"):
        State.open(path, b"x" * 32)


def test_interrupted_enrolment_is_no_state(tmp_path: Path) -> None:
    # G-02
    path = str(tmp_path / "state.db")
    (tmp_path / "state.db").touch()
    locks.create(lock_path(path))
    with pytest.raises(StateUnavailableError, match="never whole"):
        State.open(path, KEY)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A state of version 1, with a policy in its memory."""
    path = str(tmp_path / "state.db")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(Path(__file__).with_name("state1.sql").read_text())
        connection.execute("INSERT INTO identity VALUES (1, ?, ?)", (KEY, bytes(16)))
        connection.execute("INSERT INTO chain VALUES (1, 7, ?)", (bytes(32),))
        connection.execute("INSERT INTO memory VALUES (1, 3, ?, 0, '', 0)", (NOW,))
        connection.execute("INSERT INTO policies VALUES (?, ?, 'urn:x:set', 4, ?)", (b"p" * 32, b"o" * 32, NOW))
        connection.execute("PRAGMA application_id = 1163412817")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    locks.create(lock_path(path))
    return path


def test_state_of_an_earlier_version_is_taken_over_whole(old: str) -> None:
    # G-04
    for _ in range(2):
        state = State.open(old, KEY)
        remembered, _ = state.recall()
        assert (remembered.generation, remembered.floor, state.last_seq) == (3, NOW, 7)
        assert remembered.policies == {b"p" * 32: KnownPolicy(b"p" * 32, b"o" * 32, "urn:x:set", 4, NOW, 0)}
        assert remembered.statuses == {}
        state.close()


def test_upgrade_that_is_interrupted_leaves_the_state_as_it_was(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # G-04
    monkeypatch.setitem(tables.UPGRADES, 1, (tables.UPGRADES[1][0], "CREATE TABLE nonsense ("))
    with pytest.raises(StateUnavailableError):
        State.open(old, KEY)
    monkeypatch.undo()
    state = State.open(old, KEY)
    assert state.recall()[0].policies[b"p" * 32].approvals == 0
    state.close()


def test_newest_version_of_a_status_list_is_remembered(state: State) -> None:
    # G-03
    for version, newest in ((3, 3), (2, 3), (5, 5)):
        with state.transaction() as transaction:
            memory.remember(transaction, Learned((), NOW, statuses=(("urn:x:list", version),)), ())
        assert state.recall()[0].statuses == {"urn:x:list": newest}


def test_old_copy_is_behind_what_the_key_signed(state: State) -> None:
    # G-02
    state.check_not_behind(0)
    with pytest.raises(StateUnavailableError, match="old copy"):
        state.check_not_behind(1)


def test_whole_file_is_checked_on_request(path: str) -> None:
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'proofs'").fetchone()
    connection.close()
    state = State.open(path, KEY)
    state.check()
    state.close()
    with Path(path).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    state = State.open(path, KEY)
    with pytest.raises(StateUnavailableError, match="damaged"):
        state.check()
    state.close()


def test_error_inside_a_transaction_undoes_it(state: State) -> None:
    # G-12
    def fail() -> None:
        with state.transaction() as transaction:
            memory.remember(transaction, Learned((head(11, NOW),), NOW), ())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state.recall()[0].heads["log.example/a"].size == 10
    learn(state, head(11, NOW))
    assert state.recall()[0].heads["log.example/a"].size == 11


def test_error_of_the_database_is_unavailability(state: State) -> None:
    with pytest.raises(StateUnavailableError), state.transaction() as transaction:
        transaction.execute("SELECT * FROM nothing")
    state._connection.execute("DROP TABLE heads")
    with pytest.raises(StateUnavailableError):
        state.recall()


def test_waiting_for_others_ends(path: str, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exequatur_gate.state._PATIENCE_S", 0.05)
    other = State.open(path, KEY)
    with other.transaction(), pytest.raises(StateUnavailableError, match="in use"), state.transaction():
        raise AssertionError
    with state.transaction():
        pass
    other.close()


def test_writers_take_turns(path: str) -> None:
    def count_up() -> None:
        own = State.open(path, KEY)
        for _ in range(20):
            learn(own)
        own.close()

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = State.open(path, KEY)
    assert state.recall()[0].generation == 80
    state.close()


def test_largest_head_is_remembered(state: State) -> None:
    learn(state, head(9, NOW - 60))
    assert state.recall()[0].heads["log.example/a"].size == 10
    learn(state, head(12, NOW))
    assert state.recall()[0].heads["log.example/a"] == head(12, NOW)


def test_latest_signature_of_one_size_is_remembered(state: State) -> None:
    learn(state, head(10, NOW))
    assert state.recall()[0].heads["log.example/a"].iat == NOW
    learn(state, head(10, NOW - 1))
    assert state.recall()[0].heads["log.example/a"].iat == NOW


def test_same_head_without_its_note_does_not_replace_the_one_with_it(state: State) -> None:
    learn(state, head(10, NOW - 50, note=b"note"))
    learn(state, head(10, NOW - 50))
    assert state.recall()[0].heads["log.example/a"].note == b"note"
    learn(state, head(10, NOW - 50)._replace(trust=b"u" * 32))
    assert state.recall()[0].heads["log.example/a"].trust == b"u" * 32


def test_floor_never_sinks_and_no_clock_raises_it(state: State) -> None:
    # G-03
    learn(state, clock=Clock(NOW + 1000))
    assert state.recall()[0].floor == NOW
    with state.transaction() as transaction:
        memory.remember(transaction, Learned((), NOW - 30, None, Clock(NOW)), ())
    assert state.recall()[0].floor == NOW
    assert state.recall()[0].clock.unix == NOW + 1000


def test_clock_cannot_lose_a_little_at_every_admission(state: State) -> None:
    # In each step the boot clock goes 50 s, and wall time stands: against the last step that is within 60 s.
    for uptime in (100, 150, 200):
        learn(state, clock=Clock(NOW, "boot", uptime))
    known = state.recall()[0].clock
    assert (200 - known.uptime) - (NOW - known.unix) == 99
    learn(state, clock=Clock(NOW + 10, "next boot", 5))
    assert state.recall()[0].clock == (NOW + 10, "next boot", 6)


def test_newest_epoch_of_a_policy_set_is_kept(state: State) -> None:
    def put(name: bytes, owner: bytes, epoch: int) -> None:
        with state.transaction() as transaction:
            policy = KnownPolicy(name * 32, owner * 32, "urn:a", epoch, NOW)
            memory.remember(transaction, Learned((), NOW, policy), ())

    put(b"1", b"o", 1)
    put(b"2", b"o", 2)
    put(b"3", b"p", 1)
    assert state.recall()[0].policies.keys() == {b"2" * 32, b"3" * 32}


def test_proofs_to_the_largest_head_are_kept_while_it_is_the_largest(state: State) -> None:
    stapled = tuple(Stapled("log.example/a", size, b"s" * 32, (b"p" * 32, b"q" * 32)) for size in (3, 5))
    learn(state, head(12, NOW), proofs=stapled)
    proofs = state.recall()[1]
    assert {(proof.size1, proof.size2) for proof in proofs} == {(3, 12), (5, 12)}
    assert proofs[0].path == (b"p" * 32, b"q" * 32)
    assert proofs[0].root2 == head(12, NOW).root
    learn(state, head(11, NOW), proofs=stapled)
    assert {proof.size2 for proof in state.recall()[1]} == {12}
    learn(state, head(13, NOW), proofs=(stapled[0]._replace(origin="log.example/b"),))
    assert state.recall()[1] == ()


def test_number_of_proofs_kept_is_bounded(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_PROOFS", 2)
    learn(state, head(12, NOW), proofs=tuple(Stapled("log.example/a", size, b"s" * 32, ()) for size in range(1, 8)))
    assert {proof.size1 for proof in state.recall()[1]} == {6, 7}


def test_evidence_of_a_fork_is_kept_and_the_first_stays(state: State) -> None:
    # G-04
    first = Evidence(head(10, NOW - 50), head(10, NOW, b"x" * 32))
    second = Evidence(head(10, NOW - 50), head(10, NOW, b"y" * 32))
    for evidence in (first, second):
        with state.transaction() as transaction:
            memory.remember_fork(transaction, evidence)
    assert state.recall()[0].forked == {"log.example/a"}
    assert state.recall()[0].generation == 2
    with state.transaction() as transaction:
        assert memory.load_forks(transaction) == {"log.example/a": first}


def test_locks_exclude_each_other_byte_by_byte(path: str) -> None:
    one, other, elsewhere = (locks.Lock(lock_path(path), byte) for byte in (7, 7, 8))
    assert one.take()
    assert not other.take()
    assert elsewhere.take()
    one.release()
    assert other.take()
    other.close()
    other.close()
    assert one.take()
    one.close()
    elsewhere.close()


def test_path_with_odd_characters_is_taken_literally(tmp_path: Path) -> None:
    path = str(tmp_path / "a?b#c%41.db")
    State.create(path, KEY, [world.new_log().known_head(NOW, TRUST)]).close()
    State.open(path, KEY).close()
    assert Path(path).exists()
