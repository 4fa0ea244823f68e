"""Asking witnesses: all at once, from the size that each knows, and believing only what the kernel finds to hold.

Everything here goes over sockets: our own witness, served, and servers that are down, slow, or lie.
"""

import asyncio
import socket
import time
from collections.abc import Sequence

import pytest

from exequatur_log.errors import NotFoundError, StorageError
from exequatur_log.witness import wire
from exequatur_log.witness.client import Witnesses, gather
from exequatur_log.witness.conversation import OLDEST_S, Prove
from exequatur_log.witness.outcome import Gathered, Word
from exequatur_log.witness.policy import Party, WitnessPolicy
from exequatur_verifier import ExequaturError, checkpoint, note
from exequatur_verifier.trust import Group
from tests.support.world import Log
from tests.witness import liar, scene
from tests.witness.conftest import Lie, Serve, Served
from tests.witness.scene import FORK, LOG, NOW, STRANGER

TIMEOUT = 20.0


def ask(
    policy: WitnessPolicy,
    *sizes: int,
    log: Log = LOG,
    prove: Prove = scene.prove,
    timeout: float = TIMEOUT,
    clock: scene.Clock | None = None,
) -> list[Gathered]:
    """Ask for cosignatures of the checkpoints of these sizes, one after the other."""

    async def run() -> list[Gathered]:
        async with Witnesses(policy, timeout=timeout, clock=clock or scene.Clock()) as witnesses:
            return [await witnesses.gather(log.checkpoint(size=size), prove) for size in sizes]

    return asyncio.run(run())


def one(url: str, size: int = 16, **options: object) -> Gathered:
    """Ask the witness w0, which must cosign, at a URL."""
    (found,) = ask(scene.policy(url, least=1), size, **options)  # type: ignore[arg-type]  # as `ask` has them
    return found


def word(found: Gathered, name: str = "w0") -> Word:
    outcome = found.outcomes[name]
    assert (found.time is None) is (not any(one.word is Word.COSIGNED for one in found.outcomes.values()))
    return outcome.word


def cosigned(found: Gathered, policy: WitnessPolicy) -> dict[str, int]:
    """Return the time of each witness whose cosignature the checkpoint bears; nothing else may be on it."""
    keys = {witness.key: name for name, witness in policy.witnesses.items()}
    opened = checkpoint.open(found.note, policy.log_keys, keys)
    assert opened.ignored == ()
    return {keys[key]: time for key, time in opened.cosigned.items()}


def test_a_quorum_of_served_witnesses_cosigns_a_growing_log(serve: Serve) -> None:
    # W-03 W-04
    policy = scene.policy(*(serve(number).url for number in range(3)), least=3)
    for found, size in zip(ask(policy, 3, 16, 16, 40), (3, 16, 16, 40), strict=True):
        assert found.met
        assert found.time == NOW
        assert cosigned(found, policy) == {"w0": NOW, "w1": NOW, "w2": NOW}
        assert checkpoint.open(found.note, policy.log_keys).checkpoint.size == size
        assert {str(outcome) for outcome in found.outcomes.values()} == {"cosigned"}


def test_a_client_that_knows_nothing_learns_the_size(served: Served) -> None:
    # W-03
    policy = scene.policy(served.url, least=1)
    for size in (3, 16, 16, 20):
        (found,) = ask(policy, size)
        assert found.met
    assert one(f"{served.url}/", 21).met


def test_a_checkpoint_with_many_lines_keeps_the_logs_and_those_that_hold(served: Served) -> None:
    # W-04
    policy = scene.policy(served.url, least=1)
    parsed = note.parse(LOG.checkpoint(size=16))
    strange = wire.parse_lines(scene.line(7, 16, NOW))
    signed = note.format(parsed.text, [*strange, *parsed.signatures])

    async def run() -> Gathered:
        return await gather(signed, policy, scene.prove)

    served.witness.clock.now = int(time.time())
    assert list(cosigned(asyncio.run(run()), policy)) == ["w0"]


def test_witnesses_at_one_url_are_one_party_with_two_keys(serve: Serve) -> None:
    # W-12
    served = serve()
    ed25519, ml_dsa = served.witness.cosigner.keys
    group = Group(2, (ed25519, ml_dsa))
    witnesses = {"old": Party(ed25519, served.url), "new": Party(ml_dsa, f"{served.url}/")}
    (found,) = ask(WitnessPolicy((Party(LOG.vkey),), witnesses, group), 16)
    assert found.met
    assert len(note.parse(found.note).signatures) == 3
    text = served.client.get("/metrics").text
    assert 'exequatur_http_requests_total{route="WitnessRoutes.add_checkpoint",status="200"} 1.0' in text


