"""Keys in a token, on a real SoftHSM2: found, used, lost and found again."""

import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.signers import reference
from exequatur_issuer.signers.errors import SignerRefusedError, SignerUnavailableError
from exequatur_issuer.signers.pkcs11 import _CURVES, TokenSigner, _content, _in_form
from exequatur_issuer.signers.reference import Source, TokenKey
from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm
from tests.issuer import tokens
from tests.issuer.test_signer_daemon import CLAIMS, RECORD
from tests.issuer.tokens import PIN, Token

P256 = next(curve for curve in _CURVES.values() if curve.algorithm is Algorithm.ES256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("softhsm")
    tokens.prepare(folder)
    return folder


@pytest.fixture
def token(folder: Path, request: pytest.FixtureRequest) -> Token:
    label = f"t{sha256(request.node.name.encode()).hexdigest()[:12]}"
    return tokens.create(folder, label)


@pytest.fixture
def opening(request: pytest.FixtureRequest) -> Callable[..., TokenSigner]:
    """Open a key of a token by its reference, and close it after the test."""

    def open_(uri: str, pin: bytes = PIN.encode()) -> TokenSigner:
        named = reference.parse(uri)
        assert isinstance(named, TokenKey)
        signer = TokenSigner(named, pin)
        request.addfinalizer(signer.close)
        return signer

    return open_


@pytest.mark.parametrize(
    ("curve", "algorithm"),
    [("P-256", Algorithm.ES256), ("P-384", Algorithm.ES384), ("Ed25519", Algorithm.ED25519)],
)
def test_a_key_in_a_token_signs_statements(
    token: Token, opening: Callable[..., TokenSigner], curve: str, algorithm: Algorithm
) -> None:
    #
    tokens.generate(token, "authority", curve)
    signer = opening(token.uri("authority"))
    assert signer.public_key.algorithm is algorithm
    for number in range(8):
        made = statement.parse(statement.sign(RECORD, CLAIMS._replace(iat=number), signer))
        statement.verify(made, signer.public_key)
        if algorithm is not Algorithm.ED25519:
            half = len(made.message.signature) // 2
            order = next(each.order for each in _CURVES.values() if each.algorithm is algorithm)
            assert int.from_bytes(made.message.signature[half:], "big") <= order // 2


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (b"\x01\x01", b"\x00" * 31 + b"\x01" + b"\x00" * 31 + b"\x01"),
        (bytes(31) + b"\x05" + (P256.order - 7).to_bytes(32, "big"), bytes(31) + b"\x05" + bytes(31) + b"\x07"),
        (bytes(31) + b"\x05" + bytes(31) + b"\x07", bytes(31) + b"\x05" + bytes(31) + b"\x07"),
    ],
)
def test_signatures_are_brought_to_full_width_and_low_s(raw: bytes, form: bytes) -> None:
    #
    assert _in_form(raw, P256) == form


@pytest.mark.parametrize("raw", [b"", b"\x01", bytes(63), bytes(66)])
def test_signatures_of_other_lengths_are_none(raw: bytes) -> None:
    with pytest.raises(SignerRefusedError, match="none of ES256"):
        _in_form(raw, P256)


def test_a_point_is_read_with_and_without_its_envelope() -> None:
    for first in (b"\x00", b"\x3f", b"\x41"):
        point = b"\x04" + first + bytes(63)
        assert _content(point, 65) == _content(b"\x04\x41" + point, 65) == point


def test_a_key_is_found_by_its_label_its_id_or_both(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "one", id=b"\x01")
    tokens.generate(token, "two", id=b"\xf2\x00")
    one, two = opening(token.uri("one")), opening(token.uri("two"))
    assert one.public_key != two.public_key
    by_id = f"pkcs11:token={token.label};id=%F2%00;type=private?module-path={tokens.module()}"
    assert opening(by_id).public_key == two.public_key
    assert opening(token.uri("two", "id=%f2%00")).public_key == two.public_key
    with pytest.raises(SignerRefusedError, match="no private key of that label and id"):
        opening(token.uri("two", "id=%01"))
    with pytest.raises(SignerRefusedError, match="pkcs11-tool --list-objects"):
        opening(token.uri("three"))


def test_several_keys_of_one_label_are_told_apart_by_id(token: Token, opening: Callable[..., TokenSigner]) -> None:
    tokens.generate(token, "key", id=b"\x01")
    tokens.generate(token, "key", id=b"\x02")
    with pytest.raises(SignerRefusedError, match="name object and id"):
        opening(token.uri("key"))
    assert opening(token.uri("key", "id=%01")).public_key != opening(token.uri("key", "id=%02")).public_key


def test_two_keys_of_one_token_do_not_put_each_other_out(token: Token, opening: Callable[..., TokenSigner]) -> None:
    # closing one session logs the other out
    tokens.generate(token, "one", id=b"\x01")
    tokens.generate(token, "two", id=b"\x02")
    one, two = opening(token.uri("one")), opening(token.uri("two"))
    for first, second in ((one, two), (two, one)):
        first.close()
        assert second.sign(b"message")
        assert first.sign(b"message")


