"""Group commit: who waits together is committed together, nobody early, and a retry gets its first receipt."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from exequatur_log import batch, sequencer, tree
from exequatur_log.batch import Answer
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Conflict, FatalLogError, Refused, StorageError
from exequatur_log.fsck import fsck
from exequatur_log.intake import Checked, Intake
from exequatur_log.log import Log
from exequatur_log.storage import writer
from exequatur_log.storage.connection import Connection
from exequatur_log.storage.place import Place
from exequatur_verifier import cose
from tests.log import damage, scene
from tests.log.scene import KEYS, NOW, check_receipt

# FIPS 186-5: the order of the group of P-256.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def on_a_log(place: Place, work: Callable[[Log, Time], Awaitable[None]]) -> None:
    """Run ``work`` on a fresh log with the scene's issuers, then check the whole of it."""

    async def run() -> None:
        time = Time()
        async with await Log.create(place, scene.genesis(), KEYS, clock=time) as log:
            await log.register_many(scene.enrolments())
            await work(log, time)
        assert await fsck(place) == []

    asyncio.run(run())


def malleated(entry: bytes) -> bytes:
    """Return the same record under the other valid signature, (r, n - s)."""
    message = cose.decode(entry)
    r, s = message.signature[:32], int.from_bytes(message.signature[32:], "big")
    return cose.assemble(message.protected, message.payload, r + (ORDER - s).to_bytes(32, "big"))


def registered(answers: Sequence[Answer]) -> list[Registered]:
    assert all(isinstance(answer, Registered) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Registered)]


def test_callers_at_once_get_contiguous_indices_and_share_heads(place: Place) -> None:
    # L-11 L-14
    async def work(log: Log, _: Time) -> None:
        entries = [scene.request() for _ in range(200)]
        answers = await asyncio.gather(*(log.register(entry) for entry in entries))
        assert sorted(answer.leaf_index for answer in answers) == list(range(4, 204))
        for entry, answer in zip(entries, answers, strict=True):
            check_receipt(answer.receipt, entry, answer.leaf_index)
            assert answer.fresh
            assert await log.receipt(answer.leaf_index) == answer.receipt
        assert len(await log.heads(after=4)) < 20

    on_a_log(place, work)


def test_one_head_signs_one_batch(place: Place) -> None:
    # L-15
    async def work(log: Log, _: Time) -> None:
        answers = registered(await log.register_many([scene.request() for _ in range(300)]))
        signed = {cose.decode(answer.receipt).signature for answer in answers}
        assert len(signed) == 1
        assert [head.size for head in await log.heads()] == [1, 4, 304]

    on_a_log(place, work)