def test_a_checkpoint_that_no_log_of_the_policy_signed_is_nobodys_fault(served: Served) -> None:
    # W-04
    for signed in (STRANGER.checkpoint(size=3), LOG.checkpoint(size=3)[:-2], b""):
        with pytest.raises(ExequaturError):
            asyncio.run(gather(signed, scene.policy(served.url, least=1), scene.prove))


def half_an_answer(_: liar.Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200")
    connection.shutdown(socket.SHUT_RDWR)


def test_whoever_is_down_does_not_keep_the_others_from_being_a_quorum(serve: Serve, lie: Lie) -> None:
    # W-03
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    hangs = lie(lambda _, __: None).url
    cuts = lie(lambda _, connection: connection.shutdown(socket.SHUT_RDWR)).url
    half = lie(half_an_answer).url
    policy = scene.policy(serve(0).url, nobody, hangs, cuts, half, "http://no such host.invalid", serve(6).url, least=2)
    (found,) = ask(policy, 16)
    assert found.time == NOW
    assert cosigned(found, policy) == {"w0": NOW, "w6": NOW}
    assert found.outcomes["w2"].word is Word.SLOW
    assert {found.outcomes[name].word for name in ("w1", "w3", "w4", "w5")} <= {Word.DOWN, Word.SLOW}
    (found,) = ask(policy._replace(quorum=Group(3, policy.quorum.members if policy.quorum else ())), 17, timeout=1.0)
    assert (found.time, found.met) == (None, False)
    assert cosigned(found, policy) == {"w0": NOW, "w6": NOW}
    assert [found.outcomes[f"w{number}"].word for number in range(1, 6)] == [Word.DOWN, Word.SLOW] + [Word.DOWN] * 3


def test_each_has_its_own_time_and_no_more(lie: Lie) -> None:
    # W-03 W-06
    def drip(_: liar.Asked, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    assert word(one(lie(drip).url, timeout=0.5)) is Word.SLOW


GOOD = scene.line(0, 16, NOW)


def test_an_answer_that_holds(lie: Lie) -> None:
    # W-04: what the lies below differ from in one thing each
    server = lie(liar.always(liar.answer(200, GOOD)))
    assert word(one(server.url)) is Word.COSIGNED
    assert (server.asked[0].method, server.asked[0].path) == ("POST", "/add-checkpoint")
    assert server.asked[0].body == scene.body(0, 16)
    assert word(one(lie(liar.always(liar.answer(200, scene.line(3, 16, NOW) + GOOD))).url)) is Word.COSIGNED


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"noise",
        b"\n" + GOOD,
        GOOD[:-1],
        GOOD + b"\n" + GOOD,
        GOOD + GOOD,
        GOOD + b"garbage\n",
        b"garbage\n\n" + GOOD,
        scene.line(1, 16, NOW),
        scene.line(0, 17, NOW),
        scene.line(0, 16, NOW, FORK),
        scene.line(0, 16, NOW, STRANGER),
        wire.format_lines([wire.parse_lines(GOOD)[0]._replace(signature=bytes(72))]),
        wire.format_lines([wire.parse_lines(GOOD)[0]._replace(signature=b"12345678")]),
        wire.format_lines([wire.parse_lines(GOOD)[0]._replace(key_id=b"1234")]),
        scene.line(0, 16, 0),
        GOOD * 1000,
    ],
)
def test_a_cosignature_that_does_not_hold_is_a_lie(lie: Lie, lines: bytes) -> None:
    # W-04 W-06
    found = one(lie(liar.always(liar.answer(200, lines))).url)
    assert word(found) is Word.LIED
    assert found.note == LOG.checkpoint(size=16)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (NOW - OLDEST_S, Word.COSIGNED),
        (NOW - OLDEST_S - 1, Word.LIED),
        (NOW + 60, Word.COSIGNED),
        (NOW + 61, Word.LIED),
        (2**63 - 1, Word.LIED),
    ],
)
def test_a_cosignature_is_of_this_moment(lie: Lie, made: int, expected: Word) -> None:
    # W-05
    found = one(lie(liar.always(liar.answer(200, scene.line(0, 16, made)))).url)
    assert word(found) is expected
    assert found.time == (made if expected is Word.COSIGNED else None)


@pytest.mark.parametrize("status", [201, 204, 301, 307, 400, 403, 404, 429, 500, 503])
def test_every_other_status_is_a_refusal(lie: Lie, status: int) -> None:
    # W-06
    server = lie(
        liar.always(liar.answer(status, b"" if status == 204 else b"no\x1b[31m\n", "text/plain", "location: /good"))
    )
    found = one(server.url)
    assert word(found) is Word.REFUSED
    assert str(found.outcomes["w0"]) == f"refused {status}"
    assert "\x1b" not in found.outcomes["w0"].detail
    assert len(server.asked) == 1


