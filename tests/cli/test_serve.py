"""``exequatur serve``: the home's log over HTTP, while its other commands go on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from exequatur_log.blocking import check_file
from tests.cli.conftest import Exq

EXQ = str(Path(sys.executable).with_name("exequatur"))


@pytest.fixture
def process(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [EXQ, "serve", "--home", str(home), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    told = json.loads("".join(process.stdout.readline() for _ in range(4)))
    assert told.keys() == {"url", "origin"}
    url: str = told["url"]
    return url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_home_is_served_while_its_commands_go_on(
    exq: Exq, home: Path, process: subprocess.Popen[str], number: signal.Signals
) -> None:
    url = url_of(process)
    before = httpx2.get(f"{url}/readyz").json()["size"]
    assert exq("run", "--home", home, "--", "true").status == 0
    assert httpx2.get(f"{url}/readyz").json()["size"] == before + 5
    process.send_signal(number)
    assert process.wait(30) == 0
    assert check_file(home / "log.db") == []
    assert exq("audit", home, "--json").json["ok"]


@pytest.mark.parametrize("address", ["8080", "localhost:", ":80", "localhost:x", "localhost:65536"])
def test_an_address_is_a_host_and_a_port(exq: Exq, home: Path, address: str) -> None:
    assert exq("serve", "--home", home, "--listen", address).status == 2


@pytest.mark.parametrize("content", ["", "# nobody", "word", "ab" * 31, "AB" * 32 + "x"])
def test_a_file_of_tokens_holds_digests(exq: Exq, home: Path, content: str) -> None:
    Path("tokens").write_text(content)
    assert exq("serve", "--home", home, "--tokens", "tokens").status == 2


@pytest.mark.parametrize("quota", ["0", "-1", "nan", "inf"])
def test_a_quota_is_a_rate(exq: Exq, home: Path, quota: str) -> None:
    assert exq("serve", "--home", home, "--quota", quota).status == 2


def test_a_port_that_is_taken_is_said_to_be(exq: Exq, home: Path, process: subprocess.Popen[str]) -> None:
    address = url_of(process).removeprefix("http://")
    assert exq("serve", "--home", home, "--listen", address).status == 69
