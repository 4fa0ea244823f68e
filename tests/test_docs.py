"""The documents say what is so: every command of the README runs, and what they link to exists."""

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from exequatur_verifier import receipt, statement
from tests.data import ROOT

README = (ROOT / "README.md").read_text()
SCRIPTS = Path(sys.executable).parent
COMMAND = re.compile(r"^(?:\.venv/bin/)?(?P<command>(?:exequatur|curl|sed) [^#\n]*)(?:# (?P<about>.*))?$", re.MULTILINE)
# A policy in the README names the file that it stands in.
POLICY = re.compile(r"^```cedar\n// (?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


@pytest.mark.timeout(400)
def test_every_command_of_the_readme_runs_in_its_order(tmp_path: Path) -> None:
    named = set(ADDRESS.findall(README))
    with ExitStack() as held:
        free = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in named]
        places = {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in zip(named, free, strict=True)}
    steps = sorted([*POLICY.finditer(README), *COMMAND.finditer(README)], key=re.Match.start)
    statuses = []
    with ExitStack() as served:
        for step in steps:
            if step.re is POLICY:
                (tmp_path / step["file"]).write_text(step["text"])
                continue
            name, *arguments = shlex.split(ADDRESS.sub(lambda name: places[name[0]], step["command"]))
            command = [str(SCRIPTS / name) if name == "exequatur" else name, *arguments]
            if arguments[-1] == "&":
                address = arguments[arguments.index("--listen") + 1]
                served.callback(_serve(command[:-1], tmp_path, f"http://{address}/healthz"))
                continue
            if name == "curl":
                command.insert(1, "--fail")
            statuses.append(77 if (step["about"] or "").startswith("denied") else 0)
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == statuses[-1], f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    assert (len(statuses) >= 30, statuses.count(77)) == (True, 4)
    parsed = receipt.parse((tmp_path / "receipt.cose").read_bytes())
    entry = (tmp_path / "statement.cose").read_bytes()
    assert parsed.inclusion.leaf_index == 1
    assert len(receipt.root(parsed, statement.parse(entry).leaf)) == 32
    assert len((tmp_path / "tile").read_bytes()) == 4 * 32


def _serve(command: list[str], folder: Path, health: str) -> Callable[[], None]:
    """Start what the README puts into the background, wait until it answers, and return what ends it."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop() -> None:
        process.terminate()
        assert process.wait(30) == 0

    for _ in range(300):
        try:
            if httpx2.get(health).status_code == 200:
                return stop
        except httpx2.TransportError:
            time.sleep(0.1)
    stop()
    raise AssertionError(f"{shlex.join(command)} does not answer")


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
