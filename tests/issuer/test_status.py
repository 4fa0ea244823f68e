"""Status lists as values: the packing of Token Status List, indices that nothing can share, versions and names."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer import status
from exequatur_issuer.status import Listed, Names
from exequatur_verifier import statement
from exequatur_verifier import status as kernel
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Epoch, Link, Status
from exequatur_verifier.statement import MAX_STATEMENT, Claims, Statement
from tests.support import world

NAME = "urn:exequatur:status:test:0"
NOTHING = Listed({}, Names(), 1000)


def signed(record: Status) -> Statement:
    return statement.parse(statement.sign(record, Claims("urn:a", NAME, 1, bytes(16)), world.signer("authority")))


# The examples of draft-ietf-oauth-status-list §4.1: 16 statuses of one bit, and 12 of two.
@pytest.mark.parametrize(
    ("bits", "values", "raw"),
    [
        (1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], "b9a3"),
        (2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], "c944f9"),
    ],
)
def test_packing_is_that_of_token_status_lists(bits: int, values: list[int], raw: str) -> None:
    #
    packed = status.pack(dict(enumerate(values)), len(values), bits)
    assert zlib.decompress(packed).hex() == raw
    assert status.unpack(packed, bits) == {idx: value for idx, value in enumerate(values) if value}


@given(st.dictionaries(st.integers(0, status.SIZE - 1), st.sampled_from((1, 2)), max_size=40))
def test_what_is_packed_is_what_the_kernel_reads(values: dict[int, int]) -> None:
    #
    packed = status.pack(values)
    assert status.unpack(packed) == values
    record = Status((), NAME, 1, 1, status.BITS, packed)
    places = {0, status.SIZE - 1, *values}
    assert {idx: kernel.value_at(record, idx) for idx in places} == {idx: values.get(idx, 0) for idx in places}
    assert kernel.value_at(record, status.SIZE) is None


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"noise",
        zlib.compress(bytes(100))[:-5],
        zlib.compress(bytes(100)) + b"more",
        zlib.compress(bytes(status.MAX_LIST + 1)),
    ],
)
def test_what_is_no_packed_list_is_refused(packed: bytes) -> None:
    with pytest.raises(MalformedError):
        status.unpack(packed)


def test_a_number_of_bits_that_no_list_has_is_refused() -> None:
    with pytest.raises(MalformedError):
        status.unpack(status.pack({}), 3)


@pytest.mark.parametrize("values", [{-1: 1}, {status.SIZE: 1}, {0: 4}, {0: -1}])
def test_what_does_not_fit_a_list_is_not_packed(values: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        status.pack(values)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_two_requests_of_a_log_share_no_index(one: int, other: int) -> None:
    #
    assert (status.assign("urn:x:y", one) == status.assign("urn:x:y", other)) == (one == other)


def test_indices_fill_one_list_after_the_other() -> None:
    #
    ends = [status.assign("urn:x:y", at) for at in (0, status.SIZE - 1, status.SIZE)]
    assert [tuple(entry) for entry in ends] == [("urn:x:y:0", 0), ("urn:x:y:0", status.SIZE - 1), ("urn:x:y:1", 0)]
    with pytest.raises(ValueError, match="stands in a log"):
        status.assign("urn:x:y", -1)


def test_a_version_says_what_the_next_one_begins_with() -> None:
    #
    names = Names(
        frozenset(("urn:z", "urn:a")),
        frozenset((bytes(32),)),
        frozenset((b"k" * 32,)),
        frozenset((Epoch("urn:s:t", 3),)),
    )
    listed = Listed({5: status.REVOKED, 9: status.SUSPENDED}, names, 1000)
    first = signed(status.follow(None, NAME, listed))
    assert status.read(first) == listed
    assert (status.record_of(first).version, first.record.links) == (1, ())
    second = status.follow(first, NAME, listed._replace(next_update=2000))
    assert (second.version, second.links) == (2, (Link("previous", first.id),))
    assert second.subjects == ("urn:a", "urn:z")


def test_a_list_that_cannot_be_compressed_is_far_below_the_size_of_a_statement() -> None:
    #
    assert len(zlib.compress(world.signer("x").public_key.encoded * 400)) < MAX_STATEMENT
    worst = status.SIZE * status.BITS // 8
    assert worst < MAX_STATEMENT // 2


def test_a_record_of_another_kind_is_no_version() -> None:
    with pytest.raises(MalformedError, match="policy record is no version"):
        status.read(statement.parse(world.policy_statement()))


def test_names_are_added_and_taken_away_by_kind() -> None:
    mine = Names(subjects=frozenset(("urn:a",)), epochs=frozenset((Epoch("urn:s:t", 3),)))
    lower = Names(epochs=frozenset((Epoch("urn:s:t", 1),)))
    both = mine.with_(lower)
    # What covers another does not swallow it: when the wider one is resumed, the other stands.
    assert both.without(mine) == lower
    assert both.without(lower) == mine
