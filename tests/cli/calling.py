"""Calling the command in this process."""

import json
from typing import Any, NamedTuple

import pytest

from exequatur_cli.main import main


class Called(NamedTuple):
    """An exit status, and what was written to stdout and stderr, by the command and by what it ran."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def reported(self) -> dict[str, Any]:
        """The JSON object of ``run``, which stands on stderr after the lines for people."""
        found: dict[str, Any] = json.loads(self.err[self.err.index("\n{\n") :])
        return found


def call(capture: pytest.CaptureFixture[str], *arguments: str) -> Called:
    capture.readouterr()
    status = main(arguments)
    return Called(status, *capture.readouterr())
