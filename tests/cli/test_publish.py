"""``exequatur log publish`` and ``log serve --read-only``: a home's log for readers who never see the home."""

import shutil
import signal
from pathlib import Path

import httpx2
import pytest

from exequatur_verifier import checkpoint, note
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq
from tests.cli.test_public import started


def vkey_of(home: Path) -> note.NoteKey:
    (log,) = parse_trust((home / "trust.toml").read_bytes()).logs.values()
    return log.checkpoint_vkeys[0]


def test_a_home_is_published_round_by_round(exq: Exq, home: Path) -> None:
    """S-17."""
    first = exq("log", "publish", "public", "--home", home, "--json")
    assert first.status == 0
    size = first.json["size"]
    assert (first.json["target"], first.json["former_size"], first.json["objects"]) == ("public", 0, 2)
    assert (first.json["behind"], first.json["lag"]) == (0, 0)
    signed = checkpoint.open(Path("public/checkpoint").read_bytes(), (vkey_of(home),)).checkpoint
    assert signed.size == size
    assert first.json["note"] == Path("public/checkpoint").read_text()
    assert exq("run", "--home", home, "--", "true").status == 0
    second = exq("log", "publish", "public", "--home", home, "--json")
    assert (second.json["former_size"], second.json["size"]) == (size, size + 5)
    third = exq("log", "publish", "public", "--home", home)
    assert (third.status, f"{size + 5} entries, 0 of them new" in third.out) == (0, True)


def test_what_contradicts_the_published_log_is_denied(exq: Exq, home: Path, founded: Path) -> None:
    """L-46: the home's log is an older copy."""
    assert exq("run", "--home", home, "--", "true").status == 0
    assert exq("log", "publish", "public", "--home", home).status == 0
    before = Path("public/checkpoint").read_bytes()
    older = shutil.copytree(founded, "older")
    called = exq("log", "publish", "public", "--home", older)
    assert (called.status, "restored from an older copy" in called.err) == (77, True)
    assert Path("public/checkpoint").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("no/such/place",), 69),
        (("s3://bucket", "--endpoint", "http://127.0.0.1:1", "--region", "x", "--credentials", "keys"), 69),
        (("s3://bucket", "--endpoint", "http://example.com"), 2),
        (("gs://bucket",), 2),
        (("s3://",), 2),
        (("public", "--region", "eu-1"), 2),
        (("s3://bucket", "--credentials", "missing"), 2),
        ((), 2),
    ],
)
def test_what_cannot_be_published_to_is_told(exq: Exq, home: Path, arguments: tuple[str, ...], status: int) -> None:
    Path("keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = hidden\n")
    called = exq("log", "publish", *arguments, "--home", home)
    assert called.status == status
    assert "bug" not in called.err
    assert "hidden" not in called.err


def test_a_published_log_is_served_without_its_home(exq: Exq, home: Path) -> None:
    """S-21, S-22."""
    assert exq("log", "publish", "public", "--home", home).status == 0
    note_text = Path("public/checkpoint").read_text()
    statement = exq("log", "get", "0", "-o", "entry", "--home", home)
    assert statement.status == 0
    key = note.format_key(vkey_of(home))
    shutil.rmtree(home)
    with started("log", "serve", "--read-only", "public", "--listen", "127.0.0.1:0", "--vkey", key) as (process, told):
        assert told.keys() == {"url", "source"}
        url = told["url"]
        assert httpx2.get(f"{url}/readyz").json()["ready"] is True
        assert httpx2.get(f"{url}/checkpoint").text == note_text
        assert httpx2.get(f"{url}/entries/0/statement").content == Path("entry").read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_another_logs_key_serves_nothing(exq: Exq, home: Path) -> None:
    """S-22."""
    assert exq("log", "publish", "public", "--home", home).status == 0
    key = vkey_of(home)
    other = note.format_key(note.note_key(f"{key.name}.example", key.type, key.public_key))
    with started("log", "serve", "--read-only", "public", "--listen", "127.0.0.1:0", "--vkey", other) as (_, told):
        assert httpx2.get(f"{told['url']}/readyz").status_code == 503
        assert httpx2.get(f"{told['url']}/checkpoint").status_code == 503


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 2),
        (("--read-only", "gs://bucket"), 2),
        (("--read-only", "public", "--listen", "8081"), 2),
        (("--read-only", "public", "--vkey", "log+00000000+AAAA"), 65),
    ],
)
def test_what_cannot_be_served_is_told(exq: Exq, arguments: tuple[str, ...], status: int) -> None:
    called = exq("log", "serve", *arguments)
    assert called.status == status
    assert "bug" not in called.err
