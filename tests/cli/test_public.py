"""A home whose log is cosigned and published: ``log.toml``, a witness of our own, and trust that asks for it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from exequatur_verifier import checkpoint, note
from exequatur_verifier.note import NoteKey
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq

EXQ = str(Path(sys.executable).with_name("exequatur"))


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a command that serves, and yield its process and what it said when it answered."""
    command = [EXQ, *map(str, arguments), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            line = process.stdout.readline()
            assert line, f"{arguments} ended"
            told += line
        try:
            yield process, json.loads(told)
        finally:
            process.terminate()
            process.wait(40)


@pytest.fixture
def witness(exq: Exq, home: Path, tmp_path: Path) -> tuple[Path, NoteKey]:
    """A witness that knows the home's log, and the key that the home's trust asks for."""
    directory = tmp_path / "witness"
    vkeys = exq("witness", "init", directory, "--name", "w.example", "--json").json["vkeys"]
    log = next(iter(parse_trust((home / "trust.toml").read_bytes()).logs.values()))
    (log_key,) = log.checkpoint_vkeys
    assert exq("witness", "add-log", directory, note.format_key(log_key)).status == 0
    with (home / "trust.toml").open("a") as trust:
        trust.write(f'\n[witness]\nquorum = "w"\n[witness.keys]\nw = "{vkeys[0]}"\n')
    return directory, note.parse_key(vkeys[0])


def settle(home: Path, url: str, key: NoteKey, extra: str = "") -> None:
    """Write the home's policy of witnesses, and the settings that name it."""
    log = next(iter(parse_trust((home / "trust.toml").read_bytes()).logs.values()))
    lines = [f"log {note.format_key(vkey)}" for vkey in log.checkpoint_vkeys]
    lines += [f"witness w {note.format_key(key)} {url}", "quorum w"]
    (home / "witness.policy").write_text("".join(f"{line}\n" for line in lines))
    (home / "log.toml").write_text(f'{extra}[witness]\npolicy = "witness.policy"\nrequired = true\ntimeout = 2\n')


def test_a_command_runs_under_a_quorum_and_is_denied_without_it(
    exq: Exq, home: Path, witness: tuple[Path, NoteKey]
) -> None:
    """S-30: bundles bear the cosignatures that trust asks for."""
    directory, key = witness
    assert exq("run", "--home", home, "--", "true").status == 77
    with started("witness", "serve", directory, "--listen", "127.0.0.1:0") as (_, told):
        settle(home, told["url"], key)
        assert exq("run", "--home", home, "--", "true").status == 0
    denied = exq("run", "--home", home, "--json", "--", "true")
    assert (denied.status, denied.reported["code"]) == (77, "WITNESS_QUORUM")


def test_a_registration_waits_until_it_is_published_and_witnessed(
    exq: Exq, home: Path, witness: tuple[Path, NoteKey], tmp_path: Path
) -> None:
    """S-29, S-31: over HTTP, with a store and a witness that is killed."""
    directory, key = witness
    assert exq("log", "get", "1", "-o", tmp_path / "statement", "--home", home).status == 0
    body = (tmp_path / "statement").read_bytes()
    headers = {"content-type": "application/cose", "exequatur-ack": "witnessed"}
    with started("witness", "serve", directory, "--listen", "127.0.0.1:0") as (served, told):
        settle(home, told["url"], key, '[publish]\nto = "public"\n')
        with (
            started("serve", "--home", home, "--listen", "127.0.0.1:0") as (_, log),
            httpx2.Client(base_url=log["url"], timeout=20) as client,
        ):
            answer = client.post("/entries", content=body, headers=headers)
            assert (answer.status_code, answer.headers["exequatur-ack"]) == (201, "witnessed")
            shown = client.get("/checkpoint").content
            log_keys = next(iter(parse_trust((home / "trust.toml").read_bytes()).logs.values())).checkpoint_vkeys
            assert checkpoint.open(shown, log_keys, [key]).cosigned.keys() == {key}
            assert (home / "public" / "checkpoint").read_bytes() == shown
            ready = client.get("/readyz").json()
            assert (ready["witnesses"], ready["publishing"]) == ({"w": "cosigned"}, True)
            served.kill()
            served.wait()
            # Other commands append meanwhile; nobody is shown what no quorum has cosigned.
            assert exq("authorize", "-o", tmp_path / "b.exq", "--home", home, "--", "true").status == 0
            late = client.post("/entries", content=body, headers={**headers, "exequatur-deadline": "2"})
            assert (late.status_code, late.headers["exequatur-ack"]) == (201, "witnessed")
            assert client.get("/checkpoint").content == shown
            assert client.get("/readyz").json()["size"] > checkpoint.open(shown, log_keys).checkpoint.size
    assert exq("log", "fsck", "--home", home).status == 0


def test_a_home_whose_published_log_is_ahead_of_it_is_not_appended_to(exq: Exq, home: Path) -> None:
    """S-32."""
    older = (home / "log.db").read_bytes()
    assert exq("run", "--home", home, "--", "true").status == 0
    (home / "log.toml").write_text('[publish]\nto = "public"\n')
    assert exq("log", "publish", home / "public", "--home", home).status == 0
    (home / "log.db").write_bytes(older)
    refused = exq("run", "--home", home, "--", "true")
    assert refused.status == 77
    assert "older copy" in refused.err
