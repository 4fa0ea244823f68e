"""The home: where it is looked for, and everything about it that is refused."""

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exequatur_gate import home
from exequatur_gate.home import HomeRefusedError
from exequatur_verifier.verdict import Code
from tests.gate.homes import PASSPHRASE, make_home
from tests.support import world

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "above").mkdir(mode=0o755)
    return make_home(tmp_path / "above" / "home", world.new_log())


def test_home_holds_trust_and_the_runtimes_signer(folder: Path) -> None:
    # T-12
    found = home.load(str(folder))
    assert found.trust.runtime.id == world.RUNTIME
    assert found.signer.public_key == world.signer("runtime").public_key
    assert found.state_path == str(folder / "state.db")


def test_named_home_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # T-11
    monkeypatch.chdir(folder.parent)
    assert home.locate("home") == str(folder)
    (folder.parent / "link").symlink_to("home")
    assert home.locate("link") == str(folder)


def test_no_environment_variable_names_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # T-11
    for name in ("HOME", "XDG_DATA_HOME", "EXEQUATUR_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(home, "INSTALLED", str(tmp_path / "absent"))
    expected = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local/share/exequatur"
    assert home.locate() == str(expected.resolve())


def test_installed_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "INSTALLED", str(tmp_path))
    assert home.locate() == str(tmp_path)


def others_write_home(folder: Path) -> None:
    folder.chmod(0o702)


def group_writes_home(folder: Path) -> None:
    folder.chmod(0o720)


def others_write_keys(folder: Path) -> None:
    (folder / "keys").chmod(0o702)


def others_write_trust(folder: Path) -> None:
    (folder / "trust.toml").chmod(0o646)


def others_write_state(folder: Path) -> None:
    (folder / "state.db").chmod(0o602)


def others_write_lock(folder: Path) -> None:
    (folder / "state.lock").chmod(0o606)


def others_read_key(folder: Path) -> None:
    (folder / "keys" / "runtime.pem").chmod(0o604)


def others_read_passphrase(folder: Path) -> None:
    (folder / "keys" / "passphrase").chmod(0o644)


def others_exchange_home(folder: Path) -> None:
    folder.parent.chmod(0o777)


def trust_is_a_link(folder: Path) -> None:
    (folder / "trust.toml").rename(folder / "real.toml")
    (folder / "trust.toml").symlink_to("real.toml")


def state_is_a_link(folder: Path) -> None:
    (folder / "state.db").rename(folder / "real.db")
    (folder / "state.db").symlink_to("real.db")


def keys_is_a_link(folder: Path) -> None:
    (folder / "keys").rename(folder / "real")
    (folder / "keys").symlink_to("real")


def keys_is_a_file(folder: Path) -> None:
    (folder / "keys").rename(folder / "real")
    (folder / "keys").touch(mode=0o600)


def trust_is_absent(folder: Path) -> None:
    (folder / "trust.toml").unlink()


def trust_is_malformed(folder: Path) -> None:
    (folder / "trust.toml").write_text("leeway = 'much'")


def trust_is_huge(folder: Path) -> None:
    (folder / "trust.toml").write_bytes(b"#" * ((1 << 20) + 1))


def key_is_plain(folder: Path) -> None:
    key: Any = world.signer("runtime")._key
    (folder / "keys" / "runtime.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def key_is_not_the_runtimes(folder: Path) -> None:
    toml = (folder / "trust.toml").read_text()
    other = toml.replace(world.text_key(world.signer("runtime")), world.text_key(world.signer("another")))
    (folder / "trust.toml").write_text(other)


def passphrase_is_wrong(folder: Path) -> None:
    (folder / "keys" / "passphrase").write_bytes(b"wrong")


def home_is_absent(folder: Path) -> None:
    folder.rename(folder.parent / "moved")


@pytest.mark.parametrize(
    "harm",
    [
        others_write_home,
        group_writes_home,
        others_write_keys,
        others_write_trust,
        others_write_state,
        others_write_lock,
        others_read_key,
        others_read_passphrase,
        others_exchange_home,
        trust_is_a_link,
        state_is_a_link,
        keys_is_a_link,
        keys_is_a_file,
        trust_is_absent,
        trust_is_malformed,
        trust_is_huge,
        key_is_plain,
        key_is_not_the_runtimes,
        passphrase_is_wrong,
        home_is_absent,
    ],
)
def test_home_is_refused(folder: Path, harm: Callable[[Path], None]) -> None:
    # T-12
    home.load(str(folder))
    harm(folder)
    with pytest.raises(HomeRefusedError) as refusal:
        home.load(str(folder))
    assert refusal.value.code is Code.STATE_UNAVAILABLE


@as_root
def test_sticky_folder_of_somebody_else_is_refused(folder: Path) -> None:
    folder.parent.chmod(0o1777)
    os.chown(folder.parent, 12345, -1)
    with pytest.raises(HomeRefusedError, match="12345"):
        home.load(str(folder))


@as_root
@pytest.mark.parametrize("name", [".", "keys", "trust.toml", "keys/runtime.pem", "keys/passphrase", "state.db", ".."])
def test_what_belongs_to_somebody_else_is_refused(folder: Path, name: str) -> None:
    # T-12
    os.chown(folder / name, 12345, -1)
    with pytest.raises(HomeRefusedError, match="12345"):
        home.load(str(folder))


def test_sticky_folder_above_is_accepted(folder: Path) -> None:
    # T-12
    folder.parent.chmod(0o1777)
    home.load(str(folder))


def test_passphrase_that_is_handed_over_is_used(folder: Path) -> None:
    (folder / "keys" / "passphrase").unlink()
    home.load(str(folder), PASSPHRASE)
    with pytest.raises(HomeRefusedError):
        home.load(str(folder), b"wrong")


def test_keyring_is_asked_where_there_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {("exequatur", str(folder)): PASSPHRASE.decode()}
    keyring = SimpleNamespace(get_password=lambda service, name: kept.get((service, name)))
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    (folder / "keys" / "passphrase").unlink()
    home.load(str(folder))
    kept.clear()
    with pytest.raises(HomeRefusedError, match="keyring"):
        home.load(str(folder))
    keyring.get_password = lambda *_: 1 / 0
    with pytest.raises(HomeRefusedError, match="keyring"):
        home.load(str(folder))
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(HomeRefusedError, match="passphrase-file"):
        home.load(str(folder))
