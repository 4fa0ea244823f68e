"""Processes of one witness, killed at random moments: no cosignature contradicts another, and none is forgotten."""

from pathlib import Path

from exequatur_log.witness.memory import Memory
from exequatur_verifier import checkpoint, merkle
from tests.faults.mortal import Mortal, generator, kill_at, moment
from tests.faults.witnessing import NAME, TRUNK, branches, cosign
from tests.witness import scene

ROUNDS = 8
PROCESSES = 3
LONGEST_S = 0.4
KEYS = [key for key, _ in scene.keys_of(NAME)]


def test_kill_at_any_moment_never_cosigns_a_fork(tmp_path: Path) -> None:
    # W-11
    draw, path = generator("witness"), tmp_path / "witness.db"
    scene.witness(path, NAME).memory.close()
    total, forks = 0, 0
    for number in range(ROUNDS):
        logs = branches(f"log.example/round-{number}")
        with Memory.open(path) as memory:
            memory.add_logs([logs[0].vkey])
        # Twice, so that the second time it goes on from what the killed ones left.
        cosigned: dict[int, set[int]] = {0: set(), 1: set()}
        newest = 0
        for _ in range(2):
            mortals = [Mortal(cosign, path, logs[0].origin, draw.getrandbits(32)) for _ in range(PROCESSES)]
            kill_at(mortals, [moment(draw, LONGEST_S) for _ in mortals])
            for branch, size, lines in (said for mortal in mortals for said in mortal.told):
                opened = checkpoint.open(logs[branch].checkpoint(size=size) + lines, [logs[branch].vkey], KEYS)
                assert opened.cosigned.keys() == set(KEYS)
                newest = max(newest, *opened.cosigned.values())
                cosigned[branch].add(size)
            with Memory.open(path) as memory, memory.transaction() as transaction:
                held = transaction.held_of(logs[0].origin)
            sizes = cosigned[0] | cosigned[1]
            if held is None:
                assert not sizes
                continue
            assert held.time >= newest
            assert held.checkpoint.size >= max(sizes, default=0)
            # Every cosigned head is a prefix of the one that is remembered, so they are one history.
            ours = next(log for log in logs if log.root(held.checkpoint.size) == held.checkpoint.root)
            for branch, log in enumerate(logs):
                for size in cosigned[branch]:
                    proof = scene.proof(size, held.checkpoint.size, ours)
                    merkle.check_consistency(size, held.checkpoint.size, log.root(size), held.checkpoint.root, proof)
            total += len(sizes)
            forks += held.checkpoint.size > TRUNK
    print(f"{2 * ROUNDS * PROCESSES} kills, {total} heads cosigned, {forks} times beyond the fork")
    assert forks > ROUNDS // 2
