"""Bundles: all that the verifier needs, from heads that runtimes remember; refreshed, taken apart and put together."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer import beside, bundles, status
from exequatur_issuer.authorize import Issued, RuntimeIdentity
from exequatur_issuer.beside import Beside, ParentParts
from exequatur_issuer.log import Placed
from exequatur_issuer.status import Names
from exequatur_verifier import bundle, checkpoint, note, receipt, statement, trust_file
from exequatur_verifier.bundle import Bundle, Element
from exequatur_verifier.errors import MalformedError, NotProvenError
from exequatur_verifier.memory import Clock, Memory
from exequatur_verifier.records import Approval, Head, Kind, Link
from exequatur_verifier.statement import Claims
from exequatur_verifier.verdict import Code, Verdict
from exequatur_verifier.verify import verify
from tests.issuer.house import NOW, RUNTIME, House
from tests.issuer.ledger import MemoryLog
from tests.support import governed, world
from tests.support.governed import Consent, Grant

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
    # A-28 B-12
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
        ("an element of it stands", parts._replace(request=foreign)),
        ("0 receipts", parts._replace(artifact=statement.attach(artifact.entry, ()))),
        ("2 receipts", parts._replace(artifact=statement.attach(artifact.entry, receipts * 2))),
        ("an element of it stands", parts._replace(policy=foreign)),
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


# What stands beside the artifact.


def governed_bundle() -> governed.Made:
    """Return a bundle with every element: grants, a list, approvals of the action, a grant and the policy."""
    return governed.build(
        consents=[Consent()],
        owners=[Consent("second owner")],
        grants=[Grant("first", consents=[Consent()]), Grant("agent")],
        status={},
        asked={"audience": world.RUNTIME},
    )


def log_of(made: governed.Made) -> MemoryLog:
    """Return the log of a governed bundle, as an authority asks it."""
    log = MemoryLog()
    log.tree = made.log
    log.ids = {statement.parse(entry).id: index for index, entry in enumerate(made.log.entries) if index >= 3}
    return log


def verdict_on(made: governed.Made, data: bytes) -> Verdict:
    trust = trust_file.parse(governed.trust(made.log, policy="threshold = 1").encode())
    return verify(data, world.COMMAND, world.FACTS, trust, None, (), Clock(NOW))


def test_the_elements_of_an_artifact_are_placed_at_its_head() -> None:
    # B-13
    made = governed_bundle()
    log, parts = log_of(made), made.bundle
    assert verdict_on(made, bundle.encode(parts)).code is None
    assert parts.request is not None
    head = Head(log.origin, len(made.log.entries), made.log.root())
    policy = Placed(made.policy.entry, made.log.entries.index(made.policy.entry))
    endorsements = beside.endorsements(log, policy, NOW)
    owners: list[Element] = []
    others: list[Element] = []
    for element in parts.approvals:
        record = statement.parse(element.statement).record
        assert isinstance(record, Approval)
        (owners if record.scope == "policy" else others).append(element)
    assert [placed.statement for placed in endorsements] == [element.statement for element in owners]
    wanted = Beside(
        parts.request.statement,
        tuple(element.statement for element in others),
        tuple(
            ParentParts(
                parent.authorization.statement,
                parent.salt,
                parent.terms,
                None if parent.request is None else parent.request.statement,
            )
            for parent in parts.parents
        ),
    )
    named = beside.lists_of(made.artifact, (parent.authorization for parent in wanted.parents))
    lists = tuple(log.newest(Kind.STATUS, subject=name)[0] for name in named)
    (placed,) = beside.place(log, head, [beside.Wanted(wanted, endorsements, lists)], {})
    assert (placed.request, placed.parents, placed.status) == (parts.request, parts.parents, parts.status)
    assert placed.approvals == (*others, *owners)


def test_endorsements_that_have_expired_or_are_of_another_kind_are_left_out() -> None:
    # B-13
    made = governed_bundle()
    log = log_of(made)
    policy = Placed(made.policy.entry, made.log.entries.index(made.policy.entry))
    found = beside.endorsements(log, policy, NOW)
    expires = statement.parse(found[0].statement).claims.exp
    assert expires is not None
    assert beside.endorsements(log, policy, expires) == ()
    # Approvals of other things that share the policy's subject, and the signer's own.
    for by, record in (
        ("owner", Approval((Link("policy", made.policy.id),), made.policy.id, "policy", 0)),
        ("third", Approval((Link("policy", made.policy.id),), bytes(32), "policy", 0)),
        ("third", Approval((Link("policy", made.policy.id),), made.policy.id, "once", 1)),
    ):
        claims = Claims("urn:exequatur:owner:test", governed.SET, NOW, bytes(16), exp=NOW + 100)
        log.register([statement.sign(record, claims, world.signer(by))])
    assert beside.endorsements(log, policy, NOW) == found


def test_what_is_not_in_the_log_or_not_in_the_head_is_not_placed() -> None:
    made = governed_bundle()
    log, parts = log_of(made), made.bundle
    head = Head(log.origin, len(made.log.entries), made.log.root())
    stray = world.policy_statement(owner="stray")
    with pytest.raises(NotProvenError, match="register it first"):
        beside.place(log, head, [beside.Wanted(Beside(stray))], {})
    with pytest.raises(NotProvenError, match="not within its head"):
        beside.place(log, head._replace(size=4), [beside.Wanted(Beside(made.artifact.entry))], {})
    assert parts.policy is not None


def test_refreshing_moves_every_element_and_takes_the_newest_list() -> None:
    # B-12 B-14
    made = governed_bundle()
    log = log_of(made)
    old = statement.parse(made.bundle.status[0].statement)
    record = status.follow(old, governed.LIST, status.Listed({}, Names(), NOW + 9000))
    newer = statement.sign(record, Claims(governed.AUTHORITY, governed.LIST, NOW, bytes(16)), world.signer("authority"))
    log.register([newer])
    fresh = bundles.refresh(bundle.encode(made.bundle), log)
    parts = bundle.decode(fresh)
    assert [element.statement for element in parts.status] == [newer]
    assert [element.statement for element in parts.approvals] == [
        element.statement for element in made.bundle.approvals
    ]
    assert len(parts.parents) == 2
    verdict = verdict_on(made, fresh)
    assert verdict.code is None, verdict.failure
    assert bundles.refresh(fresh, log) == fresh


def test_refreshing_one_log_of_two_keeps_the_list_that_both_have() -> None:
    # B-14
    made = governed_bundle()
    log, other = log_of(made), world.new_log("other.example/log", 3)
    artifact, receipts = statement.parse_transparent(made.bundle.artifact)
    for entry in made.log.entries[3:]:
        other.append(entry)

    def both(element: Element) -> Element:
        index = other.entries.index(element.statement)
        return Element(element.statement, {**element.positions, other.origin: other.position(index)})

    assert made.bundle.policy is not None
    assert made.bundle.request is not None
    two = made.bundle._replace(
        artifact=statement.attach(artifact.entry, (*receipts, other.receipt(other.entries.index(artifact.entry), NOW))),
        policy=both(made.bundle.policy),
        request=both(made.bundle.request),
        approvals=tuple(map(both, made.bundle.approvals)),
        parents=tuple(
            parent._replace(
                authorization=both(parent.authorization),
                request=None if parent.request is None else both(parent.request),
            )
            for parent in made.bundle.parents
        ),
        status=tuple(map(both, made.bundle.status)),
    )
    old = statement.parse(made.bundle.status[0].statement)
    record = status.follow(old, governed.LIST, status.Listed({}, Names(), NOW + 9000))
    claims = Claims(governed.AUTHORITY, governed.LIST, NOW, bytes(16))
    log.register([statement.sign(record, claims, world.signer("authority"))])
    kept = bundle.decode(bundles.refresh(bundle.encode(two), log))
    assert [element.statement for element in kept.status] == [old.entry]
    assert kept.status[0].positions.keys() == {log.origin, other.origin}
    assert kept.status[0].positions[other.origin] == two.status[0].positions[other.origin]


def test_an_endorsement_of_the_policy_stands_beside_what_was_decided_after_it(house: House) -> None:
    # B-13
    before = house.issue(house.asked())
    policy = house.policy.statement
    approval = Approval((Link("policy", policy.id),), policy.id, "policy", 0)
    claims = Claims("urn:exequatur:owner:second", policy.claims.sub, NOW, bytes(16), exp=NOW + 1000)
    endorsed = statement.sign(approval, claims, world.signer("second owner"))
    house.log.register([endorsed])
    after = decoded(house.issue(house.asked()))
    assert [element.statement for element in after.approvals] == [endorsed]
    assert house.verify(bundle.encode(after)).code is None
    # Of what stands before it, it is no part, also when that is refreshed.
    assert decoded(before).approvals == ()
    assert bundle.decode(bundles.refresh(before.bundle, house.log)).approvals == ()


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


def test_parts_beside_the_artifact_join_too(tmp_path: Path) -> None:
    made = governed_bundle()
    files = {path.name for path in bundles.split(made.bundle, tmp_path / "parts")}
    elements = ("request", "approvals-1", "approvals-2", "approvals-3", "status-1", "parents-1", "parents-1.request")
    expected = {f"{name}.{end}" for name in elements for end in ("cose", "positions.cbor")}
    assert expected | {f"parents-{number}.{end}" for number in (1, 2) for end in ("salt.bin", "terms.cbor")} <= files
    assert "parents-2.request.cose" in files
    assert bundle.encode(bundles.join(tmp_path / "parts")) == bundle.encode(made.bundle)
    for name in ("parents-1.salt.bin", "parents-2.request.positions.cbor", "parents-1.positions.cbor"):
        bundles.split(made.bundle, tmp_path / name)
        (tmp_path / name / name).unlink()
        with pytest.raises(MalformedError):
            bundles.join(tmp_path / name)
    (tmp_path / "parts" / "parents-3.salt.bin").write_bytes(bytes(16))
    with pytest.raises(MalformedError, match="belong to nothing"):
        bundles.join(tmp_path / "parts")


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
