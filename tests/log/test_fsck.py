"""fsck finds nothing in a sound log, and whatever has been planted in a damaged one."""

import asyncio
import shutil
from pathlib import Path

import pytest

from exequatur_log import head
from exequatur_log.blocking import check_file
from exequatur_log.fsck import fsck
from tests.log import damage, scene
from tests.log.scene import NOW, Case
from tests.support.world import signer


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log with whole cases and more than one page of entries and one tile."""
    path = tmp_path_factory.mktemp("sound") / "log.db"
    policy = scene.policy()
    with scene.create(path) as log:
        log.register(policy)
        for _ in range(3):
            for entry in Case(policy):
                log.register(entry)
        log.register_many([scene.request() for _ in range(600)])
    return path


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "log.db"))


def test_a_sound_log_has_no_findings_and_progress_is_told(copy: Path) -> None:
    told: list[tuple[int, int]] = []
    assert check_file(copy, lambda done, total: told.append((done, total))) == []
    assert told == [(512, 620), (620, 620)]
    damage.append_without_asking(copy, scene.request())
    assert check_file(copy) == []


@pytest.mark.parametrize("name", damage.HIDDEN)
def test_planted_damage_is_found(copy: Path, name: str) -> None:
    planted, code = damage.HIDDEN[name]
    damage.apply(copy, planted)
    findings = check_file(copy)
    assert code in {finding.code for finding in findings}
    assert all(finding.detail for finding in findings)


@pytest.mark.parametrize("name", damage.STARTUP)
def test_what_start_up_refuses_is_found(copy: Path, name: str) -> None:
    damage.apply(copy, damage.STARTUP[name])
    assert check_file(copy) != []


def test_what_should_have_been_refused_is_found_at_its_index(copy: Path) -> None:
    damage.append_without_asking(copy, scene.request(iss="urn:scene:other"))
    assert [(item.code, item.leaf_index) for item in check_file(copy)] == [("REGISTRATION", 620)]
    damage.append_without_asking(
        copy, scene.enrolment(signer("x"), "x", (), by=scene.REQUESTER, enroller="urn:scene:requester")
    )
    assert [(item.code, item.leaf_index) for item in check_file(copy)] == [("REGISTRATION", 620), ("REGISTRATION", 621)]


def test_a_statement_signed_with_an_unknown_key_is_found(copy: Path) -> None:
    damage.append_without_asking(copy, scene.request(key=signer("scene stranger"), iss="urn:scene:requester"))
    assert [(item.code, item.leaf_index) for item in check_file(copy)] == [("SIGNATURE", 620)]


def test_a_cosigned_checkpoint_of_another_head_is_found(copy: Path) -> None:
    with scene.reopen(copy) as log:
        first, last = log.heads(limit=1)[0], log.head()
        log.run(lambda opened: opened.keep_witnessed(head.WitnessedHead(last.size, NOW, last.note)))
    assert check_file(copy) == []
    with scene.reopen(copy) as log:
        log.run(lambda opened: opened.keep_witnessed(head.WitnessedHead(last.size, NOW + 1, first.note)))
    assert [(item.code, item.leaf_index) for item in check_file(copy)] == [("HEAD", last.size)]


def test_findings_are_bounded(copy: Path) -> None:
    damage.apply(copy, damage.sql("UPDATE entries SET iss = 'x'"))
    assert 100 <= len(check_file(copy)) <= 612


def test_what_is_no_log_is_a_finding(path: Path) -> None:
    assert [item.code for item in asyncio.run(fsck(path))] == ["DATABASE"]
    path.write_bytes(b"not a database" * 400)
    assert [item.code for item in asyncio.run(fsck(path))] == ["DATABASE"]
