"""The load tool before an honest log, before one that is cut off, and before one that lies."""

import asyncio
from collections.abc import Awaitable, Callable

import cbor2
import pytest

from exequatur_log.blocking import check_file
from exequatur_log.load.client import Answer, Connection, Request, parse_url
from exequatur_log.load.report import Report
from exequatur_log.load.run import Plan, UnreachableError, load
from exequatur_log.load.violation import Code
from exequatur_verifier import statement
from exequatur_verifier.trust import TrustedLog
from tests.http.conftest import Serve, Served
from tests.log import scene
from tests.support import proxy
from tests.support.liar import Ask, Liar
from tests.support.proxy import Proxy

PLAN = Plan(seconds=1, writers=3, readers=3, batch=16, seed=7, patience=10, sample=20)
# Until the first thing that is found, which is soon.
UNTIL = PLAN._replace(seconds=20, most=1)
KEYS = scene.KEYS
LOG = TrustedLog(KEYS.iss, KEYS.origin, bytes(32), (KEYS.receipt.public_key,), (KEYS.note_key,), 300)


def loaded(
    url: str, plan: Plan = PLAN, log: TrustedLog = LOG, progress: Callable[..., None] = lambda *_: None
) -> Report:
    return asyncio.run(load(url, log, scene.request, plan, progress))


def codes(report: Report) -> set[Code]:
    return {violation.code for violation in report.violations}


async def honest(_: Request, answer: Answer, __: Ask) -> Answer:
    return answer


def test_an_honest_log_is_found_to_be_one(served: Served) -> None:
    """S-23: also by way of another server, and every kind of question was asked."""
    with Liar(served.url, honest) as liar:
        report = loaded(liar.url, PLAN._replace(seconds=2))
    assert report.to_object()["ok"]
    assert report.violations == ()
    assert report.size == 4 + report.acknowledged
    assert report.duplicates
    assert len(report.checks) == 9
    assert report.unanswered == report.disconnected == 0
    assert report.latencies["register"].answers
    assert 0 < report.latencies["register"].p50 <= report.latencies["register"].longest


def test_what_is_cut_off_is_sent_again_and_comes_back_with_its_first_receipt(served: Served) -> None:
    """S-24: the log has heard each of the requests whose answers were cut."""
    with Proxy(int(served.url.rpartition(":")[2])) as between:

        def spoil(*_: object) -> None:
            between.spoil(proxy.Plan(answered=100, times=4))

        report = loaded(f"http://127.0.0.1:{between.port}", PLAN._replace(seconds=2), progress=spoil)
        assert report.disconnected >= between.spoiled >= 8
    assert report.to_object()["ok"]
    assert report.unanswered == 0


