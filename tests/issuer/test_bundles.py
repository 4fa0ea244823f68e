"""Bundles: all that the verifier needs, from heads that runtimes remember; refreshed, taken apart and put together."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import bundles
from exequatur_issuer.authorize import Issued, RuntimeIdentity
from exequatur_verifier import bundle, checkpoint, note, receipt, statement
from exequatur_verifier.bundle import Bundle
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.memory import Clock, Memory
from exequatur_verifier.records import Head
from exequatur_verifier.verdict import Code, Verdict
from tests.issuer.house import NOW, RUNTIME, House
from tests.issuer.ledger import MemoryLog
from tests.support import world

OTHER = RuntimeIdentity("urn:exequatur:runtime:other", world.signer("other").public_key.encoded)


def decoded(issued: Issued) -> Bundle:
    return bundle.decode(issued.bundle)


def size_of(data: bytes) -> int:
    _, (presented, *_) = statement.parse_transparent(bundle.decode(data).artifact)
    return receipt.parse(presented).inclusion.size


def memory_of(verdict: Verdict) -> Memory:
    """Return what a runtime remembers after admitting."""
    learned = verdict.learned
    return Memory(1, {head.origin: head for head in learned.heads}, {}, learned.floor, Clock(NOW))


def memory_log(house: House) -> MemoryLog:
    assert isinstance(house.log, MemoryLog)
    return house.log


def test_everything_leads_to_the_artifacts_head(house: House) -> None:
    # B-12
    issued = house.issue(house.asked())
    parts, size = decoded(issued), size_of(issued.bundle)
    opened = checkpoint.parse(note.parse(parts.checkpoints[0]).text)
    assert (opened.origin, opened.size) == (house.log.origin, size)
    assert parts.policy is not None
    assert parts.policy.positions.keys() == {house.log.origin}
    assert parts.proofs == ()
    assert (parts.request, parts.approvals, parts.parents, parts.status) == (None, (), (), ())


def test_a_head_without_a_checkpoint_has_none_beside_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryLog, "checkpoint", lambda *_: None)
    issued = house.issue(house.asked())
    assert decoded(issued).checkpoints == ()
    assert house.verify(issued.bundle).code is None


def test_each_bundle_continues_the_heads_of_the_ones_before(house: House) -> None:
    # A-17 B-12
    sizes = [size_of(house.issue(house.asked()).bundle) for _ in range(18)]
    last = house.issue(house.asked())
    assert [proof.size for proof in decoded(last).proofs] == sizes[-16:]
    # Another process over the same stores staples the same.
    other = house.open().authorize_many([house.asked()], now=NOW)[0]
    assert isinstance(other, Issued)
    assert [proof.size for proof in decoded(other).proofs] == [*sizes[-15:], size_of(last.bundle)]


def test_a_runtime_that_saw_any_of_them_can_verify_offline(house: House) -> None:
    first = house.verify(house.issue(house.asked()).bundle)
    house.issue(house.asked())
    later = house.issue(house.asked())
    verdict = house.verify(later.bundle, memory=memory_of(first))
    assert verdict.code is None
    assert verdict.steps[6].detail.startswith("continues")
    lonely = bundle.encode(decoded(later)._replace(proofs=()))
    assert str(house.verify(lonely, memory=memory_of(first)).code) == "Code.CONSISTENCY_MISSING"


def test_a_bundle_for_one_runtime_says_nothing_of_anothers_heads(house: House) -> None:
    house.issue(house.asked())
    assert decoded(house.issue(house.asked(runtime=OTHER))).proofs == ()


def test_one_batch_rests_on_one_head_and_staples_none_of_its_own(house: House) -> None:
    before = size_of(house.issue(house.asked()).bundle)
    answers = house.authority.authorize_many([house.asked() for _ in range(3)], now=NOW)
    for answer in answers:
        assert isinstance(answer, Issued)
        assert [proof.size for proof in decoded(answer).proofs] == [before]
    assert len({size_of(answer.bundle) for answer in answers if isinstance(answer, Issued)}) == 1


def test_starting_heads_are_stapled_too(house: House) -> None:
    log = memory_log(house)
    start = Head(log.origin, 2, log.tree.root(2))
    foreign = Head("another.example/log", 2, bytes(32))
    future = Head(log.origin, 1000, bytes(32))
    empty = Head(log.origin, 0, bytes(32))
    runtime = RUNTIME._replace(heads=(start, foreign, future, empty, start))
    issued = house.issue(house.asked(runtime=runtime))
    assert [(proof.size, proof.root) for proof in decoded(issued).proofs] == [(2, log.tree.root(2))]
    remembered = Memory(1, {log.origin: log.tree.known_head(NOW, b"", 2)}, {}, NOW, Clock(NOW))
    assert house.verify(issued.bundle, memory=remembered).code is None


def test_a_head_that_the_log_does_not_continue_is_reported_and_nothing_is_given_out(house: House) -> None:
    #
    fork = Head(house.log.origin, 2, bytes(32))
    with pytest.raises(NotProvenError, match="does not continue its head of 2"):
        house.answer(house.asked(runtime=RUNTIME._replace(heads=(fork,))))


def test_at_most_as_many_proofs_as_a_bundle_holds_are_stapled(house: House) -> None:
    log = memory_log(house)
    for number in range(70):
        log.tree.append(f"filler {number}".encode())
    heads = tuple(Head(log.origin, size, log.tree.root(size)) for size in range(1, 70))
    issued = house.issue(house.asked(runtime=RUNTIME._replace(heads=heads)))
    assert [proof.size for proof in decoded(issued).proofs] == list(range(6, 70))
    assert house.verify(issued.bundle).code is None


def test_a_policy_that_is_not_in_the_log_is_said_so(house: House) -> None:
    del memory_log(house).ids[house.policy.statement.id]
    with pytest.raises(NotProvenError, match="register it first"):
        house.authority._assembler.placed(house.policy.statement.id)


# Refreshing.


def test_a_refreshed_bundle_is_the_same_artifact_at_the_current_head(house: House) -> None:
    # B-12
    issued = house.issue(house.asked())
    remembered = memory_of(house.verify(issued.bundle))
    house.issue(house.asked(runtime=OTHER))
    fresh = bundles.refresh(issued.bundle, house.log)
    old, new = bundle.decode(issued.bundle), bundle.decode(fresh)
    assert size_of(fresh) == len(memory_log(house).tree.entries) > size_of(issued.bundle)
    assert (old.salt, old.terms) == (new.salt, new.terms)
    assert statement.parse_transparent(old.artifact)[0].entry == statement.parse_transparent(new.artifact)[0].entry
    verdict = house.verify(fresh, memory=remembered)
    assert verdict.code is None, verdict.failure
    assert [proof.size for proof in new.proofs] == [size_of(issued.bundle)]


def test_a_refreshed_bundle_leads_from_what_the_runtime_met_since(house: House) -> None:
    issued = house.issue(house.asked())
    met = memory_of(house.verify(house.issue(house.asked()).bundle))
    house.issue(house.asked(runtime=OTHER))
    denied = house.verify(bundles.refresh(issued.bundle, house.log), memory=met)
    assert denied.code is Code.CONSISTENCY_MISSING
    since = house.journal.heads(house.log.origin, RUNTIME.id)
    verdict = house.verify(bundles.refresh(issued.bundle, house.log, since), memory=met)
    assert verdict.code is None, verdict.failure


def test_refreshing_at_the_same_head_changes_nothing(house: House) -> None:
    issued = house.issue(house.asked())
    assert bundles.refresh(issued.bundle, house.log) == issued.bundle
    house.issue(house.asked())
    later = bundles.refresh(issued.bundle, house.log)
    assert bundles.refresh(later, house.log) == later


def test_refreshing_on_the_products_own_log(real_house: House) -> None:
    issued = real_house.issue(real_house.asked())
    real_house.issue(real_house.asked())
    fresh = bundles.refresh(issued.bundle, real_house.log)
    assert size_of(fresh) > size_of(issued.bundle)
    assert real_house.verify(fresh).code is None
    assert bundle.decode(fresh).checkpoints


def test_what_comes_from_another_log_stays_when_one_is_refreshed(house: House) -> None:
    parts = decoded(house.issue(house.asked()))
    artifact, receipts = statement.parse_transparent(parts.artifact)
    other = world.new_log("other.example/log")
    assert parts.policy is not None
    policy_index, index = other.append(parts.policy.statement), other.append(artifact.entry)
    positions = {**parts.policy.positions, other.origin: other.position(policy_index)}
    two = parts._replace(
        artifact=statement.attach(artifact.entry, (other.receipt(index, NOW), *receipts)),
        policy=parts.policy._replace(positions=positions),
        checkpoints=(*parts.checkpoints, other.checkpoint()),
    )
    house.issue(house.asked())
    fresh = bundles.refresh(bundle.encode(two), house.log)
    kept = bundle.decode(fresh)
    assert statement.parse_transparent(kept.artifact)[1][0] == other.receipt(index, NOW)
    assert other.checkpoint() in kept.checkpoints
    assert kept.policy is not None
    assert kept.policy.positions[other.origin] == other.position(policy_index)
    assert house.verify(fresh).code is None


def broken(parts: Bundle, log: MemoryLog) -> list[tuple[str, Bundle]]:
    artifact, receipts = statement.parse_transparent(parts.artifact)
    assert parts.policy is not None
    foreign = parts.policy._replace(positions={"another": parts.policy.positions[log.origin]})
    return [
        ("without its policy", parts._replace(policy=None)),
        ("an element of it stands", parts._replace(request=foreign)),
        ("0 receipts", parts._replace(artifact=statement.attach(artifact.entry, ()))),
        ("2 receipts", parts._replace(artifact=statement.attach(artifact.entry, receipts * 2))),
        ("its policy stands", parts._replace(policy=foreign)),
    ]


def test_what_cannot_be_refreshed_is_refused(house: House) -> None:
    parts = decoded(house.issue(house.asked()))
    for words, damaged in broken(parts, memory_log(house)):
        with pytest.raises(MalformedError, match=words):
            bundles.refresh(bundle.encode(damaged), house.log)
    with pytest.raises(MalformedError):
        bundles.refresh(b"\xa0", house.log)


def test_a_bundle_of_another_history_is_not_refreshed(house: House) -> None:
    #
    issued = house.issue(house.asked())
    log = memory_log(house)
    last = log.tree.entries[-1]
    log.tree.entries[0] = b"rewritten"
    with pytest.raises(NotProvenError, match="another root"):
        bundles.refresh(issued.bundle, log)
    log.tree.append(last)
    with pytest.raises(NotProvenError, match="does not continue"):
        bundles.refresh(issued.bundle, log)


# Taking apart and putting together.


def rich_bundle(house: House) -> bytes:
    house.issue(house.asked())
    return house.issue(house.asked()).bundle


def test_parts_join_to_the_very_bytes(house: House, tmp_path: Path) -> None:
    data = rich_bundle(house)
    files = bundles.split(bundle.decode(data), tmp_path / "parts")
    assert {path.name for path in files} == {
        "artifact.cose",
        "receipt-1.cose",
        "salt.bin",
        "terms.cbor",
        "policy.cose",
        "policy.positions.cbor",
        "checkpoint-1.txt",
        "proofs.cbor",
    }
    assert bundle.encode(bundles.join(tmp_path / "parts")) == data
    assert statement.parse((tmp_path / "parts" / "artifact.cose").read_bytes()).kind.value == "authorization"


def test_parts_of_later_versions_join_too(house: House, tmp_path: Path) -> None:
    parts = bundle.decode(rich_bundle(house))
    assert parts.policy is not None
    later = parts._replace(request=parts.policy, approvals=(parts.policy, parts.policy), proofs=(), checkpoints=())
    bundles.split(later, tmp_path / "parts")
    assert bundles.join(tmp_path / "parts") == later


def test_a_directory_is_never_written_into_twice(house: House, tmp_path: Path) -> None:
    parts = bundle.decode(rich_bundle(house))
    bundles.split(parts, tmp_path / "parts")
    with pytest.raises(FileExistsError):
        bundles.split(parts, tmp_path / "parts")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "salt.bin").unlink(),
        lambda folder: (folder / "policy.positions.cbor").unlink(),
        lambda folder: (folder / "policy.cose").unlink(),
        lambda folder: (folder / "README").write_bytes(b""),
        lambda folder: (folder / "receipt-3.cose").write_bytes(b""),
        lambda folder: (folder / "salt.bin").write_bytes(bytes(15)),
        lambda folder: (folder / "proofs.cbor").write_bytes(b"\x80\x80"),
        lambda folder: (folder / "artifact.cose").write_bytes(b""),
    ],
)
def test_parts_that_do_not_make_a_bundle_are_refused(house: House, tmp_path: Path, change: Any) -> None:
    bundles.split(bundle.decode(rich_bundle(house)), tmp_path / "parts")
    bundles.join(tmp_path / "parts")
    change(tmp_path / "parts")
    with pytest.raises(MalformedError):
        bundles.join(tmp_path / "parts")