def test_a_session_that_was_lost_is_opened_again_once(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "key")
    signer = opening(token.uri("key"))
    for _ in range(2):
        assert signer._opened is not None
        signer._opened.session.close()
        signer.public_key.verify(signer.sign(b"message"), b"message")


def test_a_token_that_is_gone_is_an_error_until_it_is_back(
    token: Token, opening: Callable[..., TokenSigner], tmp_path: Path
) -> None:
    #
    tokens.generate(token, "key")
    signer = opening(token.uri("key"))
    shutil.move(token.folder, tmp_path / "taken")
    for _ in range(2):
        with pytest.raises(SignerUnavailableError, match="see that"):
            signer.sign(b"message")
    shutil.move(tmp_path / "taken", token.folder)
    _reload()
    signer.public_key.verify(signer.sign(b"message"), b"message")


def test_another_key_under_the_label_is_not_taken_for_it(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "key", id=b"\x01")
    signer = opening(token.uri("key"))
    command = ("softhsm2-util", "--delete-token", "--token", token.label)
    subprocess.run(command, check=True, capture_output=True)
    tokens.create(token.folder.parent.parent, token.label)
    _reload()
    tokens.generate(token, "key", id=b"\x01")
    with pytest.raises(SignerRefusedError, match="another key by now"):
        signer.sign(b"message")


def _reload() -> None:
    import pkcs11

    library: Any = pkcs11.lib(tokens.module())
    library.reinitialize()


def test_a_wrong_pin_is_tried_once_and_never_again(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "key")
    signer = opening(token.uri("key"))
    signer.close()
    signer._pin = b"wrong"  # type: ignore[misc]
    for _ in range(5):
        with pytest.raises(SignerRefusedError, match="not tried again"):
            signer.sign(b"message")
    # SoftHSM does not count, so what shows that it was asked once is that the right PIN is of no use any more.
    signer._pin = PIN.encode()  # type: ignore[misc]
    with pytest.raises(SignerRefusedError, match="not tried again"):
        signer.sign(b"message")
    with pytest.raises(SignerRefusedError, match="does not take the PIN"):
        opening(token.uri("key"), b"0000")
    assert opening(token.uri("key")).sign(b"message")


def test_a_token_or_module_that_is_not_there_is_an_error(token: Token, opening: Callable[..., TokenSigner]) -> None:
    tokens.generate(token, "key")
    with pytest.raises(SignerUnavailableError, match="has 0 tokens"):
        opening(f"pkcs11:token=other;object=key?module-path={tokens.module()}")
    with pytest.raises(SignerUnavailableError, match="module-path"):
        opening("pkcs11:token=other;object=key?module-path=/nowhere/module.so")
    several = tokens.create(token.folder.parent.parent, token.label)
    _reload()
    with pytest.raises(SignerUnavailableError, match=r"has 2 tokens.*serial"):
        opening(several.uri("key"))


def test_a_token_is_found_by_all_that_its_uri_says(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    import pkcs11

    tokens.generate(token, "key")
    found: Any = pkcs11.lib(tokens.module()).get_token(token_label=token.label)
    more = (f"serial={found.serial.decode()}", "model=SoftHSM%20v2", "manufacturer=SoftHSM%20project", "type=private")
    assert opening(token.uri("key", *more)).sign(b"message")
    with pytest.raises(SignerUnavailableError, match="has 0 tokens"):
        opening(token.uri("key", "serial=00"))


def test_a_private_key_without_its_public_half_is_refused(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "key", public=False)
    with pytest.raises(SignerRefusedError, match="no public key"):
        opening(token.uri("key"))


def test_a_public_key_that_is_no_pair_is_found_out(token: Token, opening: Callable[..., TokenSigner]) -> None:
    #
    tokens.generate(token, "key", id=b"\x01", public=False)
    tokens.generate(token, "other", id=b"\x01")
    with pytest.raises(SignerRefusedError, match="no pair"):
        opening(token.uri("key")).sign(b"message")


def test_the_pin_is_in_a_file_that_others_cannot_read(token: Token, tmp_path: Path) -> None:
    #
    tokens.generate(token, "key")
    source = Source(token.uri("key"), "pin")
    (tmp_path / "pin").write_text(f"{PIN}\n")
    (tmp_path / "pin").chmod(0o600)
    signer = reference.open_signer(source, tmp_path, b"passphrase")
    signer.public_key.verify(signer.sign(b"message"), b"message")
    reference.close(signer)
    (tmp_path / "pin").chmod(0o640)
    with pytest.raises(Exception, match="mode 0640"):
        reference.open_signer(source, tmp_path, b"passphrase")
    with pytest.raises(SignerRefusedError, match="secret_file"):
        reference.open_signer(source._replace(secret_file=None), tmp_path, b"passphrase")
