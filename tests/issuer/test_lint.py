"""What is said of a policy set that loads, and that nothing is said without proof."""

import re
from pathlib import Path
from typing import get_args

import pytest

from exequatur_issuer import lint, policyset
from exequatur_issuer.content import ContentStore
from exequatur_issuer.lint import Finding
from exequatur_issuer.policyset import PolicySetError
from exequatur_issuer.publish import load_set, publish
from tests.airline.corpus import POLICY
from tests.data import ROOT
from tests.issuer.house import NOW, SET, starter, with_rules
from tests.support import world

WHO = 'principal == Requester::"r"'


def rule(name: str, condition: str = "", *, effect: str = "permit", scope: str = "", more: str = "") -> str:
    scope = scope or f'{WHO}, action == Action::"process.exec", resource'
    clause = f" when {{ {condition} }}" if condition else ""
    return f'@id("{name}") @doc("d") {more} {effect} ({scope}){clause};\n'


def findings(*rules: str) -> list[Finding]:
    return lint.lint(load_set(with_rules("".join(rules)))[0])


def codes(*rules: str) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.policy) for finding in findings(*rules)]


GIT = rule("git", 'context.program == "git"')
EITHER = rule("either", '["git", "ls"].contains(context.program)')


def test_a_set_without_fault_has_no_findings() -> None:
    assert codes(EITHER, rule("rm", 'context.program == "rm"', effect="forbid")) == []


def test_the_airlines_policy_has_no_findings() -> None:
    #
    assert lint.lint(load_set(policyset.read(POLICY))[0]) == []


def test_the_starter_is_called_as_broad_as_it_is() -> None:
    (finding,) = lint.lint(load_set(starter())[0])
    assert (finding.code, finding.policy, finding.level) == ("BROAD", "permit-every-command", "warning")
    assert finding.place == "starter.cedar:16"
    assert finding.detail == "permits any resource in any context."


def test_a_policy_whose_conditions_contradict_is_unreachable() -> None:
    # A-19 A-20
    (finding,) = findings(EITHER, rule("never", 'context.program == "a" && context.program == "b"'))
    assert (finding.code, finding.level, finding.place) == ("UNREACHABLE", "error", "rules.cedar:2")
    assert '`context.program == "a"` and `context.program == "b"`' in finding.detail


def test_a_permit_that_another_covers_is_shadowed() -> None:
    #
    (finding,) = findings(GIT, EITHER)
    assert (finding.code, finding.policy) == ("SHADOWED", "git")
    assert "either (rules.cedar:2)" in finding.detail
    assert codes(EITHER, GIT) == [("SHADOWED", "git")]


def test_of_two_that_are_the_same_only_the_second_is_shadowed() -> None:
    assert codes(GIT, rule("again", '"git" == context.program')) == [("SHADOWED", "again")]


@pytest.mark.parametrize(
    ("narrow", "wide", "shadowed"),
    [
        ("", "", True),
        ('@ttl("1m")', '@ttl("5m")', False),
        ('@ttl("5m")', '@ttl("1m")', True),
        ('@require_approval("1")', "", False),
        ("", '@require_approval("1")', True),
        ('@sandbox_read("/usr")', '@sandbox_read("/usr /etc")', False),
        ('@sandbox_read("/usr /etc")', '@sandbox_read("/usr")', True),
        # The weaker form of execution is granted by all or not at all.
        ("", '@image("path")', False),
        ('@image("path")', "", True),
    ],
)
def test_a_permit_that_demands_more_is_not_shadowed(narrow: str, wide: str, shadowed: bool) -> None:
    #
    found = codes(
        rule("git", 'context.program == "git"', more=narrow),
        rule("either", '["git", "ls"].contains(context.program)', more=wide),
    )
    assert found == ([("SHADOWED", "git")] if shadowed else [])


