"""OpenStack Swift as an S3 server: four processes in a folder of their own, on free ports of this machine.

Its copies of an object lie in files with extended attributes, so the folder's filesystem must have them.
"""

import base64
import contextlib
import hmac
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Final, Self

import httpx2

from tests.data import ROOT
from tests.oracles.environment import interpreter

ACCESS_KEY: Final = "test:tester"
SECRET_KEY: Final = "testing"
REGION: Final = "us-east-1"
_PARTS: Final = ("account", "container", "object", "proxy")
_PIPELINE: Final = "catch_errors gatekeeper listing_formats s3api tempauth symlink versioned_writes proxy-server"
_SECONDS: Final = 30
_VERSIONED: Final = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"

_COMMON: Final = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
log_level = ERROR
log_udp_host = 127.0.0.1
log_udp_port = {nowhere}
"""

_STORAGE: Final = """\
devices = {folder}/devices
mount_check = false
disable_fallocate = true
[pipeline:main]
pipeline = {part}-server
[app:{part}-server]
use = egg:swift#{part}
"""

_PROXY: Final = f"""\
[pipeline:main]
pipeline = {_PIPELINE}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_{ACCESS_KEY.replace(":", "_")} = {SECRET_KEY} .admin
[filter:s3api]
use = egg:swift#s3api
location = {REGION}
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
"""


class Swift:
    """A Swift that runs within its context. ``url`` is the endpoint of its S3 interface."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip((*_PARTS, "nowhere"), _free_ports(5), strict=True))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.url: Final = f"http://127.0.0.1:{self._ports['proxy']}"

    def __enter__(self) -> Self:
        try:
            self._make()
            for part in _PARTS:
                self._start(part)
            for part in _PARTS:
                self._await(part)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def make_bucket(self, name: str, *, versioned: bool = False) -> None:
        """Make a bucket; a versioned one keeps what it is told to replace, and goes on taking more."""
        self._put(f"/{name}")
        if versioned:
            self._put(f"/{name}?versioning", _VERSIONED)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill the server that clients talk to, and start it again."""
        proxy = self._running.pop("proxy")
        proxy.kill()
        proxy.wait()
        try:
            yield
        finally:
            self._start("proxy")
            self._await("proxy")

    def _make(self) -> None:
        """Write rings and configuration; raise ``RuntimeError``."""
        _check_attributes(self._folder)
        (self._folder / "devices" / "disk").mkdir(parents=True)
        (self._folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = exequatur\n")
        user = pwd.getpwuid(os.getuid()).pw_name
        for part in _PARTS:
            text = _COMMON + (_PROXY if part == "proxy" else _STORAGE)
            values = {"folder": self._folder, "part": part, "user": user, "nowhere": self._ports["nowhere"]}
            (self._folder / f"{part}.conf").write_text(text.format(port=self._ports[part], **values))
        program = ROOT / "tests" / "oracles" / "swift" / "rings.py"
        ports = [self._ports[part] for part in _PARTS[:3]]
        made = subprocess.run(
            [interpreter("swift"), *map(str, (program, self._folder, *ports))],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(f"the rings of Swift could not be made:\n{made.stderr}")

    def _stop(self) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def _put(self, resource: str, body: bytes = b"") -> None:
        date = formatdate(usegmt=True)
        signed = hmac.digest(SECRET_KEY.encode(), f"PUT\n\n\n{date}\n{resource}".encode(), "sha1")
        headers = {"date": date, "authorization": f"AWS {ACCESS_KEY}:{base64.b64encode(signed).decode()}"}
        httpx2.put(self.url + resource, headers=headers, content=body).raise_for_status()

    def _start(self, part: str) -> None:
        program = Path(interpreter("swift")).with_name(f"swift-{part}-server")
        command = [interpreter("swift"), str(program), str(self._folder / f"{part}.conf")]
        with (self._folder / f"{part}.log").open("ab") as journal:
            self._running[part] = subprocess.Popen(command, stdout=journal, stderr=journal)

    def _await(self, part: str) -> None:
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if self._running[part].poll() is not None:
                break
            with contextlib.suppress(httpx2.HTTPError):
                httpx2.get(f"http://127.0.0.1:{self._ports[part]}/", timeout=5)
                return
            time.sleep(0.05)
        journal = (self._folder / f"{part}.log").read_text()[-4000:]
        raise RuntimeError(f"Swift's {part} server does not answer:\n{journal}")


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _check_attributes(folder: Path) -> None:
    probe = folder / "attributes"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.probe", b"x" * 512)
    except OSError as error:
        raise RuntimeError(f"Swift needs a filesystem with extended attributes below {folder}: {error}") from error
    finally:
        probe.unlink()
