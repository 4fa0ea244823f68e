"""What is published of a log, served without its database, beside the log itself (specs/10 §10)."""

import asyncio
import gzip
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from exequatur_log.http import server
from exequatur_log.log import Log
from exequatur_log.publish.mirror import Mirror
from exequatur_log.publish.publisher import publish
from exequatur_log.publish.store import Store, open_store
from exequatur_verifier import note, tiles
from exequatur_verifier.tiles import Tile
from tests.http.conftest import Serve, Served
from tests.log import scene
from tests.oracles.test_oracles import ask

SIZE = 600
VKEY = note.format_key(scene.KEYS.note_key)


class Reading(NamedTuple):
    """A served store."""

    url: str
    client: httpx2.Client


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def read(target: Path) -> Iterator[Callable[[], Reading]]:
    """Serve the directory to publish to."""
    stops: list[Callable[[], None]] = []

    def start() -> Reading:
        listener = server.listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready, loop = threading.Event(), asyncio.new_event_loop()
        end: list[Callable[[], None]] = []

        def started(stop: Callable[[], None]) -> None:
            end.append(stop)
            ready.set()

        mirror = Mirror(open_store(str(target)), (scene.KEYS.note_key,))
        task = loop.create_task(server.serve_published(mirror, listener, started))
        thread = threading.Thread(target=loop.run_until_complete, args=(task,))
        thread.start()
        assert ready.wait(20)
        client = httpx2.Client(base_url=url, timeout=20)

        def stop() -> None:
            client.close()
            loop.call_soon_threadsafe(end[0])
            thread.join(30)
            assert not thread.is_alive()
            loop.close()

        stops.append(stop)
        return Reading(url, client)

    yield start
    for stop in stops:
        stop()


