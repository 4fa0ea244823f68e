"""The Merkle tree of RFC 9162 §2.1 (the same as RFC 6962 §2.1), with SHA-256: hashes and the verification of proofs.

A leaf is hashed as ``H(0x00 || entry)``, a node as ``H(0x01 || left || right)``; the tree of n leaves splits at the
largest power of two below n. Proofs are lists of 32-byte hashes from the leaf towards the root (specs/03 §1).

The functions here never see a root that a prover supplied beside the proof: the caller compares with, or checks a
signature over, a root it has reason to believe.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from .errors import MalformedError, NotProvenError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
# Sizes are bounded as in C2SP tlog-tiles, which bounds every path.
MAX_SIZE: Final = 2**63 - 1
MAX_PATH: Final = 63


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of the leaf that holds ``entry`` (RFC 9162 §2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees (RFC 9162 §2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root of the tree of ``size`` leaves whose leaf ``index`` is ``leaf`` (RFC 9162 §2.1.3.2).

    The path's length is compared with the one that ``index`` and ``size`` demand: its inner part, below the point where
    the way to the leaf leaves the right border, and its border part, where every sibling lies to the left. Raises
    ``MalformedError``. Several (index, size) pairs can yield the same root from one path: the size must be signed
    elsewhere.
    """
    if not 0 <= index < size <= MAX_SIZE or len(leaf) != HASH_SIZE or not is_path(path):
        raise MalformedError(f"no inclusion path leads from leaf {index} to a tree of {size} leaves")
    inner = (index ^ (size - 1)).bit_length()
    if len(path) != inner + (index >> inner).bit_count():
        raise MalformedError(f"an inclusion path of {len(path)} hashes does not fit leaf {index} of {size}")
    node = leaf
    for level in range(inner):
        if index >> level & 1:
            node = sha256(b"\x01" + path[level] + node).digest()
        else:
            node = sha256(b"\x01" + node + path[level]).digest()
    for sibling in path[inner:]:
        node = sha256(b"\x01" + sibling + node).digest()
    return node


def check_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree (``size1``, ``root1``) is a prefix of the tree (``size2``, ``root2``) (RFC 9162 §2.1.4.2).

    Raises ``MalformedError`` for sizes and paths that cannot be, ``NotProvenError`` when the hashes do not come out.
    An empty tree is a prefix of every tree, which proves nothing: it is refused as malformed.
    """
    if not 0 < size1 <= size2 <= MAX_SIZE or not is_path(path):
        raise MalformedError(f"no consistency proof leads from size {size1} to size {size2}")
    if size1 == size2:
        if path:
            raise MalformedError("a consistency proof between equal sizes is empty")
        if root1 != root2:
            raise NotProvenError(f"two roots for size {size1}")
        return
    if len(root1) != HASH_SIZE:
        raise MalformedError("a root hash is 32 bytes long")
    # The old tree is a row of complete subtrees; the smallest is the seed, and is the whole old tree when that is
    # complete.
    trailing = (size1 & -size1).bit_length() - 1
    whole = size1 == 1 << trailing
    seed = (root1, *path) if whole else tuple(path)
    last1, last2 = (size1 - 1) >> trailing, (size2 - 1) >> trailing
    inner = (last1 ^ last2).bit_length()
    if len(seed) != 1 + inner + (last1 >> inner).bit_count():
        raise MalformedError(f"a consistency path of {len(path)} hashes does not fit sizes {size1} and {size2}")
    old = new = seed[0]
    for level, sibling in enumerate(seed[1 : inner + 1]):
        if last1 >> level & 1:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    for sibling in seed[inner + 1 :]:
        old = node_hash(sibling, old)
        new = node_hash(sibling, new)
    if old != root1 or new != root2:
        raise NotProvenError(f"the tree of {size1} leaves is not a prefix of the tree of {size2} leaves")


def is_path(value: Sequence[Any]) -> bool:
    """Say whether ``value`` is a list of at most 63 hashes of 32 bytes."""
    if not isinstance(value, list | tuple) or len(value) > MAX_PATH:
        return False
    return not value or (set(map(type, value)) == {bytes} and set(map(len, value)) == {HASH_SIZE})
