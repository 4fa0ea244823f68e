"""Key files: encrypted, their owner's alone, never overwritten."""

import os
import stat
from pathlib import Path

import pytest

from exequatur_issuer.signer import KeyFileError, create_key, load_key
from exequatur_verifier.keys import Algorithm

PASSPHRASE = b"correct horse"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_key_signs_before_and_after_it_is_loaded(tmp_path: Path, algorithm: Algorithm) -> None:
    made = create_key(tmp_path / "key.pem", PASSPHRASE, algorithm)
    loaded = load_key(tmp_path / "key.pem", PASSPHRASE, algorithm)
    assert loaded.public_key == made.public_key
    assert loaded.public_key.algorithm is algorithm
    made.public_key.verify(loaded.sign(b"message"), b"message")


def test_the_usual_algorithm_of_a_key_needs_no_mention(tmp_path: Path) -> None:
    create_key(tmp_path / "key.pem", PASSPHRASE)
    assert load_key(tmp_path / "key.pem", PASSPHRASE).public_key.algorithm is Algorithm.ES256


def test_a_new_key_file_is_encrypted_and_the_owners_alone(tmp_path: Path) -> None:
    #
    old = os.umask(0)
    try:
        create_key(tmp_path / "key.pem", PASSPHRASE)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    #
    key = create_key(tmp_path / "key.pem", PASSPHRASE)
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key(tmp_path / "key.pem", PASSPHRASE)
    assert load_key(tmp_path / "key.pem", PASSPHRASE).public_key == key.public_key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    #
    create_key(tmp_path / "key.pem", PASSPHRASE)
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
        load_key(tmp_path / "key.pem", PASSPHRASE)


def test_a_key_of_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    #
    create_key(tmp_path / "key.pem", PASSPHRASE)
    found = (tmp_path / "key.pem").stat()
    foreign = os.stat_result((*found[:4], 12345, *found[5:]))
    monkeypatch.setattr(os, "fstat", lambda _: foreign)
    with pytest.raises(KeyFileError, match="uid 12345"):
        load_key(tmp_path / "key.pem", PASSPHRASE)


def test_a_link_to_a_key_is_refused(tmp_path: Path) -> None:
    #
    create_key(tmp_path / "key.pem", PASSPHRASE)
    (tmp_path / "link.pem").symlink_to(tmp_path / "key.pem")
    with pytest.raises(KeyFileError):
        load_key(tmp_path / "link.pem", PASSPHRASE)
    with pytest.raises(KeyFileError):
        create_key(tmp_path / "link.pem", PASSPHRASE)


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key.pem").mkdir(mode=0o700)
    with pytest.raises(KeyFileError):
        load_key(tmp_path / "key.pem", PASSPHRASE)


@pytest.mark.parametrize("passphrase", [b"wrong horse", b""])
def test_a_wrong_passphrase_is_refused(tmp_path: Path, passphrase: bytes) -> None:
    create_key(tmp_path / "key.pem", PASSPHRASE)
    with pytest.raises(KeyFileError):
        load_key(tmp_path / "key.pem", passphrase)


def test_no_key_is_made_without_a_passphrase_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="passphrase"):
        create_key(tmp_path / "key.pem", b"")
    with pytest.raises(KeyFileError, match="cannot be created"):
        create_key(tmp_path / "missing" / "key.pem", PASSPHRASE)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_key(tmp_path / "key.pem", PASSPHRASE)


def test_a_plain_key_and_an_algorithm_of_another_curve_are_refused(tmp_path: Path) -> None:
    #
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "plain.pem").write_bytes(pem)
    (tmp_path / "plain.pem").chmod(0o600)
    with pytest.raises(KeyFileError, match="not encrypted"):
        load_key(tmp_path / "plain.pem", PASSPHRASE)
    create_key(tmp_path / "key.pem", PASSPHRASE)
    with pytest.raises(KeyFileError):
        load_key(tmp_path / "key.pem", PASSPHRASE, Algorithm.ES384)
