"""The founded home, and the command as a user calls it: in this process, with its streams captured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.calling import Called, call
from tests.support.founded import founded, home, opened

__all__ = ["founded", "home", "opened"]

Exq = Callable[..., Called]


@pytest.fixture
def exq(
    founded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Called]:
    """Call ``exequatur`` in a folder of the test's own, with no home but the one that is named."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("EXEQUATUR_HOME", raising=False)
    monkeypatch.setattr("exequatur_gate.home.INSTALLED", str(tmp_path / "installed"))
    (tmp_path / "installed").symlink_to("nowhere")
    return lambda *arguments: call(capfd, *map(str, arguments))
