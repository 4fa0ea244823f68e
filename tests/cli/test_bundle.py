"""``exequatur bundle``: apart and together again byte for byte, and the same artifact under a later head."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Exq

COMMAND = ("echo", "hello")


@pytest.fixture
def bundle(exq: Exq, home: Path) -> Path:
    exq("run", "--home", home, "--", "true")
    assert exq("authorize", "-o", "x.exq", "--home", home, "--", *COMMAND).status == 0
    return Path("x.exq").absolute()


def test_show_describes_without_verifying(exq: Exq, home: Path, bundle: Path) -> None:
    shown = exq("bundle", "show", bundle, "--json")
    assert shown.status == 0
    beside = {"policy", "request", "approvals", "parents", "status"}
    assert set(shown.json) == {"artifact", "receipts", "terms", "checkpoints", "proofs"} | beside
    assert [one["record"]["version"] for one in shown.json["status"]] == [1]
    assert "version 1 of urn:exequatur:status:" in exq("bundle", "show", bundle).out
    verdict = exq("verify", bundle, "--home", home, "--json", "--", *COMMAND)
    assert shown.json["artifact"]["id"] == verdict.json["record"]
    assert "Nothing here is verified" in exq("bundle", "show", bundle).out


def test_split_and_join_give_the_very_bytes(exq: Exq, bundle: Path) -> None:
    split = exq("bundle", "split", bundle, "parts", "--json")
    assert split.status == 0
    assert sorted(split.json["files"]) == sorted(str(path) for path in Path("parts").iterdir())
    joined = exq("bundle", "join", "parts", "y.exq", "--json")
    assert joined.json == {"file": "y.exq", "bytes": bundle.stat().st_size}
    assert Path("y.exq").read_bytes() == bundle.read_bytes()
    assert exq("bundle", "split", bundle, "parts").status == 69


@pytest.mark.parametrize("change", ["missing", "stray", "broken"])
def test_parts_that_are_no_bundle_are_malformed(exq: Exq, bundle: Path, change: str) -> None:
    exq("bundle", "split", bundle, "parts")
    match change:
        case "missing":
            Path("parts/salt.bin").unlink()
        case "stray":
            Path("parts/README").touch()
        case "broken":
            Path("parts/proofs.cbor").write_bytes(b"\xff")
    assert exq("bundle", "join", "parts", "y.exq").status == 65
    assert not Path("y.exq").exists()


def test_refreshed_bundle_is_the_same_artifact_under_a_later_head(exq: Exq, home: Path, bundle: Path) -> None:
    before = exq("bundle", "show", bundle, "--json").json
    for _ in range(2):
        exq("run", "--home", home, "--", "true")
    refreshed = exq("bundle", "refresh", bundle, "-o", "y.exq", "--home", home, "--json")
    assert refreshed.status == 0, refreshed
    after = exq("bundle", "show", "y.exq", "--json").json
    assert after["artifact"] == before["artifact"]
    assert after["receipts"][0]["size"] > before["receipts"][0]["size"]
    assert len(after["proofs"]) == len(before["proofs"]) + 3
    verdict = exq("verify", "y.exq", "--home", home, "--json", "--", *COMMAND)
    assert verdict.status == 0
    assert exq("run", "--bundle", "y.exq", "--home", home, "--", *COMMAND).out == "hello\n"
    # The use belongs to the artifact, whatever proof it travels with.
    assert exq("run", "--bundle", bundle, "--home", home, "--", *COMMAND).status == 77


def test_refresh_replaces_the_file_itself(exq: Exq, home: Path, bundle: Path) -> None:
    before = bundle.read_bytes()
    exq("run", "--home", home, "--", "true")
    assert exq("bundle", "refresh", bundle, "--home", home).status == 0
    assert bundle.read_bytes() != before
    assert exq("verify", bundle, "--home", home, "--", *COMMAND).status == 0


@pytest.mark.parametrize("verb", ["show", "split", "refresh"])
@pytest.mark.parametrize("content", [b"", b"noise", os.urandom(4000)])
def test_what_is_no_bundle_is_malformed(exq: Exq, founded: Path, verb: str, content: bytes) -> None:
    Path("x.exq").write_bytes(content)
    more = {"show": (), "split": ("parts",), "refresh": ("--home", founded)}[verb]
    called = exq("bundle", verb, "x.exq", *more)
    assert (called.status, called.out) == (65, "")
    assert called.err
