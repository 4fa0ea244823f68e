"""The starter policy: broad, for one requester, with one example of a forbid."""

from pathlib import Path

import pytest

from exequatur_issuer import obligations, policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Answer
from exequatur_issuer.mapping import build_query
from exequatur_issuer.rules import parse_rules
from exequatur_issuer.starter import starter_policy
from tests.support import world

HOME = "urn:exequatur:requester:1b6c"


def ask(folder: Path, requester: str, program: bytes) -> Answer:
    for name, content in starter_policy(HOME).items():
        (folder / name).write_bytes(content)
    policy_set = policyset.read(folder)
    engine = CedarEngine(policy_set)
    query = build_query(
        {**world.COMMAND, "name": program},
        requester=requester,
        claims={},
        now=world.NOW,
        rules=parse_rules(policy_set.mapping),
        entity_types=engine.entity_types,
    )
    return engine.decide(query)


@pytest.mark.parametrize("program", [b"/usr/bin/git", b"/bin/true", "/opt/ü/tool".encode()])
def test_the_homes_requester_may_run_any_program(tmp_path: Path, program: bytes) -> None:
    answer = ask(tmp_path, HOME, program)
    assert answer.policy_ids == ("permit-every-command",)
    assert obligations.collect(answer.determining)[:3] == (300, 1, 0)


def test_the_example_is_forbidden(tmp_path: Path) -> None:
    assert ask(tmp_path, HOME, b"/usr/bin/shred").code == "POLICY_FORBID"


def test_another_requester_may_run_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path, "urn:exequatur:requester:other", b"/usr/bin/git").code == "POLICY_DEFAULT_DENY"


def test_the_policy_says_that_it_is_broad_and_every_rule_says_why() -> None:
    text = starter_policy(HOME)["starter.cedar"].decode()
    assert "BROAD" in text
    assert "To narrow it" in text
    assert text.count("@doc(") == text.count("@id(") == 2


@pytest.mark.parametrize("name", ["", 'x" || true', "a b", "x\n", "é"])
def test_a_name_that_cedar_would_read_otherwise_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        starter_policy(name)


@pytest.mark.parametrize(
    "narrower",
    [
        'resource == Executable::"/usr/bin/git"\n);',
        'resource\n)\nwhen { ["git", "ls", "make"].contains(context.program) };',
        'resource\n)\nwhen { context.cwd like "/srv/site/*" };',
        'resource\n)\nwhen { context.args.contains("--version") };',
    ],
)
def test_each_way_to_narrow_it_that_the_comments_name_loads_and_narrows(narrower: str) -> None:
    files = starter_policy(HOME)
    text = files["starter.cedar"].decode().replace("resource\n);", narrower, 1)
    policy_set = policyset.PolicySet(policyset.join({"starter.cedar": text.encode()}), files["schema.cedarschema"])
    engine = CedarEngine(policy_set)
    meant = {**world.COMMAND, "cwd": b"/srv/site/pages"}
    outcomes = []
    for descriptor in (meant, {**meant, "name": b"/bin/dd", "args": [b"dd"], "cwd": b"/"}):
        query = build_query(descriptor, requester=HOME, claims={}, now=0, rules={}, entity_types=engine.entity_types)
        outcomes.append(engine.decide(query).outcome)
    assert outcomes == ["allow", "deny"]
