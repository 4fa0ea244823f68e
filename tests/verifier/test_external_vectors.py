"""Vectors that others made, read where they lie: trees (RFC 6962), a tiles log of every size, COSE messages."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier import (
    ExequaturError,
    MalformedError,
    NotProvenError,
    PublicKey,
    UnsupportedError,
    checkpoint,
    cose,
    merkle,
    note,
    tiles,
)
from exequatur_verifier.keys import Algorithm
from tests.data import DATA, requires_data

VECTORS = DATA / "vectors"
TREES = sorted((VECTORS / "rfc6962").rglob("*.json"))
COSE = sorted((VECTORS / "cose").rglob("*.json"))
TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def named(path: Path) -> str:
    return str(path.relative_to(VECTORS))


# Trees


@requires_data
def test_all_cases_of_trees_are_there() -> None:
    assert len(TREES) == 196


def include(case: dict[str, Any], octets: Callable[[str], bytes]) -> None:
    path = [octets(item) for item in case["proof"] or []]
    root = merkle.root_from_inclusion(case["leafIdx"], case["treeSize"], octets(case["leafHash"]), path)
    if root != octets(case["root"]):
        raise NotProvenError(root.hex())


def extend(case: dict[str, Any], octets: Callable[[str], bytes]) -> None:
    path = [octets(item) for item in case["proof"] or []]
    merkle.check_consistency(case["size1"], case["size2"], octets(case["root1"]), octets(case["root2"]), path)


@requires_data
@pytest.mark.parametrize("path", TREES, ids=named)
def test_tree(path: Path) -> None:
    case = json.loads(path.read_text())
    check = include if "leafIdx" in case else extend
    # An empty old tree, which their verifier takes as a prefix of any, proves nothing and is refused here.
    if case["wantErr"] or case.get("size1") == 0:
        with pytest.raises(ExequaturError):
            check(case, base64.b64decode)
    else:
        check(case, base64.b64decode)


# The tiles log

LOG = VECTORS / "tlog-tiles"


@requires_data
@pytest.mark.parametrize("size", range(16))
def test_checkpoint_of_every_size(size: int) -> None:
    opened = checkpoint.open((LOG / f"checkpoint.{size}").read_bytes(), [note.parse_key(TESSERA)])
    assert (opened.checkpoint.size, opened.checkpoint.origin) == (size, "example.com/log/testdata")
    leaves, entries = list[bytes](), list[bytes]()
    if size:
        path = tiles.format_path(tiles.Tile(0, 0, size))
        leaves = tiles.decode_hashes((LOG / path).read_bytes())
        entries = tiles.decode_entries((LOG / tiles.format_path(tiles.Tile(None, 0, size))).read_bytes())
    assert [merkle.leaf_hash(entry) for entry in entries] == leaves
    assert tiles.subtree_root(leaves) == opened.checkpoint.root


@requires_data
def test_every_flipped_bit_of_a_checkpoint() -> None:
    data, key = (LOG / "checkpoint.7").read_bytes(), note.parse_key(TESSERA)
    for position in range(len(data)):
        for bit in range(8):
            flipped = data[:position] + bytes((data[position] ^ 1 << bit,)) + data[position + 1 :]
            with pytest.raises(ExequaturError):
                checkpoint.open(flipped, [key])


# COSE

# Why a message that others take is refused here, or one that they refuse is not ours to judge.
UNSUPPORTED = {
    "cose/ecdsa-examples/ecdsa-sig-03.json": "ES512 is not in the profile",
    "cose/ecdsa-examples/ecdsa-sig-04.json": "ES512 over P-256: polymorphic beyond the profile's two identifiers",
    "cose/eddsa-examples/eddsa-sig-02.json": "Ed448 is not in the profile",
}
CURVES = {"P-256": (1, Algorithm.ES256), "P-384": (2, Algorithm.ES384)}


def cose_key(key: dict[str, str]) -> PublicKey:
    """Return the key of an example, whose coordinates are base64url or hexadecimal."""

    def coordinate(name: str) -> bytes:
        if f"{name}_hex" in key:
            return bytes.fromhex(key[f"{name}_hex"])
        return base64.urlsafe_b64decode(key[name] + "=" * (-len(key[name]) % 4))

    if key["crv"] == "Ed25519":
        return PublicKey({1: 1, 3: -8, -1: 6, -2: coordinate("x")})
    if key["crv"] not in CURVES:
        raise UnsupportedError(key["crv"])
    curve, algorithm = CURVES[key["crv"]]
    return PublicKey({1: 2, 3: int(algorithm), -1: curve, -2: coordinate("x"), -3: coordinate("y")})


def check_message(case: dict[str, Any]) -> None:
    given = case["input"]["sign0"]
    data, key = bytes.fromhex(case["output"]["cbor"]), cose_key(given["key"])
    tagged = "RemoveCBORTag" not in case["input"].get("failures", {})
    message = cose.decode(data, tagged=tagged)
    algorithm = {**message.unprotected, **message.headers}[cose.ALGORITHM]
    if algorithm != key.algorithm:
        raise UnsupportedError(f"algorithm {algorithm}")
    assert message.payload is not None
    signed = cose.signed_bytes(message.protected, message.payload, bytes.fromhex(given.get("external", "")))
    if not case.get("fail"):
        assert signed.hex() == case["intermediates"]["ToBeSign_hex"].lower()
    key.verify(message.signature, signed)


SINGLE = [path for path in COSE if "sign0" in json.loads(path.read_text())["input"]]


@requires_data
@pytest.mark.parametrize("path", SINGLE, ids=named)
def test_message(path: Path) -> None:
    case = json.loads(path.read_text())
    if named(path) in UNSUPPORTED:
        with pytest.raises(UnsupportedError):
            check_message(case)
    elif case.get("fail"):
        with pytest.raises(ExequaturError):
            check_message(case)
    else:
        check_message(case)


@requires_data
@pytest.mark.parametrize("path", sorted(set(COSE) - set(SINGLE)), ids=named)
def test_message_with_many_signatures_is_none_of_ours(path: Path) -> None:
    with pytest.raises(MalformedError):
        cose.decode(bytes.fromhex(json.loads(path.read_text())["output"]["cbor"]))
