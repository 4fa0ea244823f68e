"""Publication: rounds of cosigning and copying, and what a registration may wait for (specs/10 §9)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exequatur_log.errors import FatalLogError, NotWitnessedError
from exequatur_log.head import SignedHead
from exequatur_log.log import Log
from exequatur_log.publish.directory import DirectoryStore
from exequatur_log.publish.preparation import preparing
from exequatur_log.publish.publication import Ack, Cosigned, Publication, Shown, Steps, Witnessed
from exequatur_log.settings import Publish, Settings
from exequatur_verifier import checkpoint, note
from exequatur_verifier.keys import Algorithm
from tests.log import scene
from tests.support import world
from tests.support.world import signer

KEY = world.witness_key("w.example")
STEPS = Steps(every=0.02, renew=300)


class Witnesses:
    """A witness that cosigns whenever it is up, and counts."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0
        self.time = scene.NOW

    async def cosign(self, head: SignedHead) -> Cosigned:
        self.asked += 1
        if not self.up:
            return Cosigned(head.note, None, {"w": "down"})
        opened, parsed = checkpoint.open(head.note, [scene.KEYS.note_key]), note.parse(head.note)
        line = checkpoint.cosign(opened.checkpoint, self.time, KEY, signer("w.example", Algorithm.ED25519))
        return Cosigned(note.format(parsed.text, (*parsed.signatures, line)), self.time, {"w": "cosigned"})


@asynccontextmanager
async def publishing(
    path: Path, steps: Steps, clock: Callable[[], int] = lambda: scene.NOW
) -> AsyncIterator[tuple[Log, Publication]]:
    """Yield a log and its publication, which runs until the end."""
    async with await Log.open(path, scene.KEYS, clock=clock) as log:
        publication = Publication(log, steps, Shown(), Witnessed(), clock=clock, observe=lambda *_: None)
        running = asyncio.create_task(publication.run())
        try:
            yield log, publication
        finally:
            publication.finish()
            await running


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    scene.create(tmp_path / "log.db").close()
    return tmp_path / "log.db"


def cosigned(data: bytes) -> checkpoint.Opened:
    return checkpoint.open(data, [scene.KEYS.note_key], [KEY])


def test_without_store_and_witnesses_the_head_is_public_at_once(path: Path) -> None:
    async def work() -> None:
        async with publishing(path, STEPS) as (log, publication):
            await log.register(scene.request())
            assert publication.levels == (Ack.DURABLE,)
            assert await publication.checkpoint() == Shown(5, (await log.head()).note)

    run(work)


def test_who_waits_for_witnesses_is_told_when_a_quorum_has_cosigned(path: Path) -> None:
    """S-29, S-30."""
    witnesses = Witnesses()

    async def work() -> None:
        async with publishing(path, STEPS._replace(cosign=witnesses.cosign, every=60.0)) as (log, publication):
            entry = await log.register(scene.request())
            assert publication.levels == (Ack.DURABLE, Ack.WITNESSED)
            assert await publication.reach(Ack.WITNESSED, entry.leaf_index + 1, 10) is Ack.WITNESSED
            shown = await publication.checkpoint()
            assert cosigned(shown.note).cosigned == {KEY: scene.NOW}
            kept = await log.witnessed()
            assert kept is not None
            assert kept == (shown.size, scene.NOW, shown.note)

    run(work)


def test_nothing_is_shown_before_the_quorum_where_it_is_required(path: Path) -> None:
    """S-31."""
    witnesses = Witnesses()
    witnesses.up = False

    async def work() -> None:
        steps = STEPS._replace(cosign=witnesses.cosign, required=True)
        async with publishing(path, steps) as (log, publication):
            entry = await log.register(scene.request())
            assert await publication.reach(Ack.WITNESSED, entry.leaf_index + 1, 0.2) is Ack.DURABLE
            with pytest.raises(NotWitnessedError):
                await publication.checkpoint()
            assert publication.trouble is not None
            assert "w down" in publication.trouble
            witnesses.up = True
            assert await publication.reach(Ack.WITNESSED, entry.leaf_index + 1, 10) is Ack.WITNESSED
            assert (await publication.checkpoint()).size == entry.leaf_index + 1
            assert publication.trouble is None

    run(work)


