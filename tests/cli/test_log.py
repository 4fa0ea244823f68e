"""``exequatur log``: entries, receipts and heads that anybody can check with the kernel alone."""

import sqlite3
from pathlib import Path

import pytest

from exequatur_log import tlog_proof
from exequatur_verifier import checkpoint, receipt, statement
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq


def trust_of(home: Path) -> Trust:
    return parse_trust((home / "trust.toml").read_bytes())


def check_receipt(data: bytes, entry: bytes, home: Path) -> receipt.Receipt:
    """Verify a receipt as a relying party would."""
    (log,) = trust_of(home).logs.values()
    parsed = receipt.parse(data)
    assert parsed.origin == log.origin
    receipt.verify_head(
        parsed.protected, parsed.signature, receipt.root(parsed, statement.parse(entry).leaf), log.receipt_keys[0]
    )
    return parsed


def test_receipts_prove_entries(exq: Exq, home: Path) -> None:
    for place in range(8):
        exq("log", "get", place, "-o", "entry", "--home", home)
        proven = exq("log", "prove", place, "-o", "receipt", "--home", home, "--json")
        entry, data = Path("entry").read_bytes(), Path("receipt").read_bytes()
        assert proven.json == {"file": "receipt", "index": place, "bytes": len(data)}
        frozen = check_receipt(data, entry, home)
        assert frozen.inclusion.leaf_index == place
        exq("run", "--home", home, "--", "true")
        exq("log", "prove", place, "-o", "again", "--home", home)
        exq("log", "prove", place, "-o", "fresh", "--fresh", "--home", home)
        assert Path("again").read_bytes() == data
        assert check_receipt(Path("fresh").read_bytes(), entry, home).inclusion.size > frozen.inclusion.size


def test_entry_is_found_by_index_and_by_record_id(exq: Exq, founded: Path) -> None:
    by_index = exq("log", "get", 0, "--home", founded, "--json")
    assert by_index.json["kind"] == "enrolment"
    assert by_index.json["record"]["form"] == "genesis"
    assert by_index.json["id"] == trust_of(founded).logs[by_index.json["record"]["origin"]].genesis.hex()
    assert exq("log", "get", by_index.json["id"], "--home", founded, "--json").json == by_index.json


@pytest.mark.parametrize(
    ("place", "status"), [("8", 69), ("-1", 2), ("ab" * 32, 69), ("ab", 2), ("x" * 64, 2), ("٣", 2)]
)
def test_what_is_not_there_is_told(exq: Exq, founded: Path, place: str, status: int) -> None:
    called = exq("log", "get", "--home", founded, "--", place)
    assert (called.status, called.out) == (status, "")
    assert "bug" not in called.err


def test_checkpoint_is_a_signed_note(exq: Exq, founded: Path) -> None:
    printed = exq("log", "checkpoint", "--home", founded)
    (log,) = trust_of(founded).logs.values()
    found = checkpoint.open(printed.out.encode(), log.checkpoint_vkeys).checkpoint
    described = exq("log", "checkpoint", "--home", founded, "--json")
    assert (found.origin, found.size, found.root.hex()) == (log.origin, 8, described.json["root"])
    assert described.json["note"] == printed.out
    assert described.err == ""


def test_append_answers_again_with_the_first_receipt(exq: Exq, home: Path) -> None:
    exq("run", "--home", home, "--", "true")
    for place in (0, 8, 10):
        exq("log", "get", place, "-o", f"{place}.cose", "--home", home)
    Path("receipts").mkdir()
    again = exq("log", "append", "0.cose", "8.cose", "10.cose", "--receipts", "receipts", "--home", home, "--json")
    assert again.status == 0
    assert [result["index"] for result in again.json["results"]] == [0, 8, 10]
    exq("log", "prove", 8, "-o", "receipt", "--home", home)
    assert Path("receipts/8.receipt").read_bytes() == Path("receipt").read_bytes()
    assert exq("log", "checkpoint", "--home", home, "--json").json["size"] == 13


