"""The home: where a runtime's trust, key and memory lie, and who may touch them (specs/06 §3, specs/07 §1).

    trust.toml           what this runtime believes
    keys/runtime.pem     its key, encrypted PKCS#8
    keys/passphrase      what opens the key, unless it is handed over or in the keyring of the system
    state.db             what it remembers (``state``)

A home is named, or it is the installed one: ``/var/lib/exequatur``, otherwise ``.local/share/exequatur`` in
the home directory that the system's user database names. Never the working directory, never an environment
variable: a cloned repository could bring its own trust. One that others can write is refused, and so is one
whose parents they can exchange.
"""

import os
import stat
from typing import Final, NamedTuple

from exequatur_verifier import trust_file
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.signing import Signer, load_signer
from exequatur_verifier.trust import Trust
from exequatur_verifier.verdict import Code

INSTALLED: Final = "/var/lib/exequatur"
KEYRING_SERVICE: Final = "exequatur"

_LARGEST: Final = 1 << 20


class HomeRefusedError(ExequaturError):
    """The home is missing, incomplete, or in reach of others; whatever asks is denied with ``code``."""

    code: Final = Code.STATE_UNAVAILABLE


class Home(NamedTuple):
    """The runtime's half of a home, read once: its absolute path, its trust policy, the runtime's signer."""

    path: str
    trust: Trust
    signer: Signer

    @property
    def state_path(self) -> str:
        """The path of the state."""
        return os.path.join(self.path, "state.db")


def locate(named: str | None = None) -> str:
    """Return the path of the home that ``--home`` names, or of the installed one. Whether it exists is not asked."""
    if named is not None:
        return os.path.realpath(named)
    if os.path.lexists(INSTALLED):
        return os.path.realpath(INSTALLED)
    import pwd

    return os.path.realpath(os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".local/share/exequatur"))


def load(path: str, passphrase: bytes | None = None) -> Home:
    """Return the home at an absolute path, checked; raise ``HomeRefusedError``.

    Without a ``passphrase`` the one in ``keys/passphrase`` opens the key, or the one that the keyring of the
    system has for this path.
    """
    check(path)
    try:
        policy = trust_file.parse(read(path, "trust.toml"))
        pem = read(path, "keys/runtime.pem", secret=True)
        if b"ENCRYPTED" not in pem:
            raise HomeRefusedError(
                f"{path}/keys/runtime.pem is not encrypted; a private key is kept as encrypted PKCS#8"
            )
        signer = load_signer(pem, passphrase or find_passphrase(path), policy.runtime.key.algorithm)
    except MalformedError as error:
        raise HomeRefusedError(f"{path} cannot be used: {error}") from None
    if signer.public_key != policy.runtime.key:
        raise HomeRefusedError(f"keys/runtime.pem is not the key that {path}/trust.toml names for this runtime")
    return Home(path, policy, signer)


def check(path: str) -> None:
    """Raise ``HomeRefusedError`` if anyone but this user and root can write the home, its state, or its place."""
    try:
        for folder in (path, os.path.join(path, "keys")):
            if not stat.S_ISDIR(_inspect(folder, os.lstat(folder)).st_mode):
                raise HomeRefusedError(f"{folder} is not a directory")
        for name in ("state.db", "state.db-wal", "state.db-shm", "state.lock"):
            file = os.path.join(path, name)
            # A state that is absent is for the state to complain about.
            if os.path.lexists(file):
                _inspect(file, os.lstat(file), secret=True)
        parent = path
        while (parent := os.path.dirname(parent)) != os.path.dirname(parent):
            # In a sticky folder others may create, and not exchange what is ours.
            _inspect(parent, found := os.lstat(parent), shared=bool(found.st_mode & stat.S_ISVTX))
    except OSError as error:
        raise HomeRefusedError(f"the home {path} cannot be used: {error.strerror}: {error.filename}") from None


def read(path: str, name: str, *, secret: bool = False) -> bytes:
    """Return the content of a file of the home, if it is within the owner's reach alone; raise ``HomeRefusedError``."""
    return read_private(os.path.join(path, name), secret=secret)


def read_private(path: str, *, secret: bool = True) -> bytes:
    """Return the content of a file that others cannot write, or, if ``secret``, read; raise ``HomeRefusedError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            _inspect(path, os.fstat(descriptor), secret=secret)
            data = os.read(descriptor, _LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HomeRefusedError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise HomeRefusedError(f"{path} is larger than {_LARGEST} bytes")
    return data


def _inspect(path: str, found: os.stat_result, *, secret: bool = False, shared: bool = False) -> os.stat_result:
    if stat.S_ISLNK(found.st_mode):
        raise HomeRefusedError(f"{path} is a symbolic link, and whoever can write its target is not known")
    if found.st_uid not in {0, os.geteuid()}:
        raise HomeRefusedError(f"{path} belongs to uid {found.st_uid}; it must belong to this user or to root")
    if not shared and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise HomeRefusedError(f"{path} can be written by others; take that right from them (chmod go-w)")
    if secret and found.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise HomeRefusedError(f"{path} can be read by others; make a new key, and keep it from them (chmod go-rwx)")
    return found


def find_passphrase(path: str) -> bytes:
    """Return the passphrase of the runtime's key.

    The file comes first: it is there exactly where no keyring is used, and asking a keyring is slow and may
    wait for a person.
    """
    if os.path.lexists(os.path.join(path, "keys/passphrase")):
        return read(path, "keys/passphrase", secret=True).rstrip(b"\r\n")
    import importlib

    # The gate depends on no such package; it makes use of one that happens to be there.
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise HomeRefusedError(f"there is no {path}/keys/passphrase; give --passphrase-file") from None
    try:
        found = keyring.get_password(KEYRING_SERVICE, path)
    except Exception as error:  # noqa: BLE001 - what a keyring raises is not ours to know
        raise HomeRefusedError(f"the keyring gives no passphrase ({error}); give --passphrase-file") from None
    if not isinstance(found, str):
        raise HomeRefusedError(f"the keyring has no passphrase for {path}; give --passphrase-file")
    return found.encode()