def test_more_than_the_queue_holds_is_registered_in_turns(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MAX_BATCH", 32), ("MAX_WAITING", 64), ("_TICKET", 16)):
        monkeypatch.setattr(sequencer, name, most)

    async def work(log: Log, _: Time) -> None:
        entries = [scene.request() for _ in range(200)]
        both = await asyncio.gather(log.register_many(entries), log.register_many(entries[::-1]))
        assert [item.receipt for item in registered(both[0])] == [item.receipt for item in registered(both[1])][::-1]
        assert (await log.head()).size == 204
        assert len(await log.heads()) >= 2 + 200 // 32

    on_a_log(place, work)


@pytest.mark.parametrize(("most", "together"), [(sequencer._FEW, True), (1, False)])
def test_few_statements_wait_for_the_few_that_are_being_checked(
    place: Place, monkeypatch: pytest.MonkeyPatch, most: int, together: bool
) -> None:
    # specs/03 §3.2
    monkeypatch.setattr(sequencer, "_FEW", most)
    slow, quick = scene.request(), scene.request()
    begun = {slow: asyncio.Event(), quick: asyncio.Event()}
    released = {slow: asyncio.Event(), quick: asyncio.Event()}
    check = Intake.check

    async def held(self: Intake, batch: Sequence[bytes]) -> list[Checked | Refused]:
        for item in set(batch) & begun.keys():
            begun[item].set()
            await released[item].wait()
        return await check(self, batch)

    async def work(log: Log, _: Time) -> None:
        monkeypatch.setattr(Intake, "check", held)
        tasks = []
        for item in (quick, slow):
            tasks.append(asyncio.create_task(log.register(item)))
            if item is quick:
                await begun[quick].wait()
        await asyncio.sleep(0)
        released[quick].set()
        await begun[slow].wait()
        first, second = tasks
        if not together:
            await first
        released[slow].set()
        await asyncio.gather(first, second)
        assert [head.size for head in await log.heads(after=4)] == ([6] if together else [5, 6])

    on_a_log(place, work)


def test_the_same_bytes_get_the_same_receipt_for_ever(place: Place) -> None:
    # L-05 B-04
    entries = [scene.request() for _ in range(20)]
    first: list[Registered] = []

    async def work(log: Log, time: Time) -> None:
        together = await asyncio.gather(*(log.register(entry) for entry in entries for _ in range(3)))
        assert sum(answer.fresh for answer in together) == 20
        for answers in zip(*[iter(together)] * 3, strict=True):
            assert len({answer.receipt for answer in answers}) == 1
        first.extend(together[::3])
        # Neither a growing log nor the passing of all skew changes what a retry is answered.
        await log.register_many([scene.request() for _ in range(300)])
        time.now += 10**6
        again = registered(await log.register_many(entries))
        assert [answer.receipt for answer in again] == [answer.receipt for answer in first]
        assert not any(answer.fresh for answer in again)
        with pytest.raises(Refused):
            await log.register(scene.request())

    on_a_log(place, work)
    with scene.reopen(place, NOW + 10**7) as log:
        for entry, answer in zip(entries, first, strict=True):
            assert log.receipt(answer.leaf_index) == answer.receipt
            assert log.register(entry) == answer._replace(fresh=False)
            assert log.fresh_receipt(answer.leaf_index) != answer.receipt
            check_receipt(log.fresh_receipt(answer.leaf_index), entry, answer.leaf_index)


def test_the_same_record_under_another_signature_is_a_conflict(place: Place) -> None:
    # L-01 L-06 C-10
    async def work(log: Log, _: Time) -> None:
        entry, other = scene.request(), scene.request()
        assert scene.record_id(malleated(entry)) == scene.record_id(entry)
        standing = await log.register(entry)
        with pytest.raises(Conflict) as caught:
            await log.register(malleated(entry))
        assert (caught.value.code, caught.value.leaf_index) == (Code.CONFLICT, standing.leaf_index)
        assert (await log.get(standing.record_id)).statement == entry
        # Within one batch the first one stands, whichever form it has.
        one, two, three = await log.register_many([malleated(other), other, malleated(other)])
        assert isinstance(one, Registered)
        assert isinstance(two, Conflict)
        assert two.leaf_index == one.leaf_index
        assert three == one._replace(fresh=False)

    on_a_log(place, work)


def test_a_refusal_does_not_disturb_its_batch(place: Place) -> None:
    async def work(log: Log, _: Time) -> None:
        answers = await log.register_many([scene.request(), b"not a statement", scene.request()])
        assert [getattr(answer, "leaf_index", None) for answer in answers] == [4, None, 5]
        before = await log.head()
        assert isinstance((await log.register_many([b"no"]))[0], Refused)
        assert await log.head() == before

    on_a_log(place, work)


def test_a_caller_that_gives_up_does_not_disturb_the_batch(place: Place) -> None:
    async def work(log: Log, _: Time) -> None:
        entries = [scene.request() for _ in range(30)]
        tasks = [asyncio.create_task(log.register(entry)) for entry in entries]
        await asyncio.sleep(0.002)
        for task in tasks[::3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for entry, answer in zip(entries, done, strict=True):
            if not isinstance(answer, asyncio.CancelledError):
                assert isinstance(answer, Registered)
                check_receipt(answer.receipt, entry, answer.leaf_index)
        assert len(registered(await log.register_many(entries))) == 30

    on_a_log(place, work)


def test_a_deadline_that_cannot_be_met_is_refused_at_once(place: Place) -> None:
    async def work(log: Log, _: Time) -> None:
        entry = scene.request()
        with pytest.raises(Refused) as caught:
            await log.register(entry, deadline=0)
        assert caught.value.code is Code.BUSY
        assert caught.value.retry_after is not None
        assert (await log.register(entry, deadline=60)).fresh

    on_a_log(place, work)


def test_a_deadline_that_passes_in_the_queue_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(log: Log, _: Time) -> None:
        assert log._sequencer is not None
        late = log._sequencer._enqueue([scene.request()], asyncio.get_running_loop().time() - 1)
        in_time = log.register(scene.request())
        assert (await in_time).fresh
        answer = (await late)[0]
        assert isinstance(answer, Refused)
        assert answer.code is Code.BUSY

    on_a_log(place, work)


def test_a_full_queue_is_refused_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "MAX_WAITING", 4)

    async def work(log: Log, _: Time) -> None:
        answers = await asyncio.gather(*(log.register(scene.request()) for _ in range(6)), return_exceptions=True)
        codes = [answer.code for answer in answers if isinstance(answer, Refused)]
        assert codes == [Code.BUSY, Code.BUSY]

    on_a_log(place, work)


def test_closing_finishes_what_waits(place: Place) -> None:
    async def work(log: Log, _: Time) -> None:
        assert log._sequencer is not None
        tasks = [asyncio.create_task(log.register(scene.request())) for _ in range(20)]
        await asyncio.sleep(0)
        await log._sequencer.close()
        assert [answer.fresh for answer in await asyncio.gather(*tasks)] == [True] * 20
        with pytest.raises(ValueError, match="closed"):
            await log.register(scene.request())

    on_a_log(place, work)


def test_a_clock_that_fell_behind_registers_nothing_but_answers_retries(place: Place) -> None:
    # L-14
    async def work(log: Log, time: Time) -> None:
        entry = scene.request()
        first = await log.register(entry)
        time.now = NOW - 60
        behind = await log.register(scene.request())
        assert behind.fresh
        assert (await log.head()).iat == NOW
        time.now = NOW - 61
        with pytest.raises(Refused) as caught:
            await log.register(scene.request())
        assert caught.value.code is Code.CLOCK_BEHIND
        assert (await log.register(entry)).receipt == first.receipt

    on_a_log(place, work)


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
def test_an_unknown_commit_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch, *, persisted: bool) -> None:
    # L-12
    real, failures = writer.commit, [StorageError("the disk went away")]

    async def failing(connection: Connection) -> None:
        if persisted or not failures:
            await real(connection)
        if failures:
            raise failures.pop()

    async def work(log: Log, _: Time) -> None:
        await log.register_many([scene.request() for _ in range(3)])
        monkeypatch.setattr(batch, "commit", failing)
        policy, entries = scene.policy(), [scene.request() for _ in range(5)]
        answers = registered(await log.register_many([policy, *entries]))
        assert [answer.leaf_index for answer in answers] == list(range(7, 13))
        assert [answer.fresh for answer in answers] == [not persisted] * 6
        for entry, answer in zip([policy, *entries], answers, strict=True):
            check_receipt(answer.receipt, entry, answer.leaf_index)
        # What was discarded has left nothing behind: the chain of policies goes on from what stands.
        assert (await log.register(scene.policy(2, policy))).fresh

    on_a_log(place, work)


