"""References to keys: what each names, and what is none."""

from pathlib import Path

import pytest

from exequatur_issuer.signers import reference, settings
from exequatur_issuer.signers.reference import DaemonKey, FileKey, TokenKey
from exequatur_issuer.signers.settings import HeldKey
from exequatur_verifier.errors import MalformedError


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file:keys/authority.pem", FileKey("keys/authority.pem")),
        ("file:/etc/key.pem", FileKey("/etc/key.pem")),
        ("daemon:/run/a#b/sock#authority", DaemonKey("/run/a#b/sock", "authority")),
        (
            "pkcs11:token=A%20b;object=k;id=%00%ff?module-path=/m.so",
            TokenKey("/m.so", (("token", "A b"),), "k", b"\x00\xff"),
        ),
        (
            "pkcs11:id=%01;type=private;model=M;serial=1?module-path=/m%3B.so",
            TokenKey("/m;.so", (("serial", "1"), ("model", "M")), None, b"\x01"),
        ),
    ],
)
def test_a_reference_names_a_key(text: str, named: object) -> None:
    #
    assert reference.parse(text) == named


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a line"),
        ("keys/authority.pem", "a key is"),
        ("file:", "a key is"),
        ("file://host/key.pem", "a key is"),
        ("daemon:run/sock#a", "absolute"),
        ("daemon:/run/sock", "absolute"),
        ("daemon:/run/sock#", "absolute"),
        ("pkcs11:token=t;object=k", "module-path"),
        ("pkcs11:token=t?module-path=/m.so", "module-path"),
        ("pkcs11:object=k?module-path=/m.so", "names the token"),
        ("pkcs11:token=t;object=k?module-path=/m.so&pin-value=1234", "no PIN"),
        ("pkcs11:token=t;object=k?module-path=/m.so&pin-source=file:/pin", "no PIN"),
        ("pkcs11:token=t;object=k;type=public?module-path=/m.so", "type=private"),
        ("pkcs11:token=t;object=k;slot-id=1?module-path=/m.so", "slot-id"),
        ("pkcs11:token=t;token=u;object=k?module-path=/m.so", "twice"),
        ("pkcs11:token=t;object=?module-path=/m.so", "no value"),
        ("pkcs11:token=%ff;object=k?module-path=/m.so", "UTF-8"),
    ],
)
def test_what_is_none_is_refused(text: str, complaint: str) -> None:
    #
    with pytest.raises(MalformedError, match=complaint):
        reference.text(text)
    with pytest.raises(MalformedError):
        reference.parse(text)


def test_a_daemon_reads_the_settings_that_were_written(tmp_path: Path) -> None:
    keys = {
        "authority": HeldKey("file:keys/authority.pem"),
        "build 2": HeldKey('file:/a "b".pem', "authority", "keys/pin", (1, 2)),
    }
    (tmp_path / "signer.toml").write_text(settings.format(keys))
    assert settings.read(tmp_path / "signer.toml") == keys


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "fields missing"),
        ("[keys]", "names no key"),
        ('[keys.build]\nkey = "file:a.pem"', "has no role"),
        ('[keys.build]\nkey = "file:a.pem"\nrole = "king"', "not one of"),
        ('[keys.authority]\nkey = "daemon:/run/sock#authority"', "no other daemon"),
        ('[keys.authority]\nkey = "file:a.pem"\npin = "1234"', "pin"),
        ('[keys.authority]\nkey = "file:a.pem"\nuids = ["root"]', "uids"),
        ("[keys", "signer.toml"),
    ],
)
def test_settings_of_a_daemon_that_are_wrong_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    #
    (tmp_path / "signer.toml").write_text(text)
    with pytest.raises(MalformedError, match=complaint):
        settings.read(tmp_path / "signer.toml")
