"""Replaying a log by several processes: the same results as by one, and what was not computed again has its finding."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from exequatur_cli import replaying
from exequatur_cli.replaying import Finding, Range, Replayed, replay_log
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import statement
from exequatur_verifier.records import Decision, Kind, Policy, Request
from tests.cli.mortal import die
from tests.issuer.house import House
from tests.issuer.ledger import RealLog
from tests.log.damage import apply
from tests.support import world

SHRED = {**world.COMMAND, "name": b"/usr/bin/shred"}
PART = 4


class Scene(NamedTuple):
    """A closed log with its content store, and the statements in it."""

    folder: Path
    statements: list[statement.Statement]

    def replay(self, processes: int = 1, part: int = PART) -> Replayed:
        path = self.folder / "log.db"
        with BlockingLog.open(path) as log:
            return replay_log(log, path, self.folder / "content", log.head(), processes=processes, part=part)

    def content(self, digest: bytes) -> Path:
        return self.folder / "content" / digest.hex()[:2] / digest.hex()[2:]

    def write(self, index: int, entry: bytes) -> None:
        """Put another statement in the place of an entry."""
        change = "UPDATE entries SET statement = ? WHERE leaf_index = ?"
        apply(self.folder / "log.db", lambda connection: connection.execute(change, (entry, index)))

    def decisions(self) -> list[tuple[int, statement.Statement]]:
        return [(index, item) for index, item in enumerate(self.statements) if item.kind is Kind.DECISION]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Five decisions of two kinds in a log of several parts, the last of which says what its inputs do not."""
    folder = tmp_path_factory.mktemp("made")
    log = RealLog(folder / "log.db")
    house = House(folder, log)
    for action in (world.COMMAND, SHRED, world.COMMAND, SHRED):
        house.answer(house.asked(action))
    *_, last = (item for item in log.statements() if item.kind is Kind.DECISION)
    assert isinstance(last.record, Decision)
    forged = last.record._replace(outcome="allow", code=None, reasons=("permit-every-command",))
    claims = last.claims._replace(cti=house.unique())
    log.register([statement.sign(forged, claims, world.signer("authority"))])
    statements = log.statements()
    log.close()
    return Scene(folder, statements)


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    shutil.copytree(made.folder, tmp_path / "scene")
    return made._replace(folder=tmp_path / "scene")


def test_a_decision_that_differs_is_named_with_its_place_and_both_values(made: Scene) -> None:
    #
    index, forged = made.decisions()[-1]
    replayed = made.replay()
    assert (replayed.decisions, replayed.equal) == (5, 4)
    [finding] = replayed.findings
    assert finding[:3] == ("DECISION_DIFFERS", index, forged.id)
    assert finding.detail.startswith("outcome is 'allow', and its inputs give 'deny'")


def test_several_processes_find_what_one_finds_in_the_order_of_the_log(scene: Scene) -> None:
    # V-55
    _, second = scene.decisions()[1]
    request = next(item for item in scene.statements if item.id == second.record.links[0].id).record
    assert isinstance(request, Request)
    scene.content(request.action.commitment).unlink()
    alone = scene.replay()
    assert [finding.code for finding in alone.findings] == ["DECISION_NOT_REPLAYABLE", "DECISION_DIFFERS"]
    assert scene.replay(processes=2) == alone
    # Nor does it matter where the parts begin.
    assert scene.replay(part=1) == scene.replay(part=replaying.PART) == alone


@pytest.mark.parametrize("part", ["sources", "schema", "entities", "mapping", "request"])
def test_one_flipped_bit_of_what_is_stored_names_each_decision_that_rests_on_it(scene: Scene, part: str) -> None:
    # A-34 A-35
    policy = next(item.record for item in scene.statements if isinstance(item.record, Policy))
    asked = [item.record for item in scene.statements if isinstance(item.record, Request)]
    digest: bytes = asked[0].action.commitment if part == "request" else getattr(policy, part)
    path = scene.content(digest)
    content = path.read_bytes() or b" "
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    replayed = scene.replay()
    decisions = scene.decisions()[: 1 if part == "request" else None]
    named = [finding for finding in replayed.findings if finding.code == "DECISION_NOT_REPLAYABLE"]
    assert [finding[1:3] for finding in named] == [(index, item.id) for index, item in decisions]
    assert all(f"content {digest.hex()} is damaged" in finding.detail for finding in named)
    assert replayed.equal == (3 if part == "request" else 0)


def test_entries_that_are_not_those_of_the_head_are_told(scene: Scene) -> None:
    # V-55
    (index, _), first = scene.decisions()[0], scene.statements[0]
    scene.write(index, first.entry)
    replayed = scene.replay()
    assert (replayed.decisions, replayed.equal) == (4, 3)
    *_, finding = replayed.findings
    assert finding[:3] == ("DECISION_NOT_REPLAYABLE", None, None)
    assert "log fsck" in finding.detail


def test_a_decision_that_cannot_be_read_is_named(scene: Scene) -> None:
    # V-56
    index, decision = scene.decisions()[0]
    scene.write(index, decision.entry + b"\0")
    replayed = scene.replay()
    assert replayed.decisions == 4
    assert replayed.findings[0][:3] == ("DECISION_NOT_REPLAYABLE", index, decision.id)
    assert "cannot be read" in replayed.findings[0].detail


def test_a_log_that_another_process_cannot_open_is_not_replayed(scene: Scene) -> None:
    # V-56
    replayed = replaying.work(Range(scene.folder / "elsewhere.db", scene.folder / "content", 8, 12))
    assert replayed.edge is None
    check_unfinished(replayed.findings, [(8, 11)])


def test_what_a_process_that_died_had_to_do_is_not_replayed(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    # V-56
    monkeypatch.setattr(replaying, "work", die)
    replayed = made.replay(processes=2, part=8)
    last = len(made.statements) - 1
    check_unfinished(replayed.findings, [(start, min(start + 7, last)) for start in range(0, last + 1, 8)])
    assert (replayed.decisions, replayed.equal) == (0, 0)
    assert "died" in replayed.findings[0].detail


def check_unfinished(findings: tuple[Finding, ...], ranges: list[tuple[int, int]]) -> None:
    """Check that there is one finding for each range of entries, which says that they were not replayed."""
    assert [finding[:3] for finding in findings] == [("DECISION_NOT_REPLAYABLE", first, None) for first, _ in ranges]
    for finding, (first, last) in zip(findings, ranges, strict=True):
        assert f"entries {first} to {last} were not replayed" in finding.detail
