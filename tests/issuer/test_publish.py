"""Publishing policy sets: what is signed, what is in force when, and what does not load."""

from pathlib import Path

import pytest

from exequatur_issuer.content import ContentDamagedError, ContentMissingError, ContentStore
from exequatur_issuer.epochs import NoPolicyError, in_force
from exequatur_issuer.policyset import PolicySet, PolicySetError
from exequatur_issuer.publish import load, load_in_force, publish
from exequatur_verifier import statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Link, Policy
from exequatur_verifier.statement import Statement
from tests.issuer.house import NOW, SET, starter, with_rules
from tests.issuer.ledger import OWNER
from tests.support import world

SIGNER = world.signer("owner")


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def published(
    content: ContentStore, policy_set: PolicySet | None = None, previous: Statement | None = None, **more: int
) -> Statement:
    data = publish(
        policy_set or starter(),
        SIGNER,
        content,
        name=SET,
        iss=OWNER,
        previous=previous,
        now=NOW,
        unique=bytes(16),
        **more,
    )
    return statement.parse(data)


def record(policy: Statement) -> Policy:
    assert isinstance(policy.record, Policy)
    return policy.record


def test_a_published_set_is_signed_by_digest_and_stored(content: ContentStore) -> None:
    #
    policy_set = starter()
    policy = published(content, policy_set, approvals=2)
    statement.verify(policy, SIGNER.public_key)
    found = record(policy)
    assert (found.set, found.epoch, found.engine, found.activation, found.approvals) == (SET, 1, "cedar", NOW, 2)
    assert policy.claims.sub == SET
    stored = [content.get(digest) for digest in (found.sources, found.schema, found.entities, found.mapping)]
    assert PolicySet(*stored) == policy_set


def test_the_next_epoch_links_the_one_before(content: ContentStore) -> None:
    first = published(content)
    second = published(content, previous=first)
    assert (record(second).epoch, record(second).links) == (2, (Link("previous", first.id),))
    assert record(first).links == ()
    other = first._replace(record=record(first)._replace(set="urn:another"))
    with pytest.raises(ValueError, match="no policy record of"):
        published(content, previous=other)


def test_a_set_that_does_not_load_is_not_published(content: ContentStore, tmp_path: Path) -> None:
    #
    for text, what in [
        ("permit (principal, action, resource) when { context.nothing };", "nothing"),
        ('@limit_wal("1s") permit (principal, action, resource);', "limit_wal"),
        (f'@id("{"x" * 600}") permit (principal, action, resource);', "line of text"),
        ("permit (principal, action, resource);" * 1025, "more than 1024"),
    ]:
        with pytest.raises(PolicySetError, match=what):
            published(content, with_rules(text))
    with pytest.raises(PolicySetError, match="mapping"):
        published(content, starter()._replace(mapping=b"[unknown]\n"))
    assert not (tmp_path / "content").exists()


def test_the_highest_epoch_that_is_active_is_in_force(content: ContentStore) -> None:
    #
    first = published(content, activation=NOW - 100)
    second = published(content, previous=first, activation=NOW + 100)
    third = published(content, previous=second, activation=NOW + 50)
    records = [third, first, second]
    assert in_force(records, SET, NOW).statement == first
    assert in_force(records, SET, NOW + 49).statement == first
    assert in_force(records, SET, NOW + 50).statement == third
    # A later activation does not bring back an older epoch.
    assert in_force(records, SET, NOW + 100).statement == third
    with pytest.raises(NoPolicyError):
        in_force(records, SET, NOW - 101)
    with pytest.raises(NoPolicyError):
        in_force(records, "urn:another", NOW)


def test_what_is_loaded_is_what_was_published(content: ContentStore) -> None:
    #
    policy = published(content, with_rules('@id("one") permit (principal, action, resource);'))
    loaded = load_in_force([policy], content, SET, NOW)
    assert loaded.record == record(policy)
    assert [item.id for item in loaded.engine.policies] == ["one"]


@pytest.mark.parametrize("part", ["sources", "schema", "entities", "mapping"])
def test_a_part_that_is_missing_or_damaged_is_not_loaded(content: ContentStore, tmp_path: Path, part: str) -> None:
    #
    policy = published(content)
    digest: bytes = getattr(record(policy), part)
    load(policy, content)
    path = tmp_path / "content" / digest.hex()[:2] / digest.hex()[2:]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ContentDamagedError):
        load(policy, content)
    content.drop(digest)
    with pytest.raises(ContentMissingError) as caught:
        load(policy, content)
    assert caught.value.digest == digest


def test_a_set_for_another_engine_is_not_loaded(content: ContentStore) -> None:
    policy = published(content)
    with pytest.raises(MalformedError, match="'rego'"):
        load(policy._replace(record=record(policy)._replace(engine="rego")), content)
