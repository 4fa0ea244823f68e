"""An independent auditor reads what our server serves: aics-tlog, which shares no code with us."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import pytest

from exequatur_verifier import note
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import SignatureType
from tests.http.conftest import Served
from tests.log import damage, scene
from tests.log.damage import Damage
from tests.oracles.environment import interpreter
from tests.oracles.test_oracles import ask
from tests.support import world

VKEY = note.format_key(scene.KEYS.note_key)
SIZE = 600


@pytest.fixture
def filled(served: Served) -> Served:
    """A served log of more than two bundles, the last of them partial."""
    batch = cbor2.dumps([scene.request() for _ in range(SIZE - 4)])
    answer = served.client.post("/entries/batch", content=batch, headers={"content-type": "application/cbor"})
    assert answer.status_code == 200
    return served


def audited(served: Served, **request: Any) -> Any:
    return ask("aics", "audit.py", {"tiles": served.url, "vkey": VKEY, "origin": scene.ORIGIN, **request})


def test_an_auditor_finds_every_tile_and_bundle_under_the_checkpoint(filled: Served) -> None:
    places = (0, 255, 256, SIZE - 1)
    entries = {place: filled.client.get(f"/entries/{place}/statement").content for place in places}
    proofs = [(filled.client.get(f"/entries/{place}/tlog-proof").text, entries[place].hex()) for place in places]
    included = [(place, entries[place].hex()) for place in places]
    # The same with an entry that stands elsewhere.
    included.append((1, entries[0].hex()))
    proofs.append((proofs[0][0], entries[255].hex()))
    found = audited(filled, included=included, proofs=proofs)
    root = base64.b64decode(filled.client.get("/checkpoint").text.split("\n")[2])
    assert (found["ok"], found["size"], found["root"]) == (True, SIZE, root.hex())
    assert (found["tiles"], found["bundles"]) == (4, 3)
    assert found["included"] == found["proofs"] == [True] * len(places) + [False]


def test_a_foreign_command_verifies_an_entry_from_tiles_alone(filled: Served, tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    command = [interpreter("aics"), "-m", "aics_tlog", "verify-inclusion", "--tiles", filled.url, "--log-key", VKEY]

    def judged(index: int) -> Any:
        arguments = ["--index", str(index), "--leaf", str(entry), "--origin", scene.ORIGIN]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        return json.loads(done.stdout)

    entry.write_bytes(filled.client.get("/entries/300/statement").content)
    found = judged(300)
    assert (found["ok"], found["size"], found["proof_length"]) == (True, SIZE, 10)
    assert not judged(301)["ok"]


def test_an_auditor_refuses_the_checkpoint_of_another_key(served: Served) -> None:
    key = world.signer("another log", Algorithm.ED25519).public_key
    assert audited(served)["ok"]
    assert not audited(served, vkey=note.format_key(note.note_key(scene.ORIGIN, SignatureType.ED25519, key)))["ok"]


@pytest.mark.parametrize(
    "change",
    [damage.flip("tiles", "hashes", "level = 0 AND number = 0"), damage.flip("entries", "statement", "leaf_index = 7")],
    ids=["tile", "bundle"],
)
def test_an_auditor_finds_a_full_tile_or_bundle_that_was_changed(filled: Served, change: Damage) -> None:
    damage.apply(filled.path, change)
    found = audited(filled)
    assert not found["ok"]
    assert "TileVerificationError" in found["error"]
