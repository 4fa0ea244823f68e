"""The monitor finds what is missing from a log, and nothing in a log that is whole (specs/05 §5)."""

from hashlib import sha256

import pytest

from exequatur_verifier import monitor, statement
from exequatur_verifier.monitor import Finding, Monitor
from exequatur_verifier.records import Enforcement, Head, Link, Outcome, Verification
from exequatur_verifier.statement import Claims, Statement
from tests.support import world

LEEWAY = 60


class Runtime:
    """A runtime that signs its records in sequence."""

    def __init__(self) -> None:
        self.seq = 0
        self.prev: bytes | None = None

    def sign(self, record: Verification | Outcome | Enforcement, iat: int = world.NOW + 1) -> Statement:
        self.seq += 1
        claims = Claims(world.RUNTIME, world.SUBJECT, iat, sha256(bytes(str(self.seq), "ascii")).digest()[:16])
        record = record._replace(seq=self.seq, prev=self.prev)
        signed = statement.parse(statement.sign(record, claims, world.signer("runtime")))
        self.prev = signed.id
        return signed


def authorization(uses: int = 1) -> Statement:
    made = world.parts()
    record = made.record._replace(uses=uses)
    return statement.parse(statement.sign(record, made.claims, world.signer("authority")))


def verification(granted: Statement, use: int = 1) -> Verification:
    head = Head(world.ORIGIN, 1, bytes(32))
    links = (Link("authorization", granted.id),)
    return Verification(links, 0, None, ((0, "passed"),), bytes(32), (head,), bytes(32), (), "unprotected", use)


def outcome(verified: Statement, status: str = "exited") -> Outcome:
    return Outcome((Link("verification", verified.id),), 0, None, status)


def watch(*statements: Statement, known: tuple[Statement, ...] = ()) -> tuple[list[Finding], Monitor]:
    by_id = {one.id: one for one in (*known, *statements)}
    watching = Monitor(by_id.get, LEEWAY)
    found = [finding for index, one in enumerate(statements) for finding in watching.observe(index, one)]
    return [*found, *watching.finish()], watching


def codes(*statements: Statement) -> list[str]:
    return [finding.code for finding in watch(*statements)[0]]


def test_a_whole_case_is_without_findings() -> None:
    # V-53
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted))
    assert codes(granted, verified, runtime.sign(outcome(verified))) == []


def test_a_verification_without_outcome_is_found_at_the_end() -> None:
    # V-53
    granted, runtime = authorization(), Runtime()
    assert codes(granted, runtime.sign(verification(granted))) == ["OUTCOME_MISSING"]


def test_an_orphaned_execution_is_counted_and_no_finding() -> None:
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted))
    found, watching = watch(granted, verified, runtime.sign(outcome(verified, "orphaned")))
    assert (found, watching.orphaned) == ([], 1)


def test_a_second_outcome_is_found() -> None:
    # V-53
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted))
    statements = (granted, verified, runtime.sign(outcome(verified)), runtime.sign(outcome(verified)))
    assert codes(*statements) == ["OUTCOME_TWICE"]


def test_a_hidden_record_shows_as_a_gap() -> None:
    # R-03 V-53
    runtime = Runtime()
    first, _, third = (runtime.sign(Enforcement((), 0, None, "deny", "EXPIRED")) for _ in range(3))
    assert codes(first, third) == ["SEQUENCE_GAP"]


def test_a_chain_that_went_on_twice_shows_as_a_fork() -> None:
    # R-03 V-53
    runtime = Runtime()
    first = runtime.sign(Enforcement((), 0, None, "deny", "EXPIRED"))
    runtime.prev = bytes(32)
    assert codes(first, runtime.sign(Enforcement((), 0, None, "deny", "EXPIRED"))) == ["SEQUENCE_FORK"]


@pytest.mark.parametrize(("use", "found"), [(1, []), (2, []), (3, ["USES_EXCEEDED"]), (0, ["USES_EXCEEDED"])])
def test_a_use_beyond_those_granted_is_found(use: int, found: list[str]) -> None:
    # V-53
    granted, runtime = authorization(uses=2), Runtime()
    verified = runtime.sign(verification(granted, use))
    assert codes(granted, verified, runtime.sign(outcome(verified))) == found


@pytest.mark.parametrize(
    ("iat", "found"),
    [
        (world.NOW - LEEWAY, []),
        (world.NOW - LEEWAY - 1, ["OUTSIDE_WINDOW"]),
        (world.NOW + 300 + LEEWAY - 1, []),
        (world.NOW + 300 + LEEWAY, ["OUTSIDE_WINDOW"]),
    ],
)
def test_an_execution_outside_its_window_is_found(iat: int, found: list[str]) -> None:
    # V-53
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted), iat)
    assert codes(granted, verified, runtime.sign(outcome(verified))) == found


def test_an_authorization_that_was_let_go_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_KEPT", 0)
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted, use=2))
    found, _ = watch(granted, verified, runtime.sign(outcome(verified)))
    assert [finding.code for finding in found] == ["USES_EXCEEDED"]


def test_what_is_not_an_authorization_grants_nothing() -> None:
    """Registration refuses such a link; a monitor that meets one has nothing to compare with."""
    granted, runtime = authorization(), Runtime()
    verified = runtime.sign(verification(granted))
    end = runtime.sign(outcome(verified))
    found, _ = watch(verified, end)
    assert found == []
    strange = Monitor({granted.id: verified}.get, LEEWAY)
    assert list(strange.observe(0, verified)) == []
