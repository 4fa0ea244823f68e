"""Cases files: read strictly, and answered by what decides requests."""

import json
from pathlib import Path

import pytest

from exequatur_issuer import cases, policyset, rehearsal
from exequatur_issuer.cases import CaseError, read, read_time, run
from exequatur_issuer.decide import InForce, decide
from exequatur_issuer.policyset import PolicySet
from exequatur_issuer.publish import load_set
from exequatur_issuer.rehearsal import Question, decide_on
from exequatur_issuer.starter import starter_policy
from exequatur_verifier import statement
from tests.issuer.house import House, starter, with_rules
from tests.issuer.ledger import REQUESTER
from tests.support import world

HEAD = 'requester = "urn:r"\nnow = 1800000000\n'
CASE = '[[cases]]\nname = "one"\nexec = "/bin/ls -l"\nexpect = "allow"\n'


def draft(policy_set: PolicySet, approvals: int = 0) -> InForce:
    engine, rules = load_set(policy_set)
    return rehearsal.draft(policy_set, engine, rules, approvals)


def write(folder: Path, text: str, name: str = "cases.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_starter_comes_with_cases_that_hold(tmp_path: Path) -> None:
    for name, content in starter_policy("urn:exequatur:requester:1b6c").items():
        (tmp_path / name).write_bytes(content)
    found = read(tmp_path / cases.CASES)
    results = list(run(found, draft(policyset.read(tmp_path))))
    assert len(results) >= 4
    assert [result.differences for result in results] == [()] * len(results)
    assert {case.outcome for case in found} == {"allow", "deny"}


def test_a_case_is_decided_by_what_decides_requests(house: House) -> None:
    #
    claims = {"confirmed": True}
    asked = house.asked(claims=claims)
    real = decide(statement.parse(asked.request), asked.salt, world.COMMAND, house.policy, world.NOW)
    rehearsed = decide_on(Question(world.COMMAND, REQUESTER, world.NOW, claims), draft(starter()))
    same = ("outcome", "reasons", "engine", "now", "code")
    assert [getattr(rehearsed.record, name) for name in same] == [getattr(real.record, name) for name in same]
    assert (rehearsed.answer, rehearsed.obligations) == (real.answer, real.obligations)


def test_a_case_may_expect_approvals(tmp_path: Path) -> None:
    (case,) = read(write(tmp_path, HEAD + CASE.replace('"allow"', '"needs-approval"')))
    asking = with_rules('@id("p") @require_approval("1") permit (principal, action, resource);')
    assert [result.ok for result in run([case], draft(asking))] == [True]
    quiet = with_rules('@id("p") permit (principal, action, resource);')
    assert [result.ok for result in run([case], draft(quiet))] == [False]
    assert [result.ok for result in run([case], draft(quiet, approvals=2))] == [True]


def test_every_difference_is_told(tmp_path: Path) -> None:
    text = HEAD + CASE.replace('"allow"', '"deny"\ncode = "POLICY_FORBID"\npolicies = ["q", "r"]')
    (result,) = run(read(write(tmp_path, text)), draft(with_rules('@id("p") permit (principal, action, resource);')))
    assert result.differences == (
        "allow instead of deny",
        "no code instead of POLICY_FORBID",
        "decided by p instead of q, r",
    )


def test_a_command_is_spelled_whole_or_in_short(tmp_path: Path) -> None:
    text = (
        HEAD
        + CASE
        + """
[[cases]]
name = "two"
exec = ["git", "log", "a b"]
path = "/usr/bin/git"
cwd = "/srv"
env = { PATH = "/bin" }
uid = 1000
claims = { confirmed = true }
requester = "urn:other"
now = 2026-01-01T12:00:00+01:00
expect = "deny"
"""
    )
    one, two = read(write(tmp_path, text))
    assert one.question == Question(
        {"type": "process.exec", "name": b"/bin/ls", "args": [b"/bin/ls", b"-l"], "cwd": b"/", "env": {}, "uid": 0},
        "urn:r",
        1_800_000_000,
    )
    assert two.question.descriptor["args"] == [b"git", b"log", b"a b"]
    assert (two.question.descriptor["name"], two.question.descriptor["env"]) == (b"/usr/bin/git", {b"PATH": b"/bin"})
    assert two.question[1:] == ("urn:other", 1_767_265_200, {"confirmed": True})


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    action = {"type": "mcp.tool", "name": "book", "resource": "urn:desk", "args": {"seats": 2, "price": 1.5}}
    case = {"name": "one", "action": action, "expect": "deny", "policies": []}
    shared = {"requester": "urn:r", "now": "2026-01-01T12:00:00Z"}
    found = read(write(tmp_path, json.dumps({**shared, "cases": [case]}), "cases.json"))
    text = """
requester = "urn:r"
now = 2026-01-01T12:00:00Z
[[cases]]
name = "one"
action = { type = "mcp.tool", name = "book", resource = "urn:desk", args = { seats = 2, price = 1.5 } }
expect = "deny"
policies = []
"""
    assert found == read(write(tmp_path, text))
    assert found[0].question.descriptor == action


def test_who_asks_may_be_the_homes_requester(tmp_path: Path) -> None:
    path = write(tmp_path, "now = 1\n" + CASE)
    assert read(path, requester="urn:home")[0].question.requester == "urn:home"
    assert read(write(tmp_path, HEAD + CASE, "named.toml"), requester="urn:home")[0].question.requester == "urn:r"
    with pytest.raises(CaseError, match="does not say `requester`, nor does the file"):
        read(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has `cases`"),
        (HEAD, "has `cases`"),
        (HEAD + "cases = []", "has `cases`"),
        (HEAD + "cases = 1", "has `cases`"),
        ("other = 1\n" + HEAD + CASE, "has `cases`"),
        (HEAD + "cases = [1]", "case 1: is not a table"),
        (HEAD + CASE + "[", "Invalid"),
        (HEAD + CASE + CASE, "one: two cases"),
        (CASE + 'requester = "r"', "one: does not say `now`"),
        (HEAD + CASE + "claim = {}", "one: has no key 'claim'"),
        (HEAD + CASE.replace('"allow"', '"perhaps"'), "expects 'perhaps'"),
        (HEAD + CASE + 'code = "POLICY_FORBID"', "expects the code"),
        (HEAD + CASE.replace('"allow"', '"deny"') + 'code = "FORBIDDEN"', "expects the code 'FORBIDDEN'"),
        (HEAD + CASE + 'policies = "p"', "list of ids"),
        (HEAD + CASE + "claims = 1", "`claims` is a table"),
        (HEAD + CASE.replace('"one"', "1"), "`name` and `requester`"),
        (HEAD + CASE.replace("exec", "path"), "either a command"),
        (HEAD + CASE + "action = {}", "either a command"),
        (HEAD + CASE.replace('"/bin/ls -l"', '"ls -l"'), "absolute path"),
        (HEAD + CASE.replace('"/bin/ls -l"', '""'), "`exec` is"),
        (HEAD + CASE.replace('"/bin/ls -l"', '"\'"'), "No closing quotation"),
        (HEAD + CASE + "env = { A = 1 }", "table of texts"),
        (HEAD + CASE + "uid = -1", "one: "),
        (HEAD + CASE + "now = 2026-01-01T12:00:00", "is no time"),
        (HEAD + CASE + "now = 1969-01-01T12:00:00Z", "is no time"),
        (HEAD + '[[cases]]\nname = "a"\nexpect = "deny"\naction = { type = "mcp.tool" }', "a: "),
        (HEAD + '[[cases]]\nname = "a"\nexpect = "deny"\naction = { at = 2026-01-01 }', "write it as text"),
        (HEAD + '[[cases]]\nname = "a"\nexpect = "deny"\naction = {}\ncwd = "/"', "has none of"),
    ],
)
def test_a_file_with_a_slip_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CaseError, match=told) as caught:
        read(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "cases.toml"))


def test_a_key_that_stands_twice_in_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="twice"):
        read(write(tmp_path, '{"cases": [], "cases": []}', "cases.json"))


@pytest.mark.parametrize(("text", "time"), [("1800000000", 1_800_000_000), ("2026-01-01T00:00:00Z", 1_767_225_600)])
def test_a_time_is_seconds_or_a_date_with_its_zone(text: str, time: int) -> None:
    assert read_time(text) == time
    for wrong in ("2026-01-01", "soon", -1, 1.5, True):
        with pytest.raises(ValueError, match=r"."):
            read_time(wrong)
