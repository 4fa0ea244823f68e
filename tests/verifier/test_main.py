"""``python -m exequatur_verifier``: every step is listed, nothing is written, and the status says what would be."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier.constraints import Facts
from exequatur_verifier.host import measure
from tests.support import world
from tests.support.world import Log

ENVIRON = {b"PATH": b"/usr/bin:/bin"}
CALL = {"type": "mcp.tool", "name": "book", "resource": "urn:example:air", "args": {"seat": "12A"}}


class Place:
    """A folder with a trust policy and a bundle for ``true``, issued now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = int(time.time())
        self.log = world.new_log()
        command = measure([b"true"], cwd=os.fsencode(folder), environ=ENVIRON)
        self.authorize(command.descriptor, command.facts)
        self.trust(self.log)

    def authorize(self, descriptor: Mapping[str, Any], facts: Facts) -> None:
        (self.folder / "bundle.exq").write_bytes(world.authorize(descriptor, facts, self.log, now=self.now))

    def trust(self, *logs: Log, actions: str = "process.exec") -> None:
        (self.folder / "trust.toml").write_text(world.trust_toml(*logs, actions=(actions,)))

    def verify(self, *arguments: str, name: str = "bundle.exq") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHON"))}
        environment["PATH"] = "/usr/bin:/bin"
        before = sorted(path.name for path in self.folder.iterdir())
        done = subprocess.run(
            [sys.executable, "-m", "exequatur_verifier", name, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert sorted(path.name for path in self.folder.iterdir()) == before
        return done


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("believed", [("--trust", "trust.toml"), ("--home", ".")])
def test_bundle_that_would_be_admitted(place: Place, believed: tuple[str, str]) -> None:
    done = place.verify(*believed, "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    *steps, last = done.stdout.splitlines()
    assert last == "would be admitted"
    assert [int(line.split()[0]) for line in steps] == list(range(15))
    assert "no memory" in steps[6]
    assert all("passed" in line for number, line in enumerate(steps) if number != 6)


def test_command_that_was_not_authorized(place: Place) -> None:
    done = place.verify("--trust", "trust.toml", "--", "true", "--help")
    assert done.returncode == 77
    assert done.stdout.splitlines()[-1] == "denied: ACTION_MISMATCH"
    assert " 9  action" in done.stdout


def test_command_that_cannot_be_measured(place: Place) -> None:
    done = place.verify("--trust", "trust.toml", "--", "no-such-command")
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr.startswith("FACT_MISMATCH: ")


def test_bundle_that_is_missing_or_malformed(place: Place) -> None:
    assert place.verify("--trust", "trust.toml", "--", "true", name="absent.exq").returncode == 77
    (place.folder / "bundle.exq").write_bytes(b"nonsense")
    done = place.verify("--trust", "trust.toml", "--", "true")
    assert done.returncode == 65
    assert "ARTIFACT_MALFORMED" in done.stdout


def test_json_lists_the_steps(place: Place) -> None:
    report = json.loads(place.verify("--trust", "trust.toml", "--json", "--", "true").stdout)
    assert (report["admissible"], report["code"], report["step"]) == (True, None, None)
    assert report["subject"] == world.SUBJECT
    assert [step["number"] for step in report["steps"]] == list(range(15))
    denied = json.loads(place.verify("--trust", "trust.toml", "--json", "--", "false").stdout)
    assert (denied["admissible"], denied["code"], denied["step"]) == (False, "ACTION_MISMATCH", 9)
    assert denied["condition"] == "runtime conditions mismatch"
    assert denied["steps"][9]["code"] == "ACTION_MISMATCH"
    missing = json.loads(place.verify("--trust", "trust.toml", "--json", "--", "true", name="absent").stdout)
    assert (missing["record"], missing["subject"], missing["code"]) == (None, None, "ARTIFACT_MISSING")


def test_what_was_ignored_is_listed(place: Place) -> None:
    place.trust(world.new_log("other.example/log"))
    done = place.verify("--trust", "trust.toml", "--", "true")
    assert done.returncode == 77
    assert f"ignored: receipt of {world.ORIGIN}" in done.stdout


def test_action_from_a_file(place: Place) -> None:
    place.trust(place.log, actions="mcp.tool")
    place.authorize(CALL, Facts())
    (place.folder / "action.json").write_text(json.dumps(CALL))
    assert place.verify("--trust", "trust.toml", "--action", "action.json").returncode == 0
    (place.folder / "action.json").write_text(json.dumps({**CALL, "name": "cancel"}))
    assert place.verify("--trust", "trust.toml", "--action", "action.json").returncode == 77


@pytest.mark.parametrize("text", ["nonsense", '{"type": "mcp.tool"}', '{"type": "a", "type": "b"}'])
def test_action_that_is_malformed(place: Place, text: str) -> None:
    (place.folder / "action.json").write_text(text)
    done = place.verify("--trust", "trust.toml", "--action", "action.json")
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.startswith("malformed: ")


def test_trust_that_is_malformed_or_absent(place: Place) -> None:
    (place.folder / "trust.toml").write_text("leeway = 'much'")
    assert place.verify("--trust", "trust.toml", "--", "true").returncode == 65
    done = place.verify("--trust", "absent.toml", "--", "true")
    assert (done.returncode, done.stderr) == (2, "absent.toml cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--", "true"),
        ("--trust", "trust.toml", "--home", ".", "--", "true"),
        ("--trust", "trust.toml"),
        ("--trust", "trust.toml", "--action", "action.json", "--", "true"),
    ],
)
def test_usage(place: Place, arguments: tuple[str, ...]) -> None:
    done = place.verify(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
