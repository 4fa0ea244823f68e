"""What operators copy: the unit is one that systemd takes, the container file one that its linter has nothing on.

The container is not built here: that would fetch its base from a registry.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.data import ROOT

DEPLOY = ROOT / "log" / "deploy"


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "exequatur.service").read_text()
    command = re.search(r"^ExecStart=(\S+) serve --home \S+ --listen 127\.0\.0\.1:8080$", text, re.MULTILINE)
    assert command is not None
    unit = tmp_path / "exequatur.service"
    unit.write_text(text.replace(command[1], str(Path(sys.executable).with_name("exequatur"))))
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        # Where systemd is not installed, there is nobody to run the unit either.
        assert all(re.match(r"(\[\w+\]|\w+=.*|#.*|)$", line) for line in text.splitlines())
        return
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    broken = tmp_path / "broken.service"
    broken.write_text(unit.read_text().replace("Type=exec", "Type=nothing"))
    assert (
        "service type"
        in subprocess.run([analyze, "verify", broken], capture_output=True, text=True, check=False).stderr
    )


def test_the_linter_has_nothing_on_the_container_file(tmp_path: Path) -> None:
    linter = ROOT / ".venv-oracles" / "hadolint" / "bin" / "hadolint"
    text = (DEPLOY / "Containerfile").read_text()
    done = subprocess.run([linter, DEPLOY / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Containerfile").write_text(
        text.replace("bookworm AS build", "latest AS build").replace("3.13-slim-", "")
    )
    found = subprocess.run([linter, tmp_path / "Containerfile"], capture_output=True, text=True, check=False)
    assert "DL3007" in found.stdout
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
