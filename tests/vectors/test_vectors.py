"""The vectors of specs/vectors: as they stand they are decided as they say, and they come out the same again."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier import Code, MalformedError, NotProvenError, cbor, merkle, receipt, statement
from exequatur_verifier.action import ACTION_TAG, commitment
from exequatur_verifier.match import is_subset, matches, parse_matcher
from tests.support import world
from tests.vectors import form, frozen, generate
from tests.vectors.flip import FAILING, receipts
from tests.vectors.form import FOLDER
from tests.vectors.valid import es256

FOLDERS = sorted(path for path in FOLDER.glob("*-*") if path.is_dir())

# The codes that steps 0 to 14 do not return: those of the gate's step 15, of the authority's refusals, and the one for
# what nobody foresaw.
ELSEWHERE = {
    Code.USES_EXHAUSTED,
    Code.STATE_UNAVAILABLE,
    Code.SPOOL_STALE,
    Code.POLICY_FORBID,
    Code.POLICY_DEFAULT_DENY,
    Code.POLICY_ERROR,
    Code.POLICY_NO_DECISION,
    Code.INTERNAL_ERROR,
}


def primitive(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "primitives" / name).read_text())
    return document


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_vector_is_decided_as_it_says(folder: Path) -> None:
    # V-03 V-04
    assert form.expected(form.run(form.read(folder))) == (folder / "expected.json").read_text()


def test_generating_again_gives_the_same_bytes() -> None:
    # C-14
    made = generate.files()
    standing = {
        str(path.relative_to(FOLDER)): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file() and path not in frozen.used
    }
    assert standing.keys() == made.keys()
    assert [name for name in made if made[name] != standing[name]] == []


def test_sums_are_of_the_files() -> None:
    for line in (FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_every_code_of_this_build_has_a_vector() -> None:
    assert {code for code, _ in FAILING.values()} == set(Code) - ELSEWHERE


def test_a_failing_vector_fails_in_one_step_only() -> None:
    # V-04
    for folder in FOLDER.glob("fail-*"):
        steps = json.loads((folder / "expected.json").read_text())["steps"]
        assert [status for _, status, _ in steps].count("failed") == 1, folder.name


def test_encodings() -> None:
    # C-01 C-02 C-03
    document = primitive("cbor.json")
    for name, floats in (("accepted", False), ("accepted_with_floats", True)):
        for spelled in document[name]:
            data = bytes.fromhex(spelled)
            assert cbor.encode(cbor.decode(data, floats=floats), floats=floats) == data
    for name, floats in (("refused", False), ("refused_with_floats", True)):
        for spelled, about in document[name].items():
            with pytest.raises(MalformedError):
                pytest.fail(f"{about}: {cbor.decode(bytes.fromhex(spelled), floats=floats)!r}")


def test_commitments() -> None:
    #
    document = primitive("commitments.json")
    assert document["tag"] == ACTION_TAG.decode()
    for row in document["actions"]:
        made = commitment(ACTION_TAG, bytes.fromhex(document["salt"]), bytes.fromhex(row["encoded"]))
        assert made.hex() == row["commitment"]


def test_constraints() -> None:
    #
    document = primitive("constraints.json")
    for matcher, value, matched in document["matches"]:
        assert matches(parse_matcher(matcher), value) is matched, (matcher, value)
    for child, parent, subset in document["subsets"]:
        assert is_subset(parse_matcher(child), parse_matcher(parent)) is subset, (child, parent)


def test_one_path_fits_several_positions() -> None:
    # B-02
    document = primitive("positions.json")
    path = [bytes.fromhex(item) for item in document["path"]]
    leaf = merkle.leaf_hash(bytes.fromhex(document["entry"]))
    for index, size in document["positions"]:
        assert merkle.root_from_inclusion(index, size, leaf, path).hex() == document["root"]
    for index, size in document["refused"]:
        with pytest.raises((MalformedError, AssertionError)):
            assert merkle.root_from_inclusion(index, size, leaf, path).hex() == document["root"]


def test_the_signed_size_refuses_all_but_one_position() -> None:
    # B-02
    entry, (data,) = receipts(es256())
    presented = receipt.parse(data)
    leaf = statement.parse(entry).leaf
    key = world.new_log().receipt_signer.public_key
    assert presented.inclusion[:2] == (5, 4)
    for index, size in ((1, 2), (8, 9), (16, 17)):
        other = receipt.Inclusion(size, index, presented.inclusion.path)
        # The path leads to the same root, so that the head's signature holds; only the signed size tells.
        receipt.verify_head(
            presented.protected, presented.signature, receipt.root(presented._replace(inclusion=other), leaf), key
        )
        with pytest.raises(MalformedError):
            receipt.parse(receipt.encode(receipt.HeadSignature(presented.protected, presented.signature), other))
        forged = presented.protected[:-1] + bytes((size,))
        assert forged != presented.protected
        whole = receipt.encode(receipt.HeadSignature(forged, presented.signature), other)
        with pytest.raises(NotProvenError):
            receipt.verify_head(forged, presented.signature, receipt.root(receipt.parse(whole), leaf), key)