def test_a_permit_that_always_meets_a_forbid_is_overruled() -> None:
    #
    wide = rule("no-git", 'context.program like "g*"', effect="forbid", scope="principal, action, resource")
    (finding,) = findings(GIT, wide)
    assert (finding.code, finding.policy, finding.level) == ("OVERRULED", "git", "warning")
    assert codes(EITHER, wide) == []


def test_a_forbid_that_another_covers_is_shadowed_and_a_permit_covers_no_forbid() -> None:
    one = rule("rm", 'context.program == "rm"', effect="forbid")
    assert codes(one, rule("short", 'context.program like "r*"', effect="forbid")) == [("SHADOWED", "rm")]
    assert codes(one, rule("all", 'context.program like "r*"')) == []


def test_an_unreachable_policy_covers_and_overrules_nothing() -> None:
    never = rule("never", 'context.program == "a" && context.program == "b"', effect="forbid")
    assert codes(GIT, never) == [("UNREACHABLE", "never")]


@pytest.mark.parametrize(
    ("scope", "condition", "detail"),
    [
        ("principal, action, resource", "", "permits any principal, any action, any resource in any context, always."),
        (f"{WHO}, action, resource", "", "permits any action, any resource in any context."),
        (f"{WHO}, action, resource", 'context.program == "git"', "permits any action."),
        (f'{WHO}, action == Action::"process.exec", resource', "", "permits any resource in any context."),
        (f'{WHO}, action == Action::"process.exec", resource', 'context.program == "git"', None),
        ('principal, action == Action::"process.exec", resource == Executable::"/bin/ls"', "", None),
        ("principal, action, resource", 'action == Action::"process.exec" && context.uid > 0', None),
    ],
)
def test_a_permit_for_any_action_or_any_resource_is_broad(scope: str, condition: str, detail: str | None) -> None:
    found = [finding.detail for finding in findings(rule("p", condition, scope=scope))]
    assert found == ([] if detail is None else [detail])


def test_a_forbid_may_be_as_broad_as_it_likes() -> None:
    assert codes(rule("stop", effect="forbid", scope="principal, action, resource")) == []


def test_a_policy_without_a_name_or_a_reason_is_told_so() -> None:
    found = findings('permit (principal, action == Action::"process.exec", resource) when { context.uid > 0 };')
    assert [(finding.code, finding.policy) for finding in found] == [("NO_ID", "policy0"), ("NO_DOC", "policy0")]
    assert [finding.code for finding in findings(GIT.replace('@doc("d")', '@doc("")'))] == ["NO_DOC"]


def test_what_does_not_load_is_one_finding() -> None:
    finding = lint.refused(PolicySetError("a.cedar", 3, "is wrong"))
    assert (finding.code, finding.level, finding.policy, finding.place) == ("REFUSED", "error", None, "a.cedar:3")
    assert lint.refused(PolicySetError("sources", 0, "x")).place == "sources"


def test_a_set_with_an_unreachable_policy_is_not_signed(tmp_path: Path) -> None:
    #
    content = ContentStore(tmp_path / "content")
    broken = with_rules(GIT + rule("never", "context.uid > 3 && context.uid < 4"))
    load_set(broken)
    with pytest.raises(PolicySetError, match=r"rules\.cedar:2: never: can never apply") as caught:
        publish(
            broken,
            world.signer("owner"),
            content,
            name=SET,
            iss="urn:o",
            previous=None,
            now=NOW,
            unique=bytes(16),
        )
    assert caught.value.line == 2
    assert not (tmp_path / "content").exists()


def test_findings_are_those_that_the_specification_lists() -> None:
    listed = re.findall(
        r"^\| `([A-Z_]+)` \| (error|warning) \|", (ROOT / "specs" / "09-authority.md").read_text(), re.MULTILINE
    )
    made = [Finding(code, None, "f", 0, "", "") for code in get_args(lint.Code)]
    assert listed == [(finding.code, finding.level) for finding in made]
