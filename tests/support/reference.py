"""The Merkle tree of RFC 9162 §2.1 as its definitions say it: slow, recursive, and never imported by the product."""

from collections.abc import Sequence
from hashlib import sha256


def root(entries: Sequence[bytes]) -> bytes:
    """Return MTH(D[n])."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    return sha256(b"\x01" + root(entries[:split]) + root(entries[split:])).digest()


def inclusion_path(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]), from the leaf towards the root."""
    if len(entries) == 1:
        return []
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    if index < split:
        return [*inclusion_path(index, entries[:split]), root(entries[split:])]
    return [*inclusion_path(index - split, entries[split:]), root(entries[:split])]


def consistency_path(size: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return PROOF(m, D[n])."""
    return _subproof(size, entries, whole=True)


def _subproof(size: int, entries: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if size == len(entries):
        return [] if whole else [root(entries)]
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    if size <= split:
        return [*_subproof(size, entries[:split], whole=whole), root(entries[split:])]
    return [*_subproof(size - split, entries[split:], whole=False), root(entries[:split])]
