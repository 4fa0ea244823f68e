"""Foreign parties of c2sp.org/tlog-witness: aics-witness cosigns our log, its client asks us, aics-tlog judges.

They share no code with ours. The log is a real one, and what cosigns is a process that the test starts.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from exequatur_log.log import Log
from exequatur_log.witness.client import gather
from exequatur_log.witness.outcome import Gathered, Word
from exequatur_log.witness.policy import Party, WitnessPolicy
from exequatur_verifier import checkpoint, note, parse_trust
from exequatur_verifier.trust import Group
from tests.log import scene as logs
from tests.oracles.environment import interpreter
from tests.oracles.test_oracles import ask
from tests.support import world
from tests.witness import scene
from tests.witness.conftest import Serve, serve

__all__ = ["serve"]

NAME = "foreign.example/w1"
LOG_VKEY = note.format_key(logs.KEYS.note_key)


class Foreign(NamedTuple):
    """A running aics-witness: its URL, its verifier key, and its configuration."""

    url: str
    vkey: str
    config: Path

    def call(self, *arguments: str) -> str:
        return call(self.config, *arguments)


def program(name: str) -> str:
    return str(Path(interpreter("aics")).with_name(name))


def call(config: Path, command: str, *arguments: str) -> str:
    line = [program("aics-witness"), command, "--config", str(config), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    config = tmp_path / "foreign" / "witness.json"
    config.parent.mkdir()
    vkey = call(config, "init", "--name", NAME, "--listen", "127.0.0.1:0").strip()
    call(config, "add-log", "--origin", logs.ORIGIN, "--vkey", LOG_VKEY)
    line = [program("aics-witness"), "serve", "--config", str(config)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"listening on (\S+)", told) for told in process.stderr)))
        yield Foreign(found[1], vkey, config)
        process.terminate()
        process.communicate(timeout=30)


def policy(foreign: Foreign) -> WitnessPolicy:
    key = note.parse_key(foreign.vkey)
    return WitnessPolicy((Party(logs.KEYS.note_key),), {"foreign": Party(key, foreign.url)}, Group(1, (key,)))


def gathered(path: Path, asked: WitnessPolicy, more: int = 0) -> Gathered:
    """Register some statements in the log at ``path``, and have its head cosigned."""

    async def run() -> Gathered:
        async with await Log.open(path, logs.KEYS, clock=lambda: logs.NOW) as log:
            await log.register_many([logs.request() for _ in range(more)])
            return await gather((await log.head()).note, asked, log.consistency)

    return asyncio.run(run())


def judged(signed: bytes, foreign: Foreign, path: Path, *options: str) -> bool:
    """Say whether aics-tlog finds a fresh quorum on a checkpoint."""
    path.write_bytes(signed)
    keys = ["--log-key", LOG_VKEY, "--witness-key", foreign.vkey, "--origin", logs.ORIGIN]
    line = [program("aics-tlog"), "verify-checkpoint", "--note", str(path), *keys, "--quorum", "1", "--max-age", "60"]
    return subprocess.run([*line, *options], capture_output=True, check=False, timeout=60).returncode == 0


def test_a_foreign_witness_cosigns_our_log_as_it_grows(foreign: Foreign, tmp_path: Path) -> None:
    # W-03 W-04
    path, asked = tmp_path / "log.db", policy(foreign)
    logs.create(path).close()
    extra = f'[witness]\nquorum = "w"\nkeys = {{ w = "{foreign.vkey}" }}'
    trust = parse_trust(world.trust_toml(world.new_log(), extra=extra).encode())
    for more in (0, 5, 0, 300):
        found = gathered(path, asked, more)
        assert found.met, found.outcomes
        opened = checkpoint.open(found.note, [logs.KEYS.note_key], trust.witnesses)
        assert trust.is_quorum(opened.cosigned)
        assert abs(time.time() - opened.cosigned[trust.witnesses[0]]) < 60
        assert judged(found.note, foreign, tmp_path / "note")
    assert opened.checkpoint.size == 309
    assert f'"size": {opened.checkpoint.size}' in foreign.call("status", "--json")
    with logs.reopen(path) as log:
        bare = log.head().note
    assert not trust.is_quorum(checkpoint.open(bare, [logs.KEYS.note_key], trust.witnesses).cosigned)
    assert not judged(bare, foreign, tmp_path / "note")


def test_a_foreign_witness_shows_that_our_log_was_rolled_back_or_forked(foreign: Foreign, tmp_path: Path) -> None:
    # W-07
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    logs.create(path).close()
    copy.write_bytes(path.read_bytes())
    assert gathered(path, policy(foreign), 5).met
    behind = gathered(copy, policy(foreign)).outcomes["foreign"]
    assert (behind.word, behind.size) == (Word.AHEAD, 9)
    for more in (5, 7):
        forked = gathered(copy, policy(foreign), more).outcomes["foreign"]
        assert forked.word is Word.INCONSISTENT
        assert forked.evidence is not None
        assert checkpoint.open(forked.evidence, [logs.KEYS.note_key]).checkpoint.size == 9


def test_a_foreign_client_has_its_log_cosigned_by_our_witness(serve: Serve) -> None:
    # W-09 W-10
    served = serve()
    served.witness.clock.now = int(time.time())
    ed25519, _ = served.witness.cosigner.keys

    def offered(size: int, log: world.Log, *olds: int) -> dict[str, object]:
        proofs = {old: [scene.b64(node) for node in scene.proof(old, size, log)] for old in olds}
        return {"note": log.checkpoint(size=size).decode(), "proofs": proofs}

    notes = [
        offered(3, scene.LOG),
        offered(16, scene.LOG, 3),
        offered(16, scene.LOG),
        offered(9, scene.LOG),
        offered(16, scene.FORK),
        offered(20, scene.FORK, 16),
        offered(3, scene.STRANGER),
    ]
    answers = ask("aics", "feed.py", {"url": served.url, "vkey": note.format_key(ed25519), "notes": notes})
    assert answers[3:] == ["WitnessAhead", "WitnessRejected", "WitnessRejected", "WitnessRejected"]
    for lines, size in zip(answers[:3], (3, 16, 16), strict=True):
        opened = checkpoint.open(scene.LOG.checkpoint(size=size) + lines.encode(), [scene.LOG.vkey], [ed25519])
        assert opened.cosigned == {ed25519: served.witness.clock.now}