def test_a_database_that_keeps_failing_is_unavailable_and_recovers(place: Place) -> None:
    # L-12
    async def work(log: Log, _: Time) -> None:
        await log.register(scene.request())
        damage.execute(place, "ALTER TABLE heads RENAME TO broken")
        entry = scene.request()
        with pytest.raises(Refused) as caught:
            await log.register(entry)
        assert caught.value.code is Code.UNAVAILABLE
        damage.execute(place, "ALTER TABLE broken RENAME TO heads")
        assert (await log.register(entry)).leaf_index == 5

    on_a_log(place, work)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE head SET root = (SELECT leaf_hash FROM entries WHERE leaf_index = 0)",
        "UPDATE head SET signature = substr(note, 1, 64)",
        "UPDATE head SET edge = (SELECT leaf_hash FROM entries WHERE leaf_index = 0)",
        "UPDATE head SET size = 3",
        "UPDATE head SET size = 5, edge = (SELECT substr(hashes, 1, 64) FROM tiles WHERE level = 0)",
        "DELETE FROM head",
    ],
)
def test_a_head_that_is_not_the_one_seen_stops_the_log(place: Place, change: str) -> None:
    # L-16
    async def run() -> None:
        async with await Log.create(place, scene.genesis(), KEYS, clock=lambda: NOW) as log:
            await log.register_many(scene.enrolments())
            damage.meddle(place, change)
            waiting = [log.register(scene.request()) for _ in range(3)]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(answer, FatalLogError) for answer in answers), answers
            with pytest.raises(FatalLogError):
                await log.register(scene.request())

    asyncio.run(run())


def test_a_proof_that_does_not_hold_is_never_answered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # L-11
    async def run() -> None:
        async with await Log.create(place, scene.genesis(), KEYS, clock=lambda: NOW) as log:
            await log.register_many(scene.enrolments())
            monkeypatch.setattr(tree, "path", lambda *_: [bytes(32)] * 3)
            with pytest.raises(FatalLogError):
                await log.register(scene.request())
            assert (await log.head()).size == 4

    asyncio.run(run())


def test_reading_needs_no_keys_and_cannot_register(place: Place) -> None:
    scene.create(place).close()

    async def run() -> None:
        async with await Log.open(place) as log:
            assert (await log.head()).size == 4
            with pytest.raises(ValueError, match="reading"):
                await log.register(scene.request())

    asyncio.run(run())
