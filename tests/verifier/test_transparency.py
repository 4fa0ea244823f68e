"""What a receipt may rest on that was verified before: all its bytes, under one trust policy (specs/05 §2, step 4)."""

from typing import Any

import pytest

from exequatur_verifier import Code, Verdict, bundle, parse_trust, receipt, statement, verify
from tests.support import reference, world
from tests.support.world import NOW
from tests.vectors.valid import CLOCK


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"signature": bytes(64)},
        {"protected": b"\xa0"},
        {"root": bytes(32)},
        {"trust": bytes(32)},
    ],
)
def test_a_head_is_seen_by_all_its_bytes_and_under_this_very_trust(changed: dict[str, Any]) -> None:
    # V-16
    log = world.new_log()
    made = world.issue(world.parts(), log)
    trust = parse_trust(world.trust_toml(log).encode())
    artifact, _ = statement.parse_transparent(made.artifact)
    # A signature that does not hold tells whether it was checked.
    forged = log.head(NOW)._replace(signature=b"\x01" * 64)
    proof = receipt.Inclusion(5, 4, tuple(reference.inclusion_path(4, log.entries)))
    presented = made._replace(artifact=statement.attach(artifact.entry, (receipt.encode(forged, proof),)))
    known = log.known_head(NOW, trust.digest)._replace(signature=forged.signature)

    def judge(memory: Any) -> Verdict:
        return verify(bundle.encode(presented), world.COMMAND, world.FACTS, trust, memory, (), CLOCK)

    assert judge(world.memory()).code is Code.RECEIPT_INVALID
    verdict = judge(world.memory(known._replace(**changed)))
    assert verdict.code is (Code.RECEIPT_INVALID if changed else None)
