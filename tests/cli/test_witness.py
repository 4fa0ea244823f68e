"""``exequatur witness``: made, taught a log, served, killed and served again, and what it keeps."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from exequatur_log.witness import evidence, policy
from exequatur_log.witness.policy import Party, WitnessPolicy
from exequatur_verifier import checkpoint, note
from tests.cli.conftest import Exq
from tests.support.world import Log
from tests.witness import scene
from tests.witness.scene import FORK, LOG

EXQ = str(Path(sys.executable).with_name("exequatur"))
VKEY = note.format_key(LOG.vkey)


class Running(NamedTuple):
    """A witness that is served by a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def add(self, old: int, size: int, log: Log = LOG) -> httpx2.Response:
        return httpx2.post(f"{self.url}/add-checkpoint", content=scene.body(old, size, log), timeout=20)


@pytest.fixture
def witness(exq: Exq, tmp_path: Path) -> Path:
    """The directory of a witness that knows the scene's log."""
    path = tmp_path / "witness"
    assert exq("witness", "init", path, "--name", "w.example/cli").status == 0
    assert exq("witness", "add-log", path, VKEY).status == 0
    return path


@contextmanager
def serving(path: Path) -> Iterator[Running]:
    command = [EXQ, "witness", "serve", str(path), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads("".join(process.stdout.readline() for _ in range(4)))
        assert told["name"] == "w.example/cli"
        yield Running(told["url"], process)
        process.kill()


def test_a_witness_is_made_with_two_keys_of_its_own(exq: Exq, tmp_path: Path) -> None:
    # W-12 W-16
    made = exq("witness", "init", tmp_path / "a", "--json").json
    other = exq("witness", "init", tmp_path / "b", "--name", made["name"], "--json").json
    assert made["name"].startswith("witness.local/")
    assert [note.parse_key(vkey).type.name for vkey in made["vkeys"]] == ["COSIGNATURE", "COSIGNATURE_ML_DSA_44"]
    # The name does not make a key: an Ed25519 cosignature says nothing of it.
    assert not {*made["vkeys"]} & {*other["vkeys"]}
    for file in (tmp_path / "a").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
    assert exq("witness", "init", tmp_path / "a").status == 69
    assert exq("witness", "init", tmp_path / "c", "--name", "a b").status == 65


def test_logs_are_added_by_key_and_by_policy(exq: Exq, witness: Path, tmp_path: Path) -> None:
    text = policy.format(WitnessPolicy((Party(LOG.vkey), Party(scene.STRANGER.vkey)), {}, None))
    (tmp_path / "logs.policy").write_bytes(text)
    added = exq("witness", "add-log", witness, "--policy", tmp_path / "logs.policy", "--json")
    assert added.json == {
        "logs": [{"origin": LOG.origin, "added": False}, {"origin": scene.STRANGER.origin, "added": True}]
    }
    status = exq("witness", "status", witness, "--json").json
    assert [log["origin"] for log in status["logs"]] == [LOG.origin, scene.STRANGER.origin]
    assert exq("witness", "add-log", witness).status == 2
    assert exq("witness", "add-log", witness, status["vkeys"][0]).status == 65
    assert exq("witness", "add-log", witness, "noise").status == 65


def test_a_witness_is_killed_and_goes_on_where_it_was(exq: Exq, witness: Path) -> None:
    # W-11
    keys = [note.parse_key(vkey) for vkey in exq("witness", "status", witness, "--json").json["vkeys"]]
    for size in (0, 5):
        with serving(witness) as running:
            # It remembers the size that it gave out before it was killed.
            assert running.add(40, 40).content == b"%d\n" % size
            for old, new in ((size, size + 3), (size + 3, size + 5)):
                answer = running.add(old, new)
                opened = checkpoint.open(LOG.checkpoint(size=new) + answer.content, [LOG.vkey], keys)
                assert opened.cosigned.keys() == set(keys)
            os.kill(running.process.pid, signal.SIGKILL)
    status = exq("witness", "status", witness, "--json").json
    assert status["logs"][0]["cosigned"]["size"] == 10


def test_evidence_is_printed_for_whoever_has_the_logs_key(exq: Exq, witness: Path) -> None:
    # W-14 W-15
    assert exq("witness", "evidence", witness, "--json").json == {"evidence": []}
    with serving(witness) as running:
        assert running.add(0, 16).status_code == 200
        assert running.add(16, 20, FORK).status_code == 422
        assert exq("witness", "status", witness).status == 0
        assert running.add(16, 16, FORK).status_code == 422
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
    printed = exq("witness", "evidence", witness, "--json")
    assert printed.status == 77
    unproven, fork = printed.json["evidence"]
    assert (unproven["convicts"], fork["convicts"], fork["origin"]) == (False, True, LOG.origin)
    found = evidence.decode(json.dumps(fork["evidence"]).encode())
    assert evidence.check_evidence(found, [LOG.vkey])
    assert found.presented == FORK.checkpoint(size=16)
    status = exq("witness", "status", witness, "--json")
    assert (status.status, status.json["logs"][0]["evidence"]) == (77, {"fork": 1, "unproven": 1})


def test_without_its_memory_a_witness_does_not_start(exq: Exq, witness: Path) -> None:
    # W-16
    (witness / "witness.db").rename(witness / "aside")
    for command in ("serve", "status", "evidence"):
        called = exq("witness", command, witness)
        assert (called.status, (witness / "witness.db").exists()) == (77, False)
        assert "does not exist" in called.err
    (witness / "aside").rename(witness / "witness.db")
    assert exq("witness", "status", witness).status == 0
    (witness / "keys" / "ed25519.pem").unlink()
    assert exq("witness", "serve", witness, "--listen", "127.0.0.1:0").status == 77


def test_keys_of_another_witness_do_not_fit(exq: Exq, witness: Path, tmp_path: Path) -> None:
    # W-16
    exq("witness", "init", tmp_path / "other", "--name", "w.example/cli")
    (tmp_path / "other" / "witness.db").write_bytes((witness / "witness.db").read_bytes())
    called = exq("witness", "serve", tmp_path / "other", "--listen", "127.0.0.1:0")
    assert called.status == 77
    assert "other keys" in called.err


def test_a_directory_that_others_can_write_is_refused(exq: Exq, witness: Path) -> None:
    # W-16
    witness.chmod(0o777)
    assert exq("witness", "status", witness).status == 77
    witness.chmod(0o700)
    assert exq("witness", "status", witness).status == 0


def test_an_address_is_a_host_and_a_port(exq: Exq, witness: Path) -> None:
    assert exq("witness", "serve", witness, "--listen", "8080").status == 2


def test_a_witness_needs_the_extra_of_the_log_alone() -> None:
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('cedarpy', 'obstore', 'asyncpg'))\n"
        "import exequatur_cli.commands.witness, exequatur_log.http.server\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
