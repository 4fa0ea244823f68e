"""Independent implementations on our bytes: scitt-cose on statements and receipts, pymerkle on trees.

Which bytes are the entry of a leaf is left to profiles by RFC 9942. Ours are the statement with an empty unprotected
header (specs/03 §1); the vectors of scitt-cose take its hash. Its API takes the entry from the caller, so both are
said.
"""

import json
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exequatur_verifier import Algorithm, cose, merkle
from exequatur_verifier.signing import LocalSigner
from tests.data import ROOT
from tests.oracles.environment import interpreter
from tests.support import reference, world
from tests.support.world import NOW
from tests.vectors.flip import edited, opened, receipts, with_receipts
from tests.vectors.form import Vector
from tests.vectors.valid import eddsa, es256, es384, high_s, only_entry


def ask(oracle: str, program: str, request: object) -> Any:
    """Return what an oracle's program answers."""
    command = [interpreter(oracle), str(ROOT / "tests" / "oracles" / oracle / program)]
    result = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def pem(signer: LocalSigner) -> str:
    """Return a public key as scitt-cose reads it."""
    key: Any = signer._key
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def judged(vector: Vector, algorithm: Algorithm = Algorithm.ES256) -> Any:
    """Return what scitt-cose says of a vector's transparent statement."""
    entry, _ = receipts(vector)
    request = {
        "transparent": opened(vector).artifact.hex(),
        "entry": entry.hex(),
        "statement_key": pem(world.signer("authority", algorithm)),
        "log_key": pem(world.new_log().receipt_signer),
    }
    return ask("scitt-cose", "judge.py", [request])[0]


@pytest.mark.parametrize(
    ("vector", "algorithm", "position"),
    [
        (es256(), Algorithm.ES256, (4, 5)),
        (es384(), Algorithm.ES384, (4, 5)),
        (eddsa(), Algorithm.EDDSA, (4, 5)),
        (high_s(), Algorithm.ES256, (4, 5)),
        (only_entry(), Algorithm.ES256, (0, 1)),
    ],
    ids=["ES256", "ES384", "EdDSA", "the larger s", "an empty path"],
)
def test_scitt_cose_verifies_statement_and_receipt(
    vector: Vector, algorithm: Algorithm, position: tuple[int, int]
) -> None:
    found = judged(vector, algorithm)
    assert found["statement"] == {
        "signature_verified": True,
        "issuer": "urn:exequatur:authority:test",
        "subject": world.SUBJECT,
        "content_type": "application/vnd.exequatur.authorization+cbor",
        "alg": algorithm.name.replace("EDDSA", "EdDSA"),
    }
    (said,) = found["receipts"]
    # The private label -74001 stands in the protected header, and disturbs nobody who does not know it.
    assert (said["bytes"]["ok"], said["bytes"]["errors"]) == (True, [])
    assert (said["bytes"]["index"], said["bytes"]["size"]) == position
    # The other convention leads to another root, which the log did not sign.
    assert said["hash"]["ok"] is False


def test_scitt_cose_refuses_what_the_kernel_refuses() -> None:
    entry, (found,) = receipts(es256())
    broken_receipt = with_receipts(es256(), found[:-1] + bytes((found[-1] ^ 1,)))
    assert judged(broken_receipt)["receipts"][0]["bytes"]["ok"] is False
    message = cose.decode(opened(es256()).artifact)
    broken_statement = entry.replace(message.signature, message.signature[:-1] + bytes((message.signature[-1] ^ 1,)))
    whole = opened(es256()).artifact.replace(message.signature, broken_statement[-64:])
    said = judged(edited(es256(), artifact=whole))
    assert said["statement"]["signature_verified"] is False
    assert said["receipts"][0]["bytes"]["ok"] is False


def test_only_our_parser_holds_a_receipt_to_its_signed_size() -> None:
    # The same path and signature under another position: theirs says yes, which is why ours signs the size.
    _, (found,) = receipts(es256())
    moved = with_receipts(es256(), found.replace(b"\x83\x05\x04", b"\x83\x09\x08"))
    (said,) = judged(moved)["receipts"]
    assert (said["bytes"]["ok"], said["bytes"]["index"], said["bytes"]["size"]) == (True, 8, 9)


def test_pymerkle_grows_the_same_tree() -> None:
    entries = [b"entry %d" % number for number in range(40)]
    found = ask("pymerkle", "tree.py", {"entries": [entry.hex() for entry in entries]})
    roots = [bytes.fromhex(root) for root in found["roots"]]
    assert roots == [reference.root(entries[:size]) for size in range(len(entries) + 1)]
    for position, path in found["inclusion"].items():
        index, size = map(int, position.split())
        hashes = [bytes.fromhex(item) for item in path]
        assert hashes == reference.inclusion_path(index, entries[:size])
        assert merkle.root_from_inclusion(index, size, merkle.leaf_hash(entries[index]), hashes) == roots[size]


def test_pymerkle_grows_the_tree_of_the_vectors() -> None:
    log = world.new_log()
    world.issue(world.parts(), log)
    found = ask("pymerkle", "tree.py", {"entries": [entry.hex() for entry in log.entries]})
    assert found["roots"][-1] == log.root().hex()
    _, (data,) = receipts(es256())
    path = [bytes.fromhex(item) for item in found["inclusion"]["4 5"]]
    assert log.receipt(4, NOW) == data
    assert path == reference.inclusion_path(4, log.entries)