def test_an_answer_without_an_end_is_cut_off(lie: Lie) -> None:
    # W-06
    def flood(_: liar.Asked, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 16))

    assert word(one(lie(flood).url)) is Word.LIED


def test_answers_are_not_unpacked_and_no_proxy_is_asked(lie: Lie, monkeypatch: pytest.MonkeyPatch) -> None:
    # W-06
    proxy = lie(liar.always(liar.answer(200, GOOD)))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server = lie(liar.always(liar.answer(200, GOOD, "text/plain", "content-encoding: gzip")))
    assert word(one(server.url)) is Word.COSIGNED
    assert proxy.asked == []
    assert b"accept-encoding: identity\r\n" in server.headers


def test_a_size_is_taken_once(lie: Lie) -> None:
    # W-03
    server = lie(liar.in_turn(liar.size(3), liar.answer(200, GOOD)))
    assert word(one(server.url)) is Word.COSIGNED
    assert [asked.body for asked in server.asked] == [scene.body(0, 16), scene.body(3, 16)]
    server = lie(liar.in_turn(liar.size(3), liar.size(4)))
    found = one(server.url)
    assert (word(found), str(found.outcomes["w0"])) == (Word.REFUSED, "refused 409")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        liar.answer(409, b"3\n"),
        liar.answer(409, b"3", "text/x.tlog.size"),
        liar.answer(409, b"03\n", "text/x.tlog.size"),
        liar.answer(409, b"-3\n", "text/x.tlog.size"),
        liar.answer(409, b"", "text/x.tlog.size"),
        liar.answer(409, b"9223372036854775808\n", "text/x.tlog.size"),
        liar.size(0),
    ],
)
def test_a_conflict_that_names_no_size_is_a_lie(lie: Lie, answer: bytes) -> None:
    # W-04
    assert word(one(lie(liar.always(answer)).url)) is Word.LIED


def test_a_log_that_has_no_proof_is_told(lie: Lie) -> None:
    async def fails(_: int, __: int) -> Sequence[bytes]:
        raise StorageError("the database is away")

    found = one(lie(liar.in_turn(liar.size(3))).url, prove=fails)
    assert (word(found), found.outcomes["w0"].detail) == (Word.UNPROVEN, "the database is away")


def showing(answer: bytes, held: bytes | None, status: int = 200) -> liar.Behave:
    """Answer a checkpoint like this, and show ``held`` as what was cosigned last, or nothing in time."""

    def behave(asked: liar.Asked, connection: socket.socket) -> None:
        if asked.method == "POST":
            connection.sendall(answer)
        elif held is not None:
            assert asked.path == scene.monitored()
            connection.sendall(liar.answer(status, held))

    return behave


async def grown(old: int, size: int) -> Sequence[bytes]:
    """Prove as a log of 20 entries."""
    if size > 20:
        raise NotFoundError("this log never had that size")
    return scene.proof(old, size)


UNPROCESSABLE = liar.answer(422, b"inconsistent\n")


@pytest.mark.parametrize(
    ("answer", "held", "expected"),
    [
        # The log was rolled back, and its key signed what it no longer knows.
        (liar.size(30), LOG.checkpoint(size=30), Word.AHEAD),
        # The log has forked: smaller, of the same size, larger but within what it has by now.
        (UNPROCESSABLE, FORK.checkpoint(size=14), Word.INCONSISTENT),
        (UNPROCESSABLE, FORK.checkpoint(size=16), Word.INCONSISTENT),
        # How a witness of version 1.0 of the protocol says that the root at this size is another.
        (liar.size(16), FORK.checkpoint(size=16), Word.INCONSISTENT),
        (liar.size(18), FORK.checkpoint(size=18), Word.INCONSISTENT),
    ],
)
def test_a_log_that_contradicts_itself_is_told_with_evidence(
    lie: Lie, answer: bytes, held: bytes, expected: Word
) -> None:
    # W-07
    found = one(lie(showing(answer, held)).url, prove=grown)
    outcome = found.outcomes["w0"]
    assert (word(found), outcome.evidence) == (expected, held)
    assert outcome.size == checkpoint.open(held, [LOG.vkey]).checkpoint.size


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(liar.size(30), Word.AHEAD), (UNPROCESSABLE, Word.INCONSISTENT), (liar.size(16), Word.INCONSISTENT)],
)
@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"noise",
        STRANGER.checkpoint(size=30),
        LOG.checkpoint(size=30).replace(b"\n30\n", b"\n31\n"),
        LOG.checkpoint(size=16),
        LOG.checkpoint(size=9),
        LOG.checkpoint(size=0),
        b"x" * (wire.MAX_ANSWER + 1),
        None,
    ],
)
def test_what_a_witness_only_says_is_told_without_evidence(
    lie: Lie, answer: bytes, expected: Word, held: bytes | None
) -> None:
    # W-07
    found = one(lie(showing(answer, held)).url, prove=grown, timeout=TIMEOUT if held is not None else 0.3)
    assert (word(found), found.outcomes["w0"].evidence) == (expected, None)


