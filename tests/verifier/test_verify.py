"""The procedure itself: its order, what it does after a failure, what it learns. Each denial: specs/vectors."""

import sys
from typing import Any

import pytest

from exequatur_verifier import Clock, Code, Facts, parse_trust, verify
from exequatur_verifier.case import Case
from exequatur_verifier.verdict import FAILED, NO_MEMORY, NOT_EVALUATED, PASSED, Condition, Verdict
from exequatur_verifier.verify import PROCEDURE
from tests.support import world
from tests.support.world import COMMAND, FACTS, NOW, ORIGIN
from tests.vectors.failing_evidence import receipt_signature, two_roots_of_one_size
from tests.vectors.failing_form import grant, signature, truncated
from tests.vectors.form import run
from tests.vectors.valid import accepted, es256, issued, witness_quorum


def statuses(verdict: Verdict) -> dict[int, str]:
    return {step.number: step.status for step in verdict.steps}


def test_the_steps_are_numbered_and_need_earlier_ones() -> None:
    assert [step.number for step in PROCEDURE] == list(range(15))
    assert len({step.name for step in PROCEDURE}) == 15
    for step in PROCEDURE:
        assert all(needed < step.number for needed in step.needs)


def test_every_step_is_listed() -> None:
    # V-03
    assert statuses(run(es256())) == {**dict.fromkeys(range(15), PASSED), 6: NO_MEMORY}
    assert statuses(run(es256()._replace(memory=world.memory()))) == dict.fromkeys(range(15), PASSED)


@pytest.mark.parametrize(
    ("vector", "failed", "evaluated"),
    [
        (truncated, 1, {0}),
        (grant, 2, {0, 1}),
        # A stranger's artifact gets no costly step.
        (signature, 3, {0, 1, 2}),
        # What does not rest on the log is still said.
        (receipt_signature, 4, {0, 1, 2, 3, 7, 8, 9, 10}),
    ],
)
def test_what_is_evaluated_after_a_failure(vector: Any, failed: int, evaluated: set[int]) -> None:
    # V-06
    found = statuses(run(vector()))
    assert {number for number, status in found.items() if status == PASSED} == evaluated
    assert found[failed] == FAILED
    assert set(found.values()) <= {PASSED, FAILED, NOT_EVALUATED}


def test_the_first_failure_decides() -> None:
    # V-04
    verdict = run(es256()._replace(now=Clock(NOW + 1000), facts=Facts()))
    assert [step.code for step in verdict.steps if step.status == FAILED] == [
        Code.EXPIRED,
        Code.FACT_MISMATCH,
    ]
    assert verdict.code is Code.EXPIRED


def test_what_is_learned() -> None:
    vector = witness_quorum()
    learned = run(vector).learned
    (head,) = learned.heads
    assert (head.origin, head.size, head.iat) == (ORIGIN, 5, NOW)
    assert head.note is not None
    # The floor is the latest time under a signature that was checked: here a cosignature.
    assert learned.floor == NOW + 2
    assert learned.policy is not None
    assert learned.policy.owner == world.signer("owner").public_key.thumbprint
    assert learned.clock == vector.now


def test_a_policy_accepted_by_its_id_is_not_remembered() -> None:
    # Its owner is unknown, so its signature was not checked: the id in the trust policy vouches for it, here and now.
    made = world.parts(policy=world.policy_statement(owner="stranger"))
    assert run(issued(made, policy=accepted(made))).learned.policy is None


def test_the_verdict_names_what_it_rested_on() -> None:
    verdict = run(es256()._replace(memory=world.memory()))
    assert verdict.generation == 1
    assert run(es256()).generation is None
    assert len(verdict.trust) == 32


def test_two_heads_are_kept_as_evidence() -> None:
    evidence = run(two_roots_of_one_size()).evidence
    assert evidence is not None
    assert evidence.remembered.size == evidence.presented.size
    assert evidence.remembered.root != evidence.presented.root
    assert evidence.remembered.signature != evidence.presented.signature


@pytest.mark.parametrize(
    "descriptor", [{}, {"type": "process.exec"}, {**COMMAND, "uid": object()}, {**COMMAND, "args": []}]
)
def test_what_is_no_action_is_another_action(descriptor: dict[str, Any]) -> None:
    vector, log = es256(), world.new_log()
    trust = parse_trust(world.trust_toml(log).encode())
    verdict = verify(vector.bundle, descriptor, FACTS, trust, None, (), vector.now)
    assert verdict.code is Code.ACTION_MISMATCH


def test_whatever_was_not_foreseen_is_a_denial(monkeypatch: pytest.MonkeyPatch) -> None:
    # V-02
    def surprise(case: Case) -> str:
        raise ZeroDivisionError

    steps = tuple(step._replace(check=surprise) if step.number == 9 else step for step in PROCEDURE)
    monkeypatch.setattr(sys.modules["exequatur_verifier.verify"], "PROCEDURE", steps)
    verdict = run(es256())
    assert verdict.code is Code.INTERNAL_ERROR
    assert verdict.failure is not None
    assert verdict.failure.number == 9
    assert "ZeroDivisionError" in verdict.failure.detail


def test_every_code_belongs_to_one_of_the_five_conditions() -> None:
    assert {code.condition for code in Code} == set(Condition)


def test_every_step_says_what_held() -> None:
    assert all(step.detail for step in run(es256()).steps)
