"""Exequatur's kernel: an offline verifier of execution authorizations.

    from exequatur_verifier import Clock, Facts, parse_trust, verify

    verdict = verify(bundle, action, Facts(), parse_trust(trust_toml), None, (), Clock(now))
    verdict.code      # None, or the code of the first step that failed

The kernel is pure: no network, file, clock or randomness, and no dependency but ``cryptography`` and ``cbor2``. Formats
and proofs are in modules named after them (``statement``, ``receipt``, ``merkle``, ``checkpoint``…); the procedure is
in ``verify`` and in specs/05. ``host`` and ``__main__`` are its only edge to a machine, and nothing here imports them.
"""

from .constraints import Facts
from .errors import ExequaturError, MalformedError, NotProvenError, UnsupportedError
from .keys import Algorithm, PublicKey
from .memory import Clock, Memory, Proof
from .trust import Trust
from .trust_file import parse as parse_trust
from .verdict import Code, Verdict
from .verify import verify

__all__ = [
    "Algorithm",
    "Clock",
    "Code",
    "ExequaturError",
    "Facts",
    "MalformedError",
    "Memory",
    "NotProvenError",
    "Proof",
    "PublicKey",
    "Trust",
    "UnsupportedError",
    "Verdict",
    "parse_trust",
    "verify",
]
