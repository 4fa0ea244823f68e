"""Gates of one home, killed at random moments: nothing runs twice or runs on, and every run has its end in the log."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from exequatur_cli.audit import audit
from exequatur_cli.home import Home
from exequatur_gate.gate import Gate
from exequatur_log.blocking import check_file
from exequatur_verifier import bundle as bundles
from exequatur_verifier import statement
from exequatur_verifier.records import Kind, Outcome
from tests.faults.mortal import WARM, Mortal, finish, generator, kill_at, moment
from tests.faults.work import command, govern, present, race, told
from tests.gate.commands import wait_until
from tests.support.founded import SHELL, enter, issue

ROUNDS = 34
GATES = 3
EACH = 3
RACERS = 8

# Each tells by one line that it ran; the second starts what would outlive both it and its gate.
SHORT = b'echo "$0" >> ran'
LINGERING = b'echo "$0" >> ran; sleep 60 & wait'

Presented = tuple[bytes, tuple[bytes, ...]]


class Scene:
    """A home whose gates are killed, the folder in which commands run, and every artifact that was issued so far."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.tokens: dict[bytes, bytes] = {}
        self.outcomes: set[bytes] = set()
        folder.mkdir()

    def issue(self, entered: Home, programs: Sequence[bytes]) -> list[Presented]:
        """Return single-use artifacts with their commands, whose last word is a token of their own."""
        commands = [
            (SHELL, b"-c", program, b"%d" % number) for number, program in enumerate(programs, len(self.tokens))
        ]
        issued = issue(entered, commands, self.folder)
        self.tokens |= {argv[-1]: artifact(data) for argv, data in zip(commands, issued, strict=True)}
        return list(zip(issued, commands, strict=True))

    def pace(self, entered: Home) -> float:
        """Return how many seconds a short command takes on this machine now, one at most."""
        first = Mortal(govern, self.home, self.issue(entered, [SHORT]), self.folder)
        while not first.told:
            assert first.listen()
        assert first.ready is not None
        pace = time.monotonic() - first.ready
        first.kill()
        return min(pace, 1.0)

    def hear(self, told: list[Any]) -> None:
        """Take in what a killed gate said of its runs."""
        for status, code, _, outcome in told:
            assert (status, code) in {(0, None), (77, "USES_EXHAUSTED")}
            if outcome is not None:
                self.outcomes.add(outcome)

    def ran(self) -> list[bytes]:
        with suppress(FileNotFoundError):
            return (self.folder / "ran").read_bytes().split()
        return []

    def running(self) -> list[str]:
        """Return the processes that stand in the folder, in which only governed ones do."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            # One that is gone, or a zombie, stands nowhere.
            with suppress(OSError):
                if (process / "cwd").readlink() == self.folder:
                    found.append(process.name)
        return found

    def check(self, entered: Home, gate: Gate, *, known: bool = True) -> None:
        """Check what holds once a gate has started after others were killed."""
        flushed = gate.flush()
        assert (flushed.refused, flushed.waiting) == (0, 0)
        # What was killed a moment ago may take another to be gone.
        wait_until(lambda: not self.running())
        with gate.state.transaction() as transaction:
            assert transaction.execute("SELECT count(*) FROM reservations").fetchone() == (0,)
            used = {artifact for (artifact,) in transaction.execute("SELECT authorization FROM uses WHERE used = 1")}
        verified = linked(entered, Kind.VERIFICATION)
        ended = linked(entered, Kind.OUTCOME)
        assert sorted(ended.values()) == sorted(verified)
        assert sorted(verified.values()) == sorted(used)
        assert self.outcomes <= ended.keys()
        ran = self.ran()
        assert len(set(ran)) == len(ran)
        assert not known or {self.tokens[token] for token in ran} <= used


def artifact(data: bytes) -> bytes:
    parsed, _ = statement.parse_transparent(bundles.decode(data).artifact)
    return parsed.id


def linked(entered: Home, kind: Kind) -> dict[bytes, bytes]:
    """Return the records of a kind, by id, with the record that each came from."""
    entries = entered.log.find(kind=kind, limit=1 << 20)
    return {entry.record_id: statement.parse(entry.statement).record.links[0].id for entry in entries}


def test_kill_at_any_moment_leaves_no_run_without_its_end(home: Path, tmp_path: Path) -> None:
    # G-09 G-17 G-18
    draw, scene = generator("gates"), Scene(home, tmp_path / "work")
    with enter(home) as entered:
        longest = 4 * scene.pace(entered)
        for number in range(1, ROUNDS + 1):
            presented = scene.issue(entered, draw.choices((SHORT, SHORT, LINGERING), k=EACH))
            orders = [draw.sample(presented, EACH) for _ in range(GATES)]
            gates = [Mortal(govern, home, order, scene.folder) for order in orders]
            kill_at(gates, [moment(draw, longest) for _ in gates])
            for killed in gates:
                scene.hear(killed.told)
            with entered.gate() as gate:
                scene.check(entered, gate)
                used = linked(entered, Kind.VERIFICATION).values()
                for again in presented:
                    if scene.tokens[again[1][-1]] in used:
                        assert told(present(gate, *again, scene.folder))[:2] == (77, "USES_EXHAUSTED")
                scene.check(entered, gate)
            if number % 10 == 0 or number == ROUNDS:
                report = audit(home)
                assert report.ok, report
        ends = [statement.parse(entry.statement).record for entry in entered.log.find(kind=Kind.OUTCOME, limit=1 << 20)]
    assert check_file(home / "log.db") == []
    orphaned = [end.detail for end in ends if isinstance(end, Outcome) and end.status == "orphaned"]
    cleared = orphaned.count("terminated")
    print(f"{ROUNDS * GATES} kills, {len(ends)} runs, {len(orphaned)} orphaned, {cleared} of them cleared up")
    assert set(orphaned) <= {"terminated", "not-found"}
    assert cleared > 0


def test_kill_of_the_whole_command_leaves_a_home_that_works(home: Path, tmp_path: Path) -> None:
    draw, scene, said = generator("commands"), Scene(home, tmp_path / "work"), list[str]()
    for _ in range(6):
        commands = [Mortal(command, home, scene.folder) for _ in range(3)]
        kill_at(commands, [moment(draw, 0.5) for _ in commands])
        said += [word for killed in commands for word in killed.told]
        with enter(home) as entered, entered.gate() as gate:
            scene.check(entered, gate, known=False)
        report = audit(home)
        assert report.ok, report
    ran = scene.ran()
    assert len(set(ran)) == len(ran)
    assert {word.encode() for word in said} <= set(ran)


def test_one_of_many_gates_runs_a_single_use_artifact(home: Path, tmp_path: Path) -> None:
    # G-09
    scene = Scene(home, tmp_path / "work")
    with enter(home) as entered:
        presented = scene.issue(entered, [SHORT] * 12)
    barrier = WARM.Barrier(RACERS)
    said = finish(race, [(home, presented, scene.folder, barrier)] * RACERS)
    for answers in zip(*said, strict=True):
        assert sorted((status, code) for status, code, _, _ in answers) == [
            (0, None),
            *[(77, "USES_EXHAUSTED")] * (RACERS - 1),
        ]
    assert sorted(scene.ran()) == sorted(scene.tokens)
    with enter(home) as entered, entered.gate() as gate:
        scene.check(entered, gate)
    assert audit(home).ok
