"""ML-DSA signatures of the vectors, kept as files: that signer draws randomness, and vectors must come out the same.

A signature is named after the key and the message, made once, and read ever after.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.signing import LocalSigner
from tests.vectors.form import FOLDER

RANDOMISED = (Algorithm.ML_DSA_44, Algorithm.ML_DSA_65)

used: set[Path] = set()


class FrozenSigner(NamedTuple):
    """A signer that answers the same message with the same signature on every machine."""

    inner: LocalSigner

    @property
    def public_key(self) -> PublicKey:
        return self.inner.public_key

    def sign(self, message: bytes) -> bytes:
        """Return the kept signature over ``message``; make and keep it if there is none."""
        if self.public_key.algorithm not in RANDOMISED:
            return self.inner.sign(message)
        file = FOLDER / "frozen" / f"{sha256(self.public_key.thumbprint + message).hexdigest()[:32]}.sig"
        used.add(file)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.inner.sign(message))
        signature = file.read_bytes()
        self.public_key.verify(signature, message)
        return signature
