"""Bundles whose receipts lead up 27 levels, as in a log of 134 million entries, without making such a log.

An inclusion path needs the leaf and one hash a level. So only the policy record and the artifacts are real leaves,
everything beside their ways up is a hash of nothing in particular, and the log signs the root that comes out. For a
verifier there is no difference.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import bundle, checkpoint, merkle, note, receipt, statement
from exequatur_verifier.bundle import Position
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust
from tests.support import world

DEPTH: Final = 27
SIZE: Final = 1 << DEPTH
APART: Final = 20  # the height at which the ways of policy and artifacts meet
WITNESS: Final = "witness.example"

_LOG: Final = world.Log(world.ORIGIN, [b"genesis"])
_QUORUM: Final = f'[witness]\nquorum = "w"\n[witness.keys]\nw = "{note.format_key(world.witness_key(WITNESS))}"\n'


class Planted(NamedTuple):
    """The root over the leaves and their made-up surroundings, and the positions of the policy and of the artifacts."""

    root: bytes
    policy: Position
    artifacts: tuple[Position, ...]


def trust(*, witnessed: bool) -> Trust:
    """Return the trust policy for these bundles; if ``witnessed``, one that asks for the witness's cosignature."""
    return parse_trust(world.trust_toml(_LOG, extra=_QUORUM if witnessed else "").encode())


def plant(policy: bytes, artifacts: Sequence[bytes], number: int) -> Planted:
    """Return where leaf hashes stand in a tree of ``SIZE``, another one for each number.

    ``artifacts`` stand side by side and are a power of two; the policy stands about a million entries before them, so
    that the two ways to the root have their upper end in common and not more.
    """
    height = (len(artifacts) - 1).bit_length()
    place = int.from_bytes(sha256(f"place {number}".encode()).digest())
    above = place % (SIZE >> APART + 1) << APART + 1
    left = above | (place >> 64) % (1 << APART)
    right = above | 1 << APART | (place >> 128) % (1 << APART - height) << height
    rows = [list(artifacts)]
    while len(rows[-1]) > 1:
        rows.append([merkle.node_hash(*pair) for pair in zip(rows[-1][::2], rows[-1][1::2], strict=True)])
    policy_node, policy_way = _climb(policy, left, range(APART), f"{number} left")
    node, way = _climb(rows[height][0], right, range(height, APART), f"{number} right")
    root, top = _climb(merkle.node_hash(policy_node, node), right, range(APART + 1, DEPTH), f"{number} above")
    positions = [
        Position(
            right + index, (*(rows[level][index >> level ^ 1] for level in range(height)), *way, policy_node, *top)
        )
        for index in range(len(artifacts))
    ]
    return Planted(root, Position(left, (*policy_way, node, *top)), tuple(positions))


def _climb(node: bytes, index: int, levels: range, name: str) -> tuple[bytes, list[bytes]]:
    """Return the node that is reached through these levels, and the made-up hashes beside the way."""
    way = [sha256(f"tree {name}, level {level}".encode()).digest() for level in levels]
    for level, beside in zip(levels, way, strict=True):
        node = merkle.node_hash(beside, node) if index >> level & 1 else merkle.node_hash(node, beside)
    return node, way


def bundles(number: int, count: int, *, witnessed: bool) -> list[bytes]:
    """Return bundles of ``count`` artifacts, a power of two, under one head.

    Every number makes other artifacts and another head; the policy record is always the same.
    """
    made = world.parts()
    artifacts = [_artifact(made, f"artifact {number}.{index}") for index in range(count)]
    planted = plant(statement.parse(made.policy).leaf, [statement.parse(entry).leaf for entry in artifacts], number)
    head = receipt.sign_head(
        SIZE, planted.root, iss=_LOG.iss, origin=_LOG.origin, iat=world.NOW, signer=_LOG.receipt_signer
    )
    element = bundle.Element(made.policy, {_LOG.origin: planted.policy})
    notes = (_checkpoint(planted.root),) if witnessed else ()
    encoded = []
    for artifact, position in zip(artifacts, planted.artifacts, strict=True):
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