def publish_log(path: Path, store: Store) -> None:
    async def work() -> None:
        async with await Log.open(path) as log:
            await publish(log, store, (await log.head()).note)

    asyncio.run(work())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 600 entries and what is published of it."""
    folder = tmp_path_factory.mktemp("made")
    with scene.create(folder / "log.db") as log:
        log.register_many([scene.request() for _ in range(SIZE - 4)])
    publish_log(folder / "log.db", open_store(str(folder / "published")))
    return folder


@pytest.fixture
def both(serve: Serve, read: Callable[[], Reading], made: Path, target: Path, tmp_path: Path) -> tuple[Served, Reading]:
    """That log, served, and what is published of it, served beside it."""
    shutil.copytree(made / "published", target)
    return serve(Path(shutil.copy(made / "log.db", tmp_path / "wide.db"))), read()


def paths() -> list[str]:
    within = [*tiles.tiles_of(SIZE), Tile(0, 1, 7), Tile(0, 2, 1), Tile(1, 0, 1)]
    bundles = [tile._replace(level=None) for tile in within if tile.level == 0]
    beyond = [Tile(0, 2), Tile(0, 2, 89), Tile(0, 3, 1), Tile(1, 0, 3), Tile(2, 0, 1), Tile(None, 2, 89)]
    return [
        "/checkpoint",
        *("/" + tiles.format_path(tile) for tile in (*within, *bundles, *beyond)),
        *(f"/tile/{wrong}" for wrong in ("0/0", "0/000.p/0", "00/000", "64/000", "data/000", "")),
        *(f"/entries/{place}/{what}" for place in (0, 255, 599, 600, "x") for what in ("statement", "tlog-proof")),
        *(f"/proofs/inclusion?index={index}&size={size}" for index, size in ((0, 1), (5, 600), (599, 600), (0, 601))),
        *(f"/proofs/consistency?from={size1}&to={size2}" for size1, size2 in ((1, 600), (7, 300), (0, 1), (1, 601))),
        "/proofs/inclusion?index=0",
        "/proofs/consistency?from=1&from=2&to=3",
        "/healthz",
    ]


def test_the_published_log_answers_as_the_log_does(both: tuple[Served, Reading]) -> None:
    """S-21: the same bytes under the same names, to be kept as long; and the same refusals."""
    live, read = both
    refused = 0
    for path in paths():
        ours, theirs = read.client.get(path), live.client.get(path)
        assert ours.status_code == theirs.status_code, path
        told = [
            {name: answer.headers.get(name) for name in ("content-type", "cache-control", "vary")}
            for answer in (ours, theirs)
        ]
        assert told[0] == told[1], path
        if ours.status_code == 200:
            assert ours.content == theirs.content, path
        else:
            assert ours.status_code in {400, 404}, path
            refused += 1
    assert 10 < refused < len(paths()) - 20


def test_what_needs_the_database_is_not_there(both: tuple[Served, Reading]) -> None:
    live, read = both
    record = scene.record_id(live.client.get("/entries/4/statement").content).hex()
    for path in (
        f"/entries/{record}/statement",
        "/entries/4",
        "/entries/4/fresh",
        "/lookup",
        "/metrics",
        "/openapi.json",
    ):
        assert live.client.get(path).status_code == 200
        assert read.client.get(path).status_code == 404
    told = read.client.get(f"/entries/{record}/statement")
    assert b"by its index" in told.content
    assert told.headers["content-type"] == "application/concise-problem-details+cbor"
    assert read.client.post("/entries", content=scene.request()).status_code == 404
    assert read.client.post("/checkpoint").status_code == 405


@pytest.mark.parametrize(("accept", "coded"), [("gzip", True), ("identity", False), ("gzip;q=0", False)])
def test_bundles_are_compressed_for_those_who_accept_it(both: tuple[Served, Reading], accept: str, coded: bool) -> None:
    _, read = both
    plain = read.client.get("/tile/entries/000", headers={"accept-encoding": "identity"}).content
    with read.client.stream("GET", "/tile/entries/000", headers={"accept-encoding": accept}) as answer:
        raw = b"".join(answer.iter_raw())
        assert (answer.headers.get("content-encoding") == "gzip") is coded
    assert (gzip.decompress(raw) if coded else raw) == plain


def test_it_is_ready_once_there_is_a_checkpoint_that_holds(
    read: Callable[[], Reading], target: Path, tmp_path: Path
) -> None:
    """S-22."""
    client = read().client
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": "StoreError"})
    assert client.get("/checkpoint").status_code == client.get("/tile/0/000.p/1").status_code == 503
    assert client.get("/healthz").json() == {"alive": True}
    path = tmp_path / "log.db"
    scene.create(path).close()
    publish_log(path, open_store(str(target)))
    answer = client.get("/readyz")
    assert answer.json() == {"ready": True, "origin": scene.ORIGIN, "size": 4}
    assert answer.headers["cache-control"] == "no-store"
    good = (target / "checkpoint").read_bytes()
    (target / "checkpoint").write_bytes(good.replace(b"\n4\n", b"\n5\n"))
    answer = read().client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": "FatalLogError"})


def test_what_is_damaged_is_refused_and_no_cache_keeps_that(both: tuple[Served, Reading], target: Path) -> None:
    """S-20: what goes wrong is told to the operator, not to the caller."""
    _, read = both
    (target / "tile/0/001").write_bytes(bytes(8192))
    for path in ("/tile/0/001", "/tile/entries/001", "/entries/256/statement", "/proofs/inclusion?index=256&size=600"):
        answer = read.client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
        assert str(target).encode() not in answer.content
    assert read.client.get("/tile/0/000").status_code == 200


def audited(tiles_at: str, **request: Any) -> Any:
    return ask("aics", "audit.py", {"tiles": tiles_at, "vkey": VKEY, "origin": scene.ORIGIN, **request})


def test_an_auditor_finds_everything_in_the_files_and_over_http(both: tuple[Served, Reading], target: Path) -> None:
    """S-17, S-21: aics-tlog shares no code with us."""
    _, read = both
    places = (0, 255, 256, SIZE - 1)
    entries = {place: read.client.get(f"/entries/{place}/statement").content for place in places}
    proofs = [(read.client.get(f"/entries/{place}/tlog-proof").text, entries[place].hex()) for place in places]
    included = [*((place, entries[place].hex()) for place in places), (1, entries[0].hex())]
    for tiles_at in (str(target), read.url):
        found = audited(tiles_at, included=included, proofs=proofs)
        assert (found["ok"], found["size"], found["tiles"], found["bundles"]) == (True, SIZE, 4, 3)
        assert found["included"] == [True] * 4 + [False]
        assert found["proofs"] == [True] * 4


def test_an_auditor_finds_a_changed_byte_in_the_files(both: tuple[Served, Reading], target: Path) -> None:
    bundle = target / "tile/entries/001"
    data = bundle.read_bytes()
    assert audited(str(target))["ok"]
    bundle.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
    found = audited(str(target))
    assert (found["ok"], "tile/entries/001" in found["error"]) == (False, True)