def test_a_log_that_is_nowhere_is_unreachable(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exequatur_log.load.run._FIRST_PATIENCE", 0.2)
    served.stop()
    with pytest.raises(UnreachableError):
        loaded(served.url)


def test_keys_are_the_caller_s_and_not_the_log_s(served: Served) -> None:
    """S-23."""
    other = scene.OPERATOR.public_key
    for changed in (LOG._replace(receipt_keys=(other,)), LOG._replace(iss="https://other.example")):
        assert codes(loaded(served.url, UNTIL, changed)) == {Code.RECEIPT_INVALID}


def flipped(data: bytes, place: int = -1) -> bytes:
    place %= len(data)
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


Told = Callable[[Request, Answer, Ask], Awaitable[Answer]]


def about(target: str, change: Callable[[Answer], Answer], method: str = "GET") -> Told:
    """Return the lie that changes every answer about a target."""

    async def lie(request: Request, answer: Answer, _: Ask) -> Answer:
        told = request.method == method and target in request.target and answer.status in (200, 201)
        return change(answer) if told else answer

    return lie


def body(change: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    return lambda answer: answer._replace(body=change(answer.body))


def swapped(data: bytes) -> bytes:
    """Return the answers of a batch with the first two receipts swapped."""
    answers = cbor2.loads(data)
    if len(answers) > 1:
        answers[0]["receipt"], answers[1]["receipt"] = answers[1]["receipt"], answers[0]["receipt"]
    return cbor2.dumps(answers, canonical=True)


LIES: dict[str, tuple[Told, Code]] = {
    "a receipt": (about("/entries", body(flipped), "POST"), Code.RECEIPT_INVALID),
    "a receipt's path": (about("/entries", body(lambda data: flipped(data, 170)), "POST"), Code.RECEIPT_INVALID),
    "receipts of a batch": (about("/entries/batch", body(swapped), "POST"), Code.RECEIPT_INVALID),
    "fresh receipts": (about("/fresh", body(flipped)), Code.RECEIPT_INVALID),
    "a location": (
        about("/entries", lambda one: one._replace(headers={**one.headers, "location": "/entries/0"}), "POST"),
        Code.LOCATION_WRONG,
    ),
    "a statement": (about("/statement", body(flipped)), Code.STATEMENT_CHANGED),
    "a bundle": (about("/tile/entries/", body(flipped)), Code.STATEMENT_CHANGED),
    "a bundle that is short": (about("/tile/entries/", body(lambda _: b"")), Code.TILE_WRONG),
    "a tile": (about("/tile/0/", body(flipped)), Code.TILE_WRONG),
    "a checkpoint": (about("/checkpoint", body(lambda data: flipped(data, -9))), Code.HEAD_INVALID),
    "consistency": (about("/consistency", body(lambda _: b"\x83\x01\x02\x80")), Code.INCONSISTENT),
    "inclusion": (about("/inclusion", body(flipped)), Code.PROOF_INVALID),
    "a tlog-proof": (
        about("/tlog-proof", body(lambda data: data.replace(b"index ", b"index 1", 1))),
        Code.PROOF_INVALID,
    ),
    "a lookup": (
        about("/lookup", body(lambda _: b'{"entries": [], "complete_to": 99999, "size": 99999}')),
        Code.LOOKUP_WRONG,
    ),
    "an entry that is gone": (about("/statement", lambda one: one._replace(status=404)), Code.LOST),
    "a refusal": (about("/entries", lambda one: one._replace(status=400), "POST"), Code.REFUSED),
    "an error": (about("/entries", lambda one: one._replace(status=500), "POST"), Code.UNEXPECTED),
    "no level": (
        about(
            "/entries",
            lambda one: one._replace(headers={k: v for k, v in one.headers.items() if k != "exequatur-ack"}),
            "POST",
        ),
        Code.UNEXPECTED,
    ),
}


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_lie_is_found(served: Served, name: str) -> None:
    """S-23."""
    lie, code = LIES[name]
    with Liar(served.url, lie) as liar:
        report = loaded(liar.url, UNTIL)
    assert code in codes(report)
    assert not report.to_object()["ok"]
    (first, *_) = (one for one in report.violations if one.code == code)
    assert first.evidence


def test_a_checkpoint_that_is_shown_again_is_older(served: Served) -> None:
    """S-23: each by itself is a checkpoint of this log."""
    shown: list[bytes] = []

    async def lie(request: Request, answer: Answer, _: Ask) -> Answer:
        if request.target != "/checkpoint":
            return answer
        shown.append(answer.body)
        return answer._replace(body=shown[0] if len(shown) % 2 else answer.body)

    with Liar(served.url, lie) as liar:
        report = loaded(liar.url, UNTIL)
    assert codes(report) == {Code.HEAD_OLDER}


def test_a_duplicate_that_is_answered_with_another_receipt_is_found(served: Served) -> None:
    """S-24: both receipts are valid."""
    heard: set[bytes] = set()

    async def lie(request: Request, answer: Answer, ask: Ask) -> Answer:
        if request.target != "/entries" or answer.status != 201:
            return answer
        if request.body in heard:
            fresh = await ask(Request("GET", f"/entries/{statement.parse(request.body).id.hex()}/fresh"))
            return answer._replace(body=fresh.body)
        heard.add(request.body)
        return answer

    with Liar(served.url, lie) as liar:
        report = loaded(liar.url, UNTIL)
    assert codes(report) == {Code.RECEIPT_CHANGED}
    violation = report.violations[0]
    assert violation.evidence.keys() == {"first receipt", "receipt now"}
    assert violation.record is not None


def test_two_histories_under_the_same_keys_are_found(serve: Serve, served: Served) -> None:
    """S-23: every receipt is valid, and some contradict each other."""
    other = serve(served.path.with_name("other.db"))
    turn = iter(range(1 << 20))

    async def lie(request: Request, answer: Answer, _: Ask) -> Answer:
        if request.method == "POST" and request.target == "/entries" and next(turn) % 2:
            connection = Connection(parse_url(other.url))
            answer = await connection.send(request)
            connection.close()
        return answer

    with Liar(served.url, lie) as liar:
        report = loaded(liar.url, UNTIL)
    assert codes(report) & {Code.HEADS_DIFFER, Code.INDEX_TWICE}


def test_the_log_is_read_back_whole(served: Served) -> None:
    """S-25: nobody reads meanwhile, and what was changed is nobody's here: the genesis."""
    with Liar(served.url, about("/tile/entries/000", body(lambda data: flipped(data, 100)))) as liar:
        report = loaded(liar.url, PLAN._replace(readers=0))
    assert codes(report) == {Code.TILE_WRONG}
    assert not report.whole
    served.stop()
    assert check_file(served.path) == []