def test_where_it_is_not_required_the_head_is_shown_without_it(path: Path) -> None:
    """S-31: the other way round."""
    witnesses = Witnesses()
    witnesses.up = False

    async def work() -> None:
        async with publishing(path, STEPS._replace(cosign=witnesses.cosign)) as (log, publication):
            entry = await log.register(scene.request())
            assert await publication.reach(Ack.WITNESSED, entry.leaf_index + 1, 0.3) is Ack.DURABLE
            shown = await publication.checkpoint()
            assert (shown.size, cosigned(shown.note).cosigned) == (entry.leaf_index + 1, {})

    run(work)


def test_a_head_that_stays_the_newest_is_cosigned_again(path: Path) -> None:
    witnesses = Witnesses()
    now = [scene.NOW]

    async def work() -> None:
        steps = STEPS._replace(cosign=witnesses.cosign)
        async with publishing(path, steps, clock=lambda: now[0]) as (log, publication):
            assert await publication.reach(Ack.WITNESSED, 4, 10) is Ack.WITNESSED
            await asyncio.sleep(0.2)
            assert witnesses.asked == 1
            now[0] += 300
            witnesses.time = now[0]
            # There is no fifth entry; what is waited for is a round.
            assert await publication.reach(Ack.WITNESSED, 5, 0.3) is Ack.DURABLE
            kept = await log.witnessed(4)
            assert kept is not None
            assert kept.time == now[0]

    run(work)


def test_a_store_has_what_was_registered_before_the_end(path: Path, tmp_path: Path) -> None:
    """S-15: stopping publishes what was taken."""

    async def work() -> None:
        settings = Settings(publish=Publish("public", every=60))
        async with await Log.open(path, scene.KEYS, clock=lambda: scene.NOW) as log:
            async with preparing(settings, tmp_path, lambda: scene.NOW)(log) as prepared:
                publication = Publication(log, *prepared, clock=lambda: scene.NOW, observe=lambda *_: None)
                running = asyncio.create_task(publication.run())
                await asyncio.sleep(0)
                await log.register(scene.request())
                publication.finish()
                await running
            head = await log.head()
        assert await DirectoryStore(tmp_path / "public").get("checkpoint") == head.note

    run(work)


def test_what_contradicts_the_published_history_stops_the_log(path: Path, tmp_path: Path) -> None:
    """S-32."""

    async def work() -> None:
        settings = Settings(publish=Publish("public"))
        async with (
            await Log.open(path, scene.KEYS, clock=lambda: scene.NOW) as log,
            preparing(settings, tmp_path, lambda: scene.NOW)(log) as prepared,
        ):
            steps = prepared.steps._replace(every=0.02)
            publication = Publication(
                log, steps, Shown(), Witnessed(), clock=lambda: scene.NOW, observe=lambda *_: None
            )
            running = asyncio.create_task(publication.run())
            assert await publication.reach(Ack.PUBLISHED, 4, 10) is Ack.PUBLISHED
            # Somebody else writes where the next partial tile of this log belongs.
            place = tmp_path / "public" / "tile" / "0" / "000.p"
            (place / "5").write_bytes(bytes(160))
            entry = await log.register(scene.request())
            assert await publication.reach(Ack.PUBLISHED, entry.leaf_index + 1, 10) is Ack.DURABLE
            await running
            assert "was published" in (publication.trouble or "") or "is published" in (publication.trouble or "")
            with pytest.raises(FatalLogError):
                await log.register(scene.request())

    run(work)


def test_an_unforeseen_error_stops_the_log_too(path: Path) -> None:
    """S-32."""

    async def broken(_: SignedHead) -> Cosigned:
        raise RuntimeError("a bug")

    async def work() -> None:
        async with publishing(path, STEPS._replace(cosign=broken)) as (log, publication):
            assert await publication.reach(Ack.WITNESSED, 4, 10) is Ack.DURABLE
            with pytest.raises(FatalLogError, match="a bug"):
                await log.register(scene.request())

    run(work)