def test_append_refuses_by_code_and_says_which(exq: Exq, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    exq("init", other)
    exq("run", "--home", other, "--", "true")
    exq("log", "get", 6, "-o", "stranger", "--home", other)
    exq("log", "get", 0, "-o", "known", "--home", home)
    Path("noise").write_bytes(b"noise")
    known = Path("known").read_bytes()
    Path("changed").write_bytes(known[:-1] + bytes((known[-1] ^ 1,)))
    called = exq("log", "append", "stranger", "noise", "changed", "known", "--home", home, "--json")
    assert called.status == 77
    assert [result.get("code") for result in called.json["results"]] == [
        "UNKNOWN_KEY",
        "MALFORMED",
        "SIGNATURE_INVALID",
        None,
    ]
    assert "stranger: refused UNKNOWN_KEY" in called.err
    assert exq("log", "fsck", "--home", home).status == 0


def test_fsck_finds_what_was_changed(exq: Exq, home: Path) -> None:
    assert exq("log", "fsck", "--home", home, "--json").json == {"ok": True, "findings": []}
    content = bytearray((home / "log.db").read_bytes())
    place = content.index(b"application/vnd.exequatur.policy+cbor")
    content[place + 60] ^= 1
    (home / "log.db").write_bytes(content)
    called = exq("log", "fsck", "--home", home, "--json")
    assert (called.status, called.json["ok"]) == (77, False)
    assert 6 in {finding["leaf_index"] for finding in called.json["findings"]}


def test_a_tlog_proof_is_written_and_verifies(exq: Exq, home: Path) -> None:
    told = exq("log", "proof", 3, "-o", "entry.tlog-proof", "--home", home, "--json").json
    exq("log", "get", 3, "-o", "entry", "--home", home)
    found = tlog_proof.decode(Path("entry.tlog-proof").read_bytes())
    assert (told["index"], told["bytes"]) == (3, Path("entry.tlog-proof").stat().st_size)
    log = next(iter(trust_of(home).logs.values()))
    assert tlog_proof.verify(found, Path("entry").read_bytes(), log.checkpoint_vkeys).origin == log.origin
    assert exq("log", "proof", 999, "-o", "none", "--home", home).status == 69


def test_a_log_of_the_first_format_is_migrated_on_demand(exq: Exq, home: Path) -> None:
    # L-43
    assert exq("log", "migrate", "--home", home).out == "format 0002 already\n"
    connection = sqlite3.connect(home / "log.db")
    with connection:
        for dropped in ("TABLE witnessed", "INDEX entries_iss", "INDEX entries_iat", "TABLE alembic_version"):
            connection.execute(f"DROP {dropped}")
    connection.close()
    refused = exq("log", "checkpoint", "--home", home)
    assert (refused.status, "exequatur log migrate" in refused.err) == (77, True)
    assert exq("log", "migrate", "--home", home, "--json").json == {"from": "0001", "to": "0002"}
    assert exq("log", "fsck", "--home", home).status == 0


def test_a_log_is_exported_and_imported(exq: Exq, home: Path) -> None:
    # L-44 L-45
    exq("run", "--home", home, "--", "true")
    Path("head").write_text(exq("log", "checkpoint", "--home", home).out)
    told = exq("log", "export", "copy", "--home", home, "--json")
    assert (told.status, told.json["size"]) == (0, 13)
    assert exq("log", "export", "copy", "--home", home).status == 77
    exq("run", "--home", home, "--", "true")
    Path("later").write_text(exq("log", "checkpoint", "--home", home).out)
    for name in ("log.db", "log.lock"):
        (home / name).unlink()
    refused = exq("log", "import", "copy", "--home", home)
    assert (refused.status, "would fork it" in refused.err) == (77, True)
    refused = exq("log", "import", "copy", "--head", "head", "--head", "later", "--home", home)
    assert (refused.status, "size 18 since" in refused.err) == (77, True)
    assert exq("log", "checkpoint", "--home", home).status == 77
    elsewhere = exq("log", "import", "copy", "--head", "head", "--database", "other.db", "--home", home, "--json")
    assert elsewhere.json == {"place": "other.db", "size": 13, "root": told.json["root"]}
    assert exq("log", "import", "copy", "--head", "head", "--home", home).status == 0
    assert exq("log", "checkpoint", "--home", home).out == Path("head").read_text()
    assert exq("log", "fsck", "--home", home).status == 0
    assert exq("log", "import", "copy", "--head", "head", "--database", "mysql://x/y", "--home", home).status == 65
