"""Explanations: what decided, where it stands, and what each permit lacked."""

from exequatur_issuer import rehearsal
from exequatur_issuer.explaining import Explanation, explain
from exequatur_issuer.publish import load_set
from exequatur_issuer.rehearsal import Question
from tests.issuer.house import with_rules
from tests.support import world

EXEC = 'action == Action::"process.exec"'
ME = "urn:exequatur:requester:me"


def explained(text: str, requester: str = ME, **changed: object) -> Explanation:
    policy_set = with_rules(text)
    engine, rules = load_set(policy_set)
    question = Question({**world.COMMAND, **changed}, requester, world.NOW, {})
    return explain(question, rehearsal.draft(policy_set, engine, rules), engine)


def sentences(found: Explanation) -> list[str]:
    return [near.sentence() for near in found.near]


def test_an_allow_names_its_permits_with_their_places() -> None:
    found = explained(f'@id("a") permit (principal, {EXEC}, resource);\n@id("b") permit (principal, action, resource);')
    assert found.decided.record.outcome == "allow"
    assert [(source.policy.id, source.place) for source in found.determining] == [
        ("a", "rules.cedar:1"),
        ("b", "rules.cedar:2"),
    ]
    assert found.near == ()


def test_a_denial_says_what_each_permit_lacked_and_the_nearest_comes_first() -> None:
    found = explained(
        f"""
@id("far") permit (principal == Requester::"x", {EXEC}, resource)
when {{ context.program == "ls" && context.cwd like "/srv/*" }};
@id("near") permit (principal, {EXEC}, resource)
when {{ context.program == "git" && context.cwd like "/home/*" }};
@id("unless") permit (principal is Requester, {EXEC}, resource)
unless {{ context.uid == 0 || context.args.contains("--version") }};
"""
    )
    assert found.decided.record.code == "POLICY_DEFAULT_DENY"
    assert sentences(found) == [
        'permit near would apply but for: context.cwd like "/home/*"',
        'permit unless would apply but for: !(context.args.contains("--version"))',
        'permit far would apply but for: principal == Requester::"x"; context.program == "ls"',
    ]
    assert found.near[0].source.place == "rules.cedar:4"


def test_a_permit_that_a_forbid_overruled_is_told_so() -> None:
    found = explained(
        f'@id("yes") permit (principal, {EXEC}, resource);\n'
        '@id("no") forbid (principal, action, resource) when { context.program == "git" };'
    )
    assert [source.policy.id for source in found.determining] == ["no"]
    assert sentences(found) == ["permit yes applies, and is overruled"]


def test_a_condition_that_fails_is_told_with_its_error_and_one_behind_it_is_not() -> None:
    overflow = "context.now + 9223372036854775807 > 0"
    found = explained(f'@id("p") permit (principal, {EXEC}, resource) when {{ {overflow} }};')
    assert found.decided.record.code == "POLICY_ERROR"
    ((unmet,),) = [near.unmet for near in found.near]
    assert unmet.condition == "(context.now + 9223372036854775807) > 0"
    assert "overflow" in (unmet.error or "")
    guarded = explained(
        f'@id("p") permit (principal, {EXEC}, resource)'
        " when { context.claims has confirmed && context.claims.confirmed };"
    )
    assert sentences(guarded) == ["permit p would apply but for: context.claims has confirmed"]


def test_what_cannot_be_asked_has_no_near_misses() -> None:
    text = f'@id("p") permit (principal, {EXEC}, resource) when {{ context.program == "ls" }};'
    unmapped = explained(text, name=b"\xff")
    assert (unmapped.decided.record.code, unmapped.near) == ("POLICY_ERROR", ())
    tool = {"type": "mcp.tool", "name": "search", "resource": "urn:s", "args": {}}
    policy_set = with_rules(text)
    engine, rules = load_set(policy_set)
    found = explain(Question(tool, ME, world.NOW), rehearsal.draft(policy_set, engine, rules), engine)
    assert (found.decided.record.code, found.near) == ("POLICY_NO_DECISION", ())


def test_a_permit_about_another_action_is_no_near_miss() -> None:
    schema = b"""
entity Requester; entity Executable; entity Server;
action "process.exec" appliesTo { principal: Requester, resource: Executable, context: {
  program: String, command: String, args: Set<String>, cwd: String, env: Set<String>, uid: Long, claims: {}, now: Long
} };
action "book" appliesTo { principal: Requester, resource: Server, context: { args: {}, claims: {}, now: Long } };
"""
    policy_set = with_rules(
        '@id("book") permit (principal, action == Action::"book", resource);'
        f'@id("ls") permit (principal, {EXEC}, resource) when {{ context.program == "ls" }};'
    )._replace(schema=schema)
    engine, rules = load_set(policy_set)
    found = explain(Question(world.COMMAND, ME, world.NOW), rehearsal.draft(policy_set, engine, rules), engine)
    assert [near.source.policy.id for near in found.near] == ["ls"]
