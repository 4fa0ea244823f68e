"""A signer daemon that stops in the middle of a signature: ``python -m tests.cli.mortal_signer DIR SOCKET MARKER N``.

With its N-th signature by the authority's key, counted from 1, it writes MARKER and signs no more: to be killed then.
"""

import os
import sys
import time
from pathlib import Path

from exequatur_gate.home import find_passphrase
from exequatur_issuer.signers import daemon, settings
from exequatur_issuer.signers.daemon import Daemon
from exequatur_issuer.signers.journal import Journal
from exequatur_verifier.signing import Signer


class Mortal:
    """The signer that stops."""

    def __init__(self, signer: Signer, marker: Path, last: int) -> None:
        self.public_key = signer.public_key
        self._signer = signer
        self._marker = marker
        self._left = last

    def sign(self, message: bytes) -> bytes:
        self._left -= 1
        if self._left == 0:
            self._marker.write_text("now")
            time.sleep(300)
        return self._signer.sign(message)


def main(directory: Path, path: Path, marker: Path, last: int) -> None:
    keys = settings.open_keys(settings.read(directory / "signer.toml"), directory, find_passphrase(str(directory)))
    keys["authority"] = keys["authority"]._replace(signer=Mortal(keys["authority"].signer, marker, last))
    uids = frozenset((os.geteuid(),))
    with daemon.listening(path, uids) as listener:
        print("at", path, flush=True)
        Daemon(keys, uids, Journal(directory / "journal")).serve(listener)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
