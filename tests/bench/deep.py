"""Bundles whose receipts lead up 27 levels, as in a log of 134 million entries, without making such a log.

An inclusion path needs the leaf and one hash a level. So the policy record and the artifacts are the leaves of
one small subtree, everything beside its way up is a hash of nothing in particular, and the log signs the root
that comes out. For a verifier there is no difference.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import bundle, checkpoint, merkle, note, receipt, statement
from exequatur_verifier.bundle import Position
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust import parse as parse_trust
from tests.support import world

DEPTH: Final = 27
SIZE: Final = 1 << DEPTH
WITNESS: Final = "witness.example"

_LOG: Final = world.Log(world.ORIGIN, [b"genesis"])
_QUORUM: Final = f'[witness]\nquorum = "w"\n[witness.keys]\nw = "{note.format_key(world.witness_key(WITNESS))}"\n'


class Planted(NamedTuple):
    """The root over the leaves and their made-up surroundings, and the position of each leaf."""

    root: bytes
    positions: tuple[Position, ...]


def trust(*, witnessed: bool) -> Trust:
    """Return the trust policy for these bundles; if ``witnessed``, one that asks for the witness's cosignature."""
    return parse_trust(world.trust_toml(_LOG, extra=_QUORUM if witnessed else "").encode())


def plant(leaves: Sequence[bytes], number: int) -> Planted:
    """Return where ``leaves`` (hashes, a power of two of them) stand in a tree of ``SIZE``, another for each number."""
    rows = [list(leaves)]
    while len(rows[-1]) > 1:
        pairs = zip(rows[-1][::2], rows[-1][1::2], strict=True)
        rows.append([merkle.node_hash(left, right) for left, right in pairs])
    height = len(rows) - 1
    first = int.from_bytes(sha256(f"place {number}".encode()).digest()) % (SIZE >> height) << height
    node = rows[height][0]
    above: list[bytes] = []
    for level in range(height, DEPTH):
        beside = sha256(f"tree {number}, level {level}".encode()).digest()
        node = merkle.node_hash(beside, node) if first >> level & 1 else merkle.node_hash(node, beside)
        above.append(beside)
    below = [[rows[level][index >> level ^ 1] for level in range(height)] for index in range(len(leaves))]
    return Planted(node, tuple(Position(first + index, (*path, *above)) for index, path in enumerate(below)))


def bundles(number: int, count: int, *, witnessed: bool) -> list[bytes]:
    """Return bundles of ``count`` artifacts under one head; with the policy record they are a power of two.

    Every number makes other artifacts and another head; the policy record is always the same.
    """
    made = world.parts()
    artifacts = [_artifact(made, f"artifact {number}.{index}") for index in range(count)]
    entries = [statement.parse(entry) for entry in (made.policy, *artifacts)]
    planted = plant([entry.leaf for entry in entries], number)
    head = receipt.sign_head(
        SIZE, planted.root, iss=_LOG.iss, origin=_LOG.origin, iat=world.NOW, signer=_LOG.receipt_signer
    )
    element = bundle.Element(made.policy, {_LOG.origin: planted.positions[0]})
    notes = (_checkpoint(planted.root),) if witnessed else ()
    encoded = []
    for artifact, position in zip(artifacts, planted.positions[1:], strict=True):
        proof = receipt.encode(head, receipt.Inclusion(SIZE, position.leaf_index, position.path))
        transparent = statement.attach(artifact, (proof,))
        encoded.append(bundle.encode(bundle.Bundle(transparent, made.salt, made.terms, element, checkpoints=notes)))
    return encoded


def _artifact(made: world.Parts, name: str) -> bytes:
    claims = made.claims._replace(cti=sha256(name.encode()).digest()[:16])
    return statement.sign(made.record, claims, world.signer("authority"))


def _checkpoint(root: bytes) -> bytes:
    head = checkpoint.Checkpoint(_LOG.origin, SIZE, root)
    cosigned = checkpoint.cosign(head, world.NOW, world.witness_key(WITNESS), world.signer(WITNESS, Algorithm.ED25519))
    return note.format(checkpoint.format(head), (checkpoint.sign(head, _LOG.vkey, _LOG.checkpoint_signer), cosigned))
