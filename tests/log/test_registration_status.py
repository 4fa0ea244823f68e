"""Status lists: one history of versions each, by one authority. Each refusal changes one thing."""

from typing import Any

import pytest

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused
from exequatur_log.storage.place import Place
from exequatur_verifier.records import Kind
from tests.log import damage, scene
from tests.log.scene import APPROVER, NOW, refused
from tests.support.world import signer


@pytest.fixture(scope="module")
def log(shared: tuple[BlockingLog, bytes]) -> BlockingLog:
    scene.enrol_further(shared[0])
    return shared[0]


@pytest.fixture
def name() -> str:
    return f"urn:scene:status:{scene.unique().hex()}"


def test_versions_go_up_by_one_and_link_the_one_before(log: BlockingLog, name: str) -> None:
    # L-28
    first = scene.status(name)
    for version, previous in ((0, None), (2, None)):
        assert refused(log, scene.status(name, version, previous)) is Code.STATUS_INVALID
    assert log.register(first).fresh
    second = scene.status(name, 2, first)
    for version, previous in ((1, None), (2, None), (1, first), (3, first)):
        assert refused(log, scene.status(name, version, previous)) is Code.STATUS_INVALID
    assert log.register(second).fresh
    assert refused(log, scene.status(name, 3, first)) is Code.STATUS_INVALID
    third, fork = log.register_many([scene.status(name, 3, second), scene.status(name, 3, second)])
    assert isinstance(third, Registered)
    assert isinstance(fork, Refused)
    assert fork.code is Code.STATUS_INVALID


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(({"bits": bits}, None) for bits in (1, 2, 4, 8)),
        *(({"bits": bits}, Code.STATUS_INVALID) for bits in (0, 3, 16)),
        ({"next_update": NOW + 1}, None),
        ({"next_update": NOW}, Code.STATUS_INVALID),
        ({"sub": "urn:scene:status:other"}, Code.STATUS_INVALID),
        ({"key": APPROVER}, Code.KIND_NOT_ENROLLED),
    ],
)
def test_a_status_record_is_that_of_a_list(
    log: BlockingLog, name: str, changes: dict[str, Any], code: Code | None
) -> None:
    # L-28
    (answer,) = log.register_many([scene.status(name, **changes)])
    assert (answer.code if isinstance(answer, Refused) else None) == code


def test_a_list_stays_with_its_authority(log: BlockingLog, name: str) -> None:
    # L-28
    first = scene.status(name)
    other, second_key = signer("scene other authority"), signer("scene authority's next key")
    kinds = (Kind.STATUS,)
    log.register_many(
        [
            first,
            scene.enrolment(other, "urn:scene:other authority", kinds),
            scene.enrolment(second_key, "urn:scene:authority", kinds),
        ]
    )
    theirs = scene.status(name, 2, first, key=other, iss="urn:scene:other authority")
    assert refused(log, theirs) is Code.STATUS_INVALID
    assert log.register(scene.status(name, 2, first, key=second_key, iss="urn:scene:authority")).fresh


def test_a_list_has_one_history_in_every_process(place: Place, name: str) -> None:
    # L-28
    first = scene.status(name)
    second = scene.status(name, 2, first)
    with scene.create(place) as log, scene.reopen(place) as other:
        scene.enrol_further(log)
        assert log.register(first).fresh
        assert other.register(second).fresh
        assert refused(log, scene.status(name, 2, first)) is Code.STATUS_INVALID
    with scene.reopen(place) as log:
        assert refused(log, scene.status(name, 2, first)) is Code.STATUS_INVALID
        assert log.register(scene.status(name, 3, second)).fresh
    assert check_file(place) == []
    damage.append_without_asking(place, scene.status(name, 3, second))
    assert [(item.code, item.detail[:14]) for item in check_file(place)] == [("REGISTRATION", "STATUS_INVALID")]
