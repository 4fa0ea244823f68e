"""``exequatur log load`` on a home that is served, while its server is killed again and again."""

import json
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import httpx2
import pytest

from exequatur_log.blocking import check_file
from tests.cli.calling import call

EXQ: Final = str(Path(sys.executable).with_name("exequatur"))
KILLS: Final = 4


class Mortal:
    """A served home whose server is killed every second or so, and started again on the same port."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process = self._start("127.0.0.1:0")
        assert self._process.stdout is not None
        self.url: str = json.loads("".join(self._process.stdout.readline() for _ in range(5)))["url"]
        self.kills = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)
        self._process.terminate()
        assert self._process.wait(30) == 0
        self._close()

    def _start(self, address: str) -> subprocess.Popen[str]:
        command = [EXQ, "serve", "--home", str(self._home), "--listen", address, "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def _kill(self) -> None:
        draw = random.Random(7)
        while self.kills < KILLS and not self._end.wait(draw.uniform(0.6, 1.4)):
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._close()
            self.kills += 1
            self._process = self._start(self.url.removeprefix("http://"))
            for _ in range(600):
                with suppress(httpx2.TransportError):
                    httpx2.get(f"{self.url}/healthz", timeout=5)
                    break
                self._end.wait(0.05)

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S-24, S-25."""
    with Mortal(home) as server:
        told = call(
            capsys,
            "log",
            "load",
            server.url,
            "--home",
            str(home),
            "--seconds",
            "6",
            "--writers",
            "4",
            "--readers",
            "4",
            "--json",
        )
    report = told.json
    assert report["violations"] == []
    assert (told.status, report["ok"], report["unanswered"]) == (0, True, 0)
    assert server.kills >= 2
    assert report["disconnected"] >= server.kills
    assert report["duplicates"] > 0
    assert report["acknowledged"] > 0
    assert "nothing that was told contradicts" in told.err
    assert check_file(home / "log.db") == []


def test_what_is_wrong_with_the_call_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "log", "load", "ftp://log.example", "--home", str(home)).status == 2
    known = call(capsys, "log", "load", "http://127.0.0.1:1", "--home", str(home), "--origin", "log.example/other")
    assert known.status == 2
    assert "exequatur.local/" in known.err
