"""A token of SoftHSM2 in a folder of its own: made by its own tools, filled through PKCS#11.

The library is the system's: `make test` installs it where it may, and says what is missing elsewhere. Its configuration
is found by an environment variable, so all tokens of a test process share a folder.
"""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")
PIN = "5678"
CURVES = {"P-256": "secp256r1", "P-384": "secp384r1"}


class Token(NamedTuple):
    """A token by its label, and the folder that it lies in."""

    label: str
    folder: Path

    def uri(self, label: str, *more: str) -> str:
        """Return the reference of a key in it."""
        return f"pkcs11:{';'.join((f'token={self.label}', f'object={label}', *more))}?module-path={module()}"


@cache
def module() -> str:
    """Return the path of the library; its absence is an error, because these tests are not to be left out unseen."""
    for path in MODULES:
        if Path(path).exists():
            return path
    raise AssertionError("SoftHSM2 is not installed; apt-get install softhsm2 (CONTRIBUTING.md)")


def prepare(folder: Path) -> None:
    """Let this process, and those that it starts, find their tokens in ``folder``."""
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")


def create(folder: Path, label: str) -> Token:
    """Make an empty token."""
    before = set((folder / "tokens").iterdir())
    command = ("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "1234", "--pin", PIN)
    subprocess.run(command, check=True, capture_output=True)
    (made,) = set((folder / "tokens").iterdir()) - before
    return Token(label, made)


def generate(token: Token, label: str, curve: str = "P-256", id: bytes = b"\x01", *, public: bool = True) -> None:
    """Make a key pair in a token; without ``public`` only its private half stays."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    library: Any = pkcs11.lib(module())
    library.reinitialize()
    with library.get_token(token_label=token.label).open(user_pin=PIN, rw=True) as session:
        if curve == "Ed25519":
            kind, parameters = pkcs11.KeyType.EC_EDWARDS, b"\x13\x0cedwards25519"
            mechanism = pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
        else:
            kind, parameters = pkcs11.KeyType.EC, encode_named_curve_parameters(CURVES[curve])
            mechanism = pkcs11.Mechanism.EC_KEY_PAIR_GEN
        domain = session.create_domain_parameters(kind, {pkcs11.Attribute.EC_PARAMS: parameters}, local=True)
        made, _ = domain.generate_keypair(label=label, id=id, store=True, mechanism=mechanism)
        if not public:
            made.destroy()
