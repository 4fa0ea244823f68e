"""The procedure as a whole: what it depends on, what it takes for seen, and what it does not evaluate (specs/05)."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_verifier import Code, Verdict, bundle, parse_trust, receipt, statement, verify
from exequatur_verifier.verify import PROCEDURE
from tests.support import reference, world
from tests.support.world import NOW
from tests.vectors import form
from tests.vectors.form import FOLDER
from tests.vectors.valid import CLOCK, VALID


@pytest.mark.parametrize("name", ["valid-es256", "valid-checkpoint-seen", "valid-stapled-proof"])
def test_the_same_inputs_give_the_same_verdict(name: str) -> None:
    # V-01
    vector = VALID[name]()
    assert form.run(vector) == form.run(vector)
    later = form.run(vector._replace(now=vector.now._replace(unix=vector.now.unix + 3600)))
    assert later.code is Code.EXPIRED


@pytest.mark.parametrize("folder", sorted(FOLDER.glob("fail-*")), ids=lambda folder: folder.name)
def test_what_needs_a_failed_step_is_not_evaluated(folder: Path) -> None:
    # V-06
    verdict = form.run(form.read(folder))
    held = {step.number for step in verdict.steps if step.status in ("passed", "no memory")}
    for step, result in zip(PROCEDURE, verdict.steps, strict=True):
        assert (result.status == "not evaluated") is not step.needs.issubset(held), result


@pytest.mark.parametrize(
    "changed", [{}, {"signature": bytes(64)}, {"trust": bytes(32)}, {"iat": NOW - 1}, {"root": bytes(32)}]
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
