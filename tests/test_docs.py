"""The documents say what is so: every command of the README runs, and what they link to exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import ROOT

README = (ROOT / "README.md").read_text()
SCRIPTS = Path(sys.executable).parent
COMMAND = re.compile(r"^\.venv/bin/(?P<command>exequatur [^#\n]*)", re.MULTILINE)


def test_every_command_of_the_readme_runs_in_its_order(tmp_path: Path) -> None:
    commands = [shlex.split(found["command"]) for found in COMMAND.finditer(README)]
    assert len(commands) >= 6
    for name, *arguments in commands:
        done = subprocess.run([SCRIPTS / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name} {shlex.join(arguments)}\n{done.stdout}{done.stderr}"


def test_the_readme_names_every_make_target_that_it_uses() -> None:
    targets = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_every_command_has_help_and_stands_in_the_list() -> None:
    from exequatur_cli.main import COMMANDS

    shown = subprocess.run([SCRIPTS / "exequatur", "--help"], capture_output=True, text=True, check=True).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", shown, re.MULTILINE), command


def test_the_demonstration_ends_well() -> None:
    done = subprocess.run([SCRIPTS / "exequatur", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for code in ("ARTIFACT_MISSING", "POLICY_FORBID", "FACT_MISMATCH", "ACTION_MISMATCH", "EXPIRED"):
        assert f"denied {code}" in done.stdout
    for code in ("USES_EXHAUSTED", "LOG_FORK", "LOG_ROLLBACK"):
        assert f"denied {code}" in done.stdout
    assert done.stdout.rstrip().endswith("ok")
