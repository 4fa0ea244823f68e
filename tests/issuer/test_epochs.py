"""Epochs: who must stand behind a policy record before anything is decided under it, and that they only go up."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.content import ContentStore
from exequatur_issuer.epochs import EndorsementError, Epoch, NoPolicyError, endorse, epochs, in_force
from exequatur_issuer.log import Refusal
from exequatur_issuer.publish import load_in_force, parts, publish
from exequatur_verifier import bundle, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.memory import Clock
from exequatur_verifier.records import Approval, Kind, Link, Policy
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement
from exequatur_verifier.trust import PolicyTrust
from exequatur_verifier.verify import verify
from tests.issuer.house import NOW, SET, House, starter
from tests.issuer.ledger import OWNER, MemoryLog, RealLog
from tests.support import world

FIRST, SECOND, THIRD, STRANGER = (world.signer(name) for name in ("owner", "owner 2", "owner 3", "stranger"))
TRUST = PolicyTrust(owners=tuple(one.public_key for one in (FIRST, SECOND, THIRD)), threshold=2)


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def published(
    content: ContentStore, previous: Statement | None = None, *, signer: Signer = FIRST, now: int = NOW, at: int = NOW
) -> Statement:
    data = publish(
        starter(),
        signer,
        content,
        name=SET,
        iss=OWNER,
        previous=previous,
        now=now,
        activation=at,
        unique=bytes(16),
    )
    return statement.parse(data)


def endorsed(policy: Statement, signer: Signer = SECOND, *, now: int = NOW, exp: int = NOW + 1000) -> Statement:
    return statement.parse(endorse(policy, signer, iss="urn:owner:2", now=now, exp=exp, unique=bytes(16)))


def number(records: Iterable[Statement], now: int = NOW, trust: PolicyTrust | None = TRUST) -> int:
    return in_force(records, SET, now, trust).record.epoch


def test_an_endorsement_approves_the_very_record(content: ContentStore) -> None:
    policy = published(content)
    approval = endorsed(policy)
    assert approval.record == Approval((Link("policy", policy.id),), policy.id, "policy", 0)
    assert (approval.claims.sub, approval.claims.exp) == (SET, NOW + 1000)
    statement.verify(approval, SECOND.public_key)


def test_a_record_is_not_in_force_before_enough_owners_stand_behind_it(content: ContentStore) -> None:
    #
    policy = published(content)
    with pytest.raises(NoPolicyError, match="none is active and signed by enough owners"):
        in_force([policy], SET, NOW, TRUST)
    found = in_force([policy, endorsed(policy)], SET, NOW, TRUST)
    assert found.statement == policy
    assert found.owners == {one.public_key.thumbprint for one in (FIRST, SECOND)}
    assert [one.key_id for one in found.endorsements] == [SECOND.public_key.thumbprint]


def test_until_then_the_former_stays(content: ContentStore) -> None:
    #
    first = published(content)
    second = published(content, first)
    records = [first, endorsed(first), second]
    assert number(records) == 1
    assert number([*records, endorsed(second, THIRD)]) == 2
    # Where trust asks for one owner, or nobody asks trust, the signer is enough.
    assert number(records, trust=TRUST._replace(threshold=1)) == 2
    assert number(records, trust=None) == 2


def _forged(policy: Statement, **changed: Any) -> Statement:
    record = Approval((Link("policy", policy.id),), policy.id, "policy", 0)._replace(**changed)
    return statement.parse(statement.sign(record, Claims("urn:o", SET, NOW, bytes(16), exp=NOW + 1000), SECOND))


def test_what_is_no_endorsement_counts_for_nothing(content: ContentStore) -> None:
    #
    other = published(content)
    policy = published(content, other)
    nothing = [
        endorsed(policy, STRANGER),
        endorsed(other),
        _forged(policy, links=(Link("policy", other.id),)),
        _forged(policy, links=(Link("request", policy.id),)),
        _forged(policy, commitment=other.id),
        _forged(policy, scope="until"),
        endorsed(policy)._replace(key_id=policy.key_id),
        endorsed(policy)._replace(claims=endorsed(policy).claims._replace(sub="urn:other")),
        endorsed(policy, exp=NOW + 1)._replace(claims=endorsed(policy).claims._replace(exp=NOW)),
    ]
    found = epochs([other, policy, *nothing], SET, NOW, TRUST)[0]
    assert (found.record.epoch, found.is_in_force, found.was_in_force) == (2, False, False)
    assert found.owners == {FIRST.public_key.thumbprint}


def test_one_owner_counts_once(content: ContentStore) -> None:
    #
    policy = published(content)
    twice = [endorsed(policy), endorsed(policy, now=NOW + 1)]
    assert len(in_force([policy, *twice], SET, NOW, TRUST).owners) == 2
    with pytest.raises(NoPolicyError):
        in_force([policy, *twice], SET, NOW, TRUST._replace(threshold=3))


def test_a_record_by_no_owner_needs_as_many_owners(content: ContentStore) -> None:
    policy = published(content, signer=STRANGER)
    with pytest.raises(NoPolicyError):
        in_force([policy], SET, NOW, TRUST._replace(threshold=1))
    assert number([policy, endorsed(policy)], trust=TRUST._replace(threshold=1)) == 1
    # What trust names by its id is accepted as it is.
    assert number([policy], trust=TRUST._replace(accept=(policy.id,))) == 1


def test_it_comes_into_force_at_its_activation_and_not_before(content: ContentStore) -> None:
    #
    first = published(content)
    second = published(content, first, at=NOW + 100)
    records = [first, endorsed(first), second, endorsed(second)]
    assert [number(records, now) for now in (NOW, NOW + 99, NOW + 100)] == [1, 1, 2]
    late = [first, endorsed(first), second, endorsed(second, now=NOW + 200)]
    assert number(late, NOW + 200) == 2


def test_an_epoch_whose_endorsements_expire_gives_way_to_no_older_one(content: ContentStore) -> None:
    #
    first = published(content)
    second = published(content, first)
    records = [first, endorsed(first), second, endorsed(second, exp=NOW + 10)]
    assert number(records, NOW + 9) == 2
    with pytest.raises(NoPolicyError, match=r"epoch 2 .* endorse it again"):
        in_force(records, SET, NOW + 10, TRUST)
    assert number([*records, endorsed(second, now=NOW + 10)], NOW + 10) == 2
    third = published(content, second)
    assert number([*records, third, endorsed(third)], NOW + 10) == 3


def test_an_epoch_that_never_had_enough_owners_at_once_holds_nothing_up(content: ContentStore) -> None:
    #
    trust = TRUST._replace(threshold=3)
    first = published(content)
    second = published(content, first)
    base = [first, endorsed(first), endorsed(first, THIRD), second]
    # The one expired before the other was given; and one that expired before the activation.
    apart = [endorsed(second, exp=NOW + 5), endorsed(second, THIRD, now=NOW + 6)]
    assert number([*base, *apart], NOW + 7, trust) == 1
    later = published(content, first, at=NOW + 50)
    early = [endorsed(later, exp=NOW + 20), endorsed(later, THIRD, exp=NOW + 20)]
    assert number([*base[:3], later, *early], NOW + 60, trust) == 1


def test_a_signers_clock_that_runs_ahead_holds_nothing_up(content: ContentStore) -> None:
    policy = published(content, now=NOW + 5)
    assert number([policy, endorsed(policy, now=NOW + 30)]) == 1


def test_epochs_are_told_from_the_highest_down(content: ContentStore) -> None:
    first = published(content)
    second = published(content, first)
    found = epochs([first, second, endorsed(first)], SET, NOW, TRUST)
    assert [(one.record.epoch, one.is_in_force) for one in found] == [(2, False), (1, True)]
    assert all(isinstance(one, Epoch) for one in found)
    assert epochs([first], "urn:other", NOW, TRUST) == []


def test_the_set_in_force_comes_with_its_endorsements(content: ContentStore) -> None:
    policy = published(content)
    approval = endorsed(policy)
    loaded = load_in_force([approval, policy], content, SET, NOW, TRUST)
    assert (loaded.statement, loaded.endorsements) == (policy, (approval,))
    assert parts(policy, content) == starter()


def test_a_signature_that_would_count_for_nothing_is_not_given(content: ContentStore) -> None:
    policy = published(content)
    with pytest.raises(EndorsementError, match="another owner"):
        endorsed(policy, FIRST)
    with pytest.raises(EndorsementError, match="has expired"):
        endorsed(policy, exp=NOW)
    with pytest.raises(MalformedError, match="cannot be endorsed"):
        endorsed(endorsed(policy))


def test_an_older_epochs_parts_are_published_as_a_new_one(content: ContentStore) -> None:
    #
    first = published(content)
    changed = starter()._replace(mapping=b"# changed\n")
    data = publish(changed, FIRST, content, name=SET, iss=OWNER, previous=first, now=NOW, unique=bytes(16))
    second = statement.parse(data)
    back = publish(
        parts(first, content), FIRST, content, name=SET, iss=OWNER, previous=second, now=NOW, unique=bytes(16)
    )
    record = statement.parse(back).record
    assert isinstance(record, Policy)
    assert isinstance(first.record, Policy)
    assert (record.epoch, record.links) == (3, (Link("previous", second.id),))
    same = ("sources", "schema", "entities", "mapping")
    assert [getattr(record, name) for name in same] == [getattr(first.record, name) for name in same]


def test_of_two_records_for_one_epoch_the_log_takes_one(content: ContentStore, tmp_path: Path) -> None:
    # L-09
    log = RealLog(tmp_path / "log.db")
    try:
        first = published(content)
        log.register([first.entry])
        rivals = [published(content, first, at=NOW + delay) for delay in (1, 2)]
        answers = log.register([rival.entry for rival in rivals])
        refused = [answer for answer in answers if isinstance(answer, Refusal)]
        assert [answer.code for answer in refused] == ["EPOCH_INVALID"]
        assert [item.id for item in log.statements() if item.kind is Kind.POLICY] == [first.id, rivals[0].id]
    finally:
        log.close()


def test_a_log_in_memory_holds_both(content: ContentStore) -> None:
    log = MemoryLog()
    policy = published(content)
    log.register([policy.entry])
    log.register([endorsed(policy).entry])
    assert number(log.statements()) == 1


def test_the_kernel_counts_the_same_endorsement(house: House) -> None:
    #
    approval = endorsed(house.policy.statement)
    house.log.register([approval.entry])
    issued = house.issue(house.asked())
    trust = house.trust()._replace(policy=TRUST)

    def verdict(data: bytes) -> str | None:
        found = verify(data, world.COMMAND, world.FACTS, trust, None, (), Clock(NOW))
        return None if found.code is None else found.code.name

    assert verdict(issued.bundle) is None
    presented = bundle.decode(issued.bundle)
    assert [element.statement for element in presented.approvals] == [approval.entry]
    assert verdict(bundle.encode(presented._replace(approvals=()))) == "POLICY_UNTRUSTED"
