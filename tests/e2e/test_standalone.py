"""The runtime's half alone: the wheel without extras in an empty environment, and without a network."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from exequatur_cli.home import Home
from tests.data import ROOT
from tests.support.founded import issue

# What a base install brings: its two dependencies, and theirs.
INSTALLED = {"exequatur", "cbor2", "cffi", "cryptography", "pycparser"}
ECHO = os.path.realpath(b"/bin/echo")
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
# A namespace of its own has no network but a loopback that is down; -c keeps this user's number.
OFFLINE = ("unshare", "-cn")
# In it only this user has a name. To anyone but root, a home then lies below folders of who knows whom, which the
# gate refuses.
ENFORCING = OFFLINE if os.geteuid() == 0 else ()


def check_output(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("standalone")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    check_output(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (wheel,) = folder.glob("*.whl")
    check_output(uv, "venv", "--quiet", "--python", sys.executable, folder / "env")
    found = folder / "env" / "bin" / "python"
    pins = ROOT / "requirements" / "run.lock"
    check_output(uv, "pip", "install", "--quiet", "--python", found, "--constraints", pins, wheel)
    return found


def run(command: Sequence[object], cwd: Path, within: Sequence[str] = OFFLINE) -> subprocess.CompletedProcess[str]:
    words = [*within, *map(str, command)]
    return subprocess.run(words, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def bundle(opened: Home, tmp_path: Path) -> Path:
    file = tmp_path / "x.exq"
    (data,) = issue(opened, [(ECHO, b"alone")], tmp_path)
    file.write_bytes(data)
    return file


def test_wheel_brings_two_dependencies_and_theirs(python: Path) -> None:
    program = "from importlib.metadata import distributions; print(*(found.name for found in distributions()))"
    assert set(check_output(python, "-c", program).lower().split()) == INSTALLED


def test_namespace_has_no_network(python: Path, tmp_path: Path) -> None:
    program = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    assert run([python, "-c", program], tmp_path).stdout == "lo\n"


def test_wheel_verifies_offline(python: Path, home: Path, bundle: Path, tmp_path: Path) -> None:
    verifier = [python, "-m", "exequatur_verifier", bundle, "--trust", home / "trust.toml", "--json", "--"]
    proven = run([*verifier, os.fsdecode(ECHO), "alone"], tmp_path)
    assert proven.returncode == 0, proven
    verdict = json.loads(proven.stdout)
    assert verdict["admissible"]
    assert verdict["steps"][6]["status"] == "no memory"
    denied = run([*verifier, os.fsdecode(ECHO), "together"], tmp_path)
    assert (denied.returncode, json.loads(denied.stdout)["code"]) == (77, "ACTION_MISMATCH")


def test_wheel_executes_offline_and_once(python: Path, home: Path, bundle: Path, tmp_path: Path) -> None:
    gate = [python, "-m", "exequatur_gate", "run", "--bundle", bundle, "--home", home, "--json", "--"]
    command = [os.fsdecode(ECHO), "alone"]
    ran = run([*gate, *command], tmp_path, ENFORCING)
    assert (ran.returncode, ran.stdout) == (0, "alone\n"), ran.stderr
    assert json.loads(ran.stderr)["unflushed"] == 2
    again = run([*gate, *command], tmp_path, ENFORCING)
    assert (again.returncode, again.stdout) == (77, "")
    assert json.loads(again.stderr)["code"] == "USES_EXHAUSTED"


def test_records_of_an_offline_run_reach_the_log_later(
    python: Path, home: Path, opened: Home, bundle: Path, tmp_path: Path
) -> None:
    gate = [python, "-m", "exequatur_gate", "run", "--bundle", bundle, "--home", home, "--"]
    assert run([*gate, os.fsdecode(ECHO), "alone"], tmp_path, ENFORCING).returncode == 0
    with opened.gate() as entered:
        flushed = entered.flush()
    assert (flushed.accepted, flushed.waiting) == (2, 0)


def test_script_of_a_base_install_names_the_extra(python: Path, tmp_path: Path) -> None:
    called = run([python.parent / "exequatur", "run", "--", "true"], tmp_path)
    assert called.returncode == 2
    assert "exequatur[cli]" in called.stderr
