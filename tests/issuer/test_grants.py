"""Grants: asked for, held, passed on, and never wider below than above."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer import approvals, grants, replay
from exequatur_issuer.authorize import Issued
from exequatur_issuer.grants import GrantError, Wish
from exequatur_verifier import bundle, constraints, shape, statement
from exequatur_verifier.constraints import FROM_PATH, Constraints, Limits, Process, Sandbox
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.records import Decision, Kind, Link
from exequatur_verifier.verdict import Code
from tests.issuer.delegating import GIT, Delegating, Held, artifact_of, record_of, rules, terms_of
from tests.issuer.house import FACTS, NOW, RUNTIME, House
from tests.issuer.ledger import MemoryLog, RealLog
from tests.support import world


@pytest.fixture
def delegating(tmp_path: Path) -> Delegating:
    return Delegating(House(tmp_path, MemoryLog(), rules()))


# A grant.


def test_grant_is_bound_to_its_holder_and_names_what_it_covers(delegating: Delegating) -> None:
    #
    held = delegating.grant(depth=2, uses=4)
    record, claims = record_of(held.issued), artifact_of(held.issued).claims
    assert (record.form, record.mode, record.depth, record.uses) == ("grant", "enforce", 2, 4)
    assert (record.action.type, claims.aud) == ("exequatur.grant", RUNTIME.id)
    assert claims.cnf == world.signer("agent").public_key.encoded
    assert terms_of(held.issued).constraints.args == {
        "/name": Matcher(Operator.SUBPATH, "/usr/bin"),
        "/type": Matcher(Operator.EXACT, "process.exec"),
    }
    assert delegating.house.verify(held.issued.bundle).code is Code.KIND_MISMATCH


def test_policy_decides_on_grants_by_what_they_say(delegating: Delegating) -> None:
    #
    refused = delegating.house.refuse(delegating.asked(delegating.wish(depth=3), facts={}))
    assert refused.code == "POLICY_DEFAULT_DENY"
    other = delegating.asked(delegating.wish(covers="mcp.tool"), facts={})
    assert delegating.house.refuse(other).code == "POLICY_DEFAULT_DENY"


@pytest.mark.parametrize(
    "change",
    [
        {"args": {}},
        {"args": {"constraints": {}, "depth": 0, "holder": b""}},
        {"args": {"constraints": {}, "depth": 8, "holder": world.signer("agent").public_key.encoded}},
        {"args": {"constraints": {}, "depth": -1, "holder": world.signer("agent").public_key.encoded}},
        {"args": {"constraints": {"moon": 1}, "depth": 0, "holder": world.signer("agent").public_key.encoded}},
        {"args": {"constraints": {"lease_s": 1.5}, "depth": 0, "holder": world.signer("agent").public_key.encoded}},
        {"name": "exequatur.grant"},
    ],
)
def test_what_is_no_request_for_a_grant_is_refused(delegating: Delegating, change: Mapping[str, Any]) -> None:
    # A-01 A-62
    asked = delegating.asked({**delegating.wish(), **change}, facts={})
    refused = delegating.house.refuse(asked)
    assert (refused.code, refused.decision) in (("MALFORMED", None), ("UNSUPPORTED", None))


def test_constraints_that_name_another_type_are_refused(delegating: Delegating) -> None:
    #
    limits = GIT._replace(args={"/type": Matcher(Operator.EXACT, "mcp.tool")})
    assert delegating.house.refuse(delegating.asked(delegating.wish(limits=limits), facts={})).code == "MALFORMED"


def test_grant_for_another_runtime_than_its_request_is_refused(delegating: Delegating) -> None:
    #
    wish = {**delegating.wish(), "resource": "urn:exequatur:runtime:other"}
    assert delegating.house.refuse(delegating.asked(wish, facts={})).code == "AUDIENCE_MISMATCH"


# What is asked for below it.


def test_holder_of_a_grant_asks_for_actions_within_it(delegating: Delegating) -> None:
    # A-61 A-63 A-64
    house, held = delegating.house, delegating.grant()
    asked = delegating.asked(world.COMMAND, held)
    issued = house.issue(asked)
    record, claims, terms = record_of(issued), artifact_of(issued).claims, terms_of(issued)
    assert Link("parent", held.issued.authorization) in record.links
    assert (record.form, record.depth, record.uses, claims.exp) == ("action", None, 5, NOW + 600)
    assert claims.cnf == RUNTIME.key
    # The grant's arguments and policy's limit together.
    assert terms.constraints.args["/name"] == Matcher(Operator.SUBPATH, "/usr/bin")
    assert terms.constraints.limits.wall_ms == 30_000
    verdict = house.verify(issued.bundle)
    assert verdict.code is None, verdict.failure
    assert house.issue(asked) == issued


def test_chain_on_the_products_own_log(tmp_path: Path) -> None:
    # A-61 A-63 L-22 L-25
    log = RealLog(tmp_path / "log.db")
    delegating = Delegating(House(tmp_path, log, rules()))
    first = delegating.grant(depth=2)
    second = delegating.grant("helper", first, depth=1, uses=3, limits=Constraints())
    third = delegating.grant(
        "last", second, uses=2, limits=Constraints(args={"/name": Matcher(Operator.EXACT, "/usr/bin/git")})
    )
    issued = delegating.house.issue(delegating.asked(world.COMMAND, third, uses=1))
    verdict = delegating.house.verify(issued.bundle)
    assert verdict.code is None, verdict.failure
    parts = bundle.decode(issued.bundle)
    assert [parent.request is not None for parent in parts.parents] == [True, True, False]
    assert terms_of(third.issued).constraints.args["/name"] == Matcher(Operator.EXACT, "/usr/bin/git")
    # What is above it was not asked for again, and holds all the same.
    assert terms_of(second.issued).constraints.args == terms_of(first.issued).constraints.args
    log.close()


def test_uses_together_are_the_grants_and_no_more(tmp_path: Path) -> None:
    # L-26
    log = RealLog(tmp_path / "log.db")
    delegating = Delegating(House(tmp_path, log, rules()))
    held = delegating.grant(uses=3)
    assert delegating.house.issue(delegating.asked(world.COMMAND, held, uses=2)).uses == 2
    refused = delegating.house.refuse(delegating.asked(world.COMMAND, held, uses=2))
    assert refused.code == "BUDGET_EXCEEDED"
    assert delegating.house.issue(delegating.asked(world.COMMAND, held, uses=1)).uses == 1
    log.close()


def test_window_of_what_is_below_ends_with_the_grant(delegating: Delegating) -> None:
    #
    held = delegating.grant(ttl=60)
    late = NOW + 50
    issued = delegating.house.issue(delegating.asked(world.COMMAND, held, now=late), late)
    assert artifact_of(issued).claims.exp == NOW + 60
    assert delegating.house.verify(issued.bundle, now=late).code is None
    assert "in force" in delegating.refuse(delegating.asked(world.COMMAND, held, now=NOW + 60), NOW + 60).detail


def test_policy_still_decides_below_a_grant(tmp_path: Path) -> None:
    #
    house = House(tmp_path, MemoryLog(), rules())
    delegating = Delegating(house)
    held = delegating.grant()
    forbidding = rules()._replace(
        sources=b'//# file rules.cedar\n@id("no") forbid (principal, action == Action::"process.exec", resource);\n'
    )
    house.authority = house.open(policy=house.publish(forbidding))
    assert house.refuse(delegating.asked(world.COMMAND, held)).code == "POLICY_FORBID"


def test_what_a_grant_covers_is_no_permit_by_itself(delegating: Delegating) -> None:
    #
    call = {"type": "mcp.tool", "name": "book", "resource": "urn:x:y", "args": {}}
    held = delegating.grant(limits=Constraints())
    assert "covers process.exec, not mcp.tool" in delegating.refuse(delegating.asked(call, held, facts={})).detail


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": b"/bin/rm"}, "/name is not subpath"),
        ({"uid": 0}, "uid 0"),
        ({"env": {b"LD_PRELOAD": b"x"}}, "LD_PRELOAD"),
        ({"cwd": b"/etc"}, "/cwd"),
    ],
)
def test_action_outside_a_grant_is_refused_with_what_is(
    delegating: Delegating, change: Mapping[str, Any], why: str
) -> None:
    #
    limits = Constraints(
        args={**GIT.args, "/cwd": Matcher(Operator.SUBPATH, "/srv")}, process=Process(env=("PATH",), uid=(1000,))
    )
    held = delegating.grant(limits=limits)
    assert why in delegating.refuse(delegating.asked({**world.COMMAND, **change}, held)).detail


def test_executable_of_a_grant_is_that_which_was_measured(delegating: Delegating) -> None:
    #
    executable = FACTS["executable"]
    assert isinstance(executable, bytes)
    held = delegating.grant(limits=Constraints(process=Process(executables=(executable,))))
    assert isinstance(delegating.house.answer(delegating.asked(world.COMMAND, held)), Issued)
    other = delegating.asked(world.COMMAND, held, facts={**FACTS, "executable": bytes(32)})
    assert "executable" in delegating.refuse(other).detail


WIDE: list[tuple[Constraints, Constraints, str]] = [
    (GIT, Constraints(args={"/name": Matcher(Operator.SUBPATH, "/usr")}), "args /name"),
    (GIT, Constraints(args={"/name": Matcher(Operator.GLOB, "*")}), "args /name"),
    (Constraints(process=Process(executables=(bytes(32),))), Constraints(process=Process(executables=(b"\1" * 32,))),
     "process.executables"),
    (Constraints(process=Process(env=("PATH",))), Constraints(process=Process(env=("PATH", "HOME"))), "process.env"),
    (Constraints(process=Process(uid=(1,))), Constraints(process=Process(uid=(0,))), "process.uid"),
    (Constraints(), Constraints(process=Process(image=FROM_PATH)), "process.image"),
    (Constraints(), Constraints(process=Process(script=FROM_PATH)), "process.script"),
    (Constraints(sandbox=Sandbox(read=("/usr",))), Constraints(sandbox=Sandbox(read=("/",))), "sandbox.read"),
    (Constraints(sandbox=Sandbox(write=())), Constraints(sandbox=Sandbox(write=("/tmp",))), "sandbox.write"),
    (Constraints(sandbox=Sandbox(execute=("/bin",))), Constraints(sandbox=Sandbox(execute=("/usr",))),
     "sandbox.execute"),
    (Constraints(sandbox=Sandbox(ports=(443,))), Constraints(sandbox=Sandbox(ports=(443, 80))), "sandbox.ports"),
    (Constraints(lease_s=30), Constraints(lease_s=60), "lease_s"),
    *((Constraints(limits=Limits(**{name: 10})), Constraints(limits=Limits(**{name: 11})), f"limits.{name}")
      for name in Limits._fields),
]  # fmt: skip


@pytest.mark.parametrize(("above", "below", "field"), WIDE, ids=[field for *_, field in WIDE])
def test_wider_grant_is_refused_with_the_field_that_is(
    delegating: Delegating, above: Constraints, below: Constraints, field: str
) -> None:
    #
    held = delegating.grant(depth=1, limits=above)
    asked = delegating.asked(delegating.wish("helper", 0, below), held, facts={})
    assert f"wider than the grant in {field};" in delegating.refuse(asked).detail


def test_depth_is_used_up(delegating: Delegating) -> None:
    #
    held = delegating.grant(depth=1)
    same = delegating.asked(delegating.wish("helper", 1), held, facts={})
    assert "depth 1" in delegating.refuse(same).detail
    last = delegating.grant("helper", held)
    deeper = delegating.asked(delegating.wish("more", 0), last, facts={})
    assert "actions only" in delegating.refuse(deeper).detail
    assert delegating.house.verify(delegating.house.issue(delegating.asked(world.COMMAND, last)).bundle).code is None


def test_only_the_holder_asks_under_a_grant(delegating: Delegating) -> None:
    #
    held = delegating.grant()
    assert "only its holder" in delegating.refuse(delegating.asked(world.COMMAND, held, by="requester")).detail
    asked = delegating.asked(world.COMMAND, held)
    parsed = statement.parse(asked.request)
    forged = parsed.entry[:-1] + bytes((parsed.entry[-1] ^ 1,))
    assert "signature" in delegating.refuse(asked._replace(request=forged)).detail


def test_grant_holds_for_its_own_runtime(delegating: Delegating) -> None:
    #
    held = delegating.grant()
    asked = delegating.asked(world.COMMAND, held, audience="urn:exequatur:runtime:other")
    runtime = RUNTIME._replace(id="urn:exequatur:runtime:other")
    assert f"for {RUNTIME.id}" in delegating.refuse(asked._replace(runtime=runtime)).detail


def test_action_is_no_parent(delegating: Delegating) -> None:
    #
    issued = delegating.house.issue(delegating.asked(world.COMMAND))
    asked = delegating.asked(world.COMMAND, Held(issued, "runtime"))
    assert "no grant" in delegating.refuse(asked).detail


def test_another_record_under_a_grants_id_is_no_grant(delegating: Delegating) -> None:
    #
    held, other = delegating.grant(), delegating.grant("helper")
    request = statement.parse(delegating.asked(world.COMMAND, held).request)
    above, beside = artifact_of(held.issued), artifact_of(other.issued)
    assert [one.id for one in approvals.chain(request, {above.id: above.entry}.get)] == [above.id]
    assert approvals.chain(request, {above.id: beside.entry}.get) == []


def test_grant_whose_terms_were_erased_permits_nothing(delegating: Delegating) -> None:
    #
    held = delegating.grant()
    delegating.house.content.drop(record_of(held.issued).terms)
    assert "erased" in delegating.refuse(delegating.asked(world.COMMAND, held)).detail


def test_facts_of_a_grant_hold_below_it(delegating: Delegating) -> None:
    #
    asked = delegating.asked(delegating.wish(), facts={"host": "build-1"})
    held = Held(delegating.house.issue(asked), "agent")
    issued = delegating.house.issue(delegating.asked(world.COMMAND, held, facts={"executable": bytes(32)}))
    assert terms_of(issued).facts == {"executable": bytes(32), "host": "build-1"}
    other = delegating.asked(world.COMMAND, held, facts={"host": "build-2"})
    assert "another host" in delegating.refuse(other).detail


# Consent to a task.


def test_approved_grant_is_consent_to_what_is_done_under_it(tmp_path: Path) -> None:
    #
    log = RealLog(tmp_path / "log.db")
    house = House(tmp_path, log, rules(asked='@require_approval("1")', wanted='@require_approval("1")'))
    delegating = Delegating(house)
    asked = delegating.asked(delegating.wish(depth=1), facts={})
    assert house.refuse(asked).approvals == 1
    house.approve(asked, scope="task", uses=4)
    held = Held(house.issue(asked), "agent")
    assert record_of(held.issued).uses == 4
    issued = house.issue(delegating.asked(world.COMMAND, held, uses=1))
    verdict = house.verify(issued.bundle, trust='[approvals]\nrequired = {"process.exec" = 1}')
    assert verdict.code is None, verdict.failure
    entry = house.find(issued.decision)
    assert entry is not None
    decision = statement.parse(entry).record
    assert isinstance(decision, Decision)
    assert (decision.outcome, [link.relation for link in decision.links]) == ("allow", ["request", "policy"])
    cases = list(replay.collect(house.log.statements(), house.find))
    results = replay.replay(cases, house.folder / "content")
    assert {one.result for one in results} == {"equal"}, results
    # Without what the grant rests on, the decision would have been another one.
    alone = [case._replace(above=()) for case in cases]
    assert "different" in {one.result for one in replay.replay(alone, house.folder / "content")}
    log.close()


def test_consent_to_a_task_is_one_voice_however_deep(tmp_path: Path) -> None:
    #
    house = House(tmp_path, MemoryLog(), rules(asked='@require_approval("1")', wanted='@require_approval("2")'))
    delegating = Delegating(house)
    asked = delegating.asked(delegating.wish(depth=1), facts={})
    house.refuse(asked)
    house.approve(asked, scope="task", uses=0)
    below = delegating.asked(world.COMMAND, Held(house.issue(asked), "agent"), uses=1)
    assert "2 approvals, and 1 of them" in house.refuse(below).detail
    # The same approver again is the same approver; another one is enough.
    house.approve(below)
    assert "2 approvals, and 1 of them" in house.refuse(below).detail
    house.approve(below, "second")
    issued = house.issue(below)
    verdict = house.verify(issued.bundle)
    assert verdict.code is None, verdict.failure


# Whatever is asked for.


PATHS = st.sampled_from(["/", "/usr", "/usr/bin", "/usr/bin/git", "/srv"])
MATCHERS = st.one_of(
    st.builds(Matcher, st.just(Operator.SUBPATH), PATHS),
    st.builds(Matcher, st.just(Operator.PREFIX), PATHS),
    st.builds(Matcher, st.just(Operator.EXACT), PATHS),
    st.builds(Matcher, st.just(Operator.ONE_OF), st.lists(PATHS, max_size=3)),
    st.builds(Matcher, st.just(Operator.GLOB), st.sampled_from(["/usr/*", "/usr/bin/g?t", "*"])),
)
SOME_PATHS = st.none() | st.lists(PATHS, max_size=2, unique=True).map(lambda paths: tuple(sorted(paths)))
BOUND = st.none() | st.integers(0, 5)
CONSTRAINTS = st.builds(
    Constraints,
    args=st.dictionaries(st.sampled_from(["/name", "/cwd"]), MATCHERS, max_size=2),
    process=st.builds(
        Process,
        executables=st.none() | st.lists(st.sampled_from([bytes(32), FACTS["executable"]]), unique=True).map(tuple),
        env=st.none() | st.lists(st.sampled_from(["HOME", "PATH"]), unique=True).map(tuple),
        uid=st.none() | st.lists(st.sampled_from([0, 1000]), unique=True).map(tuple),
        image=st.sampled_from(["sealed", "path"]),
        script=st.sampled_from(["sealed", "path"]),
    ),
    sandbox=st.builds(
        Sandbox,
        read=SOME_PATHS,
        write=SOME_PATHS,
        execute=SOME_PATHS,
        ports=st.none() | st.lists(st.sampled_from([80, 443]), unique=True).map(tuple),
        require=st.lists(st.sampled_from(["pidfd", "lease"]), unique=True).map(tuple),
    ),
    limits=st.builds(Limits, **dict.fromkeys(Limits._fields, BOUND)),
    lease_s=BOUND,
)


@given(CONSTRAINTS, CONSTRAINTS)
def test_what_two_sets_have_in_common_is_within_both(one: Constraints, other: Constraints) -> None:
    #
    try:
        both = grants.meet(one, other)
    except GrantError:
        # Of two matchers on one place neither is known to be within the other.
        assert set(one.args) & set(other.args)
        return
    assert constraints.is_subset(both, one)
    assert constraints.is_subset(both, other)


@given(CONSTRAINTS, CONSTRAINTS)
def test_fields_that_are_wider_are_named_exactly_when_there_are_some(one: Constraints, other: Constraints) -> None:
    #
    assert (not list(grants.wider(one, other))) == constraints.is_subset(one, other)


@given(CONSTRAINTS)
def test_wish_is_read_as_it_was_made(limits: Constraints) -> None:
    #
    wish = Wish("process.exec", world.signer("agent").public_key, 1, limits)
    again = grants.read(grants.descriptor_of(wish, RUNTIME.id))
    assert shape.plain(again.constraints) == shape.plain(limits)
    assert again._replace(constraints=limits) == wish
    assert all(line.isprintable() for line in grants.lines(wish))


def test_kinds_and_keys_of_a_chain_are_what_they_seem(delegating: Delegating) -> None:
    #
    held = delegating.grant()
    issued = delegating.house.issue(delegating.asked(world.COMMAND, held))
    asked = statement.parse(bundle.decode(issued.bundle).request.statement)  # type: ignore[union-attr]  # it is there
    assert (asked.kind, asked.key_id) == (Kind.REQUEST, world.signer("agent").public_key.thumbprint)
    claims = artifact_of(held.issued).claims
    assert claims.cnf is not None
    assert PublicKey.from_cose(claims.cnf).thumbprint == asked.key_id