def test_evidence_is_what_a_witness_shows_with_success(lie: Lie) -> None:
    # W-07
    found = one(lie(showing(liar.size(30), LOG.checkpoint(size=30), 404)).url, prove=grown)
    assert (word(found), found.outcomes["w0"].evidence) == (Word.AHEAD, None)


def test_a_later_head_of_the_same_log_is_no_contradiction(lie: Lie) -> None:
    # W-07: another frontend was faster
    found = one(lie(showing(liar.size(18), LOG.checkpoint(size=18))).url, prove=grown)
    assert (word(found), found.outcomes["w0"].evidence) == (Word.STALE, None)


def test_a_rolled_back_log_is_told_by_a_real_witness(served: Served) -> None:
    # W-07
    policy = scene.policy(served.url, least=1)
    assert ask(policy, 30)[0].met
    found = one(served.url, 16, prove=grown)
    outcome = found.outcomes["w0"]
    assert (word(found), outcome.size) == (Word.AHEAD, 30)
    assert outcome.evidence is not None
    assert checkpoint.open(outcome.evidence, [LOG.vkey]).checkpoint.size == 30


def test_a_forked_log_is_told_by_a_real_witness(served: Served) -> None:
    # W-07
    policy = scene.policy(served.url, least=1)
    assert ask(policy, 16)[0].met

    async def prove(old: int, size: int) -> Sequence[bytes]:
        return scene.proof(old, size, FORK)

    for size in (16, 20):
        (found,) = ask(policy, size, log=FORK, prove=prove)
        assert word(found) is Word.INCONSISTENT
        assert found.outcomes["w0"].evidence == served.witness.cosigner.latest(wire.name_of_origin(LOG.origin))


def test_a_witness_that_forgot_is_not_believed_again(lie: Lie) -> None:
    # W-08
    for later in (liar.size(3), liar.size(0)):
        server = lie(liar.in_turn(liar.answer(200, GOOD), later))
        first, second = ask(scene.policy(server.url, least=1), 16, 20)
        assert (word(first), word(second)) == (Word.COSIGNED, Word.FORGOT)
    # Asked about an older head, it must not begin at nothing again.
    server = lie(liar.in_turn(liar.answer(200, GOOD), liar.answer(200, scene.line(0, 9, NOW))))
    first, second = ask(scene.policy(server.url, least=1), 16, 9)
    assert (word(first), word(second)) == (Word.COSIGNED, Word.FORGOT)
    assert server.asked[1].body == scene.body(0, 9)


def test_the_time_of_a_quorum_is_that_of_the_freshest_set(lie: Lie) -> None:
    urls = [lie(liar.always(liar.answer(200, scene.line(number, 16, NOW - 10 * number)))).url for number in range(3)]
    assert [ask(scene.policy(*urls, least=least), 16, timeout=TIMEOUT)[0].met for least in (1, 2, 3)] == [True] * 3
    assert ask(scene.policy(*urls, least=3), 16)[0].time == NOW - 20


def test_without_a_quorum_all_are_waited_for(serve: Serve, lie: Lie) -> None:
    policy = scene.policy(serve(0).url, lie(lambda _, __: None).url, None)
    (found,) = ask(policy, 16, timeout=1.0)
    assert (found.met, found.time) == (True, NOW)
    assert {name: outcome.word for name, outcome in found.outcomes.items()} == {"w0": Word.COSIGNED, "w1": Word.SLOW}
    assert ask(scene.policy(None, None), 16)[0] == Gathered(LOG.checkpoint(size=16), NOW, {})


def test_who_cannot_be_reached_cannot_make_a_quorum() -> None:
    (found,) = ask(scene.policy(None, least=1), 16)
    assert (found.met, found.outcomes) == (False, {})


def test_a_bug_of_the_log_is_not_blamed_on_a_witness(lie: Lie) -> None:
    async def broken(_: int, __: int) -> Sequence[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one(lie(liar.always(liar.size(3))).url, prove=broken)
