"""Constraints beyond the tables of specs/vectors/primitives: bytes as text, whole sets, what has to be enforced."""

from typing import Any

import pytest

from exequatur_verifier import Facts, MalformedError, cbor, constraints
from exequatur_verifier.constraints import Constraints, Limits, Process, Sandbox, Terms, violations
from exequatur_verifier.match import Matcher, Operator, is_subset, matches, parse_matcher
from tests.support.world import COMMAND


def one(operator: str, operand: Any) -> Matcher:
    return parse_matcher([operator, operand])


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["exact"],
        ["exact", 1, 2],
        ["regex", "a"],
        [1, 1],
        [[], 1],
        "exact",
        ["one_of", "a"],
        ["prefix", 1],
        ["prefix", ""],
        ["glob", b"a"],
        ["subpath", "a"],
        ["subpath", "/a/"],
        ["subpath", "/a/../b"],
        ["subpath", "/./a"],
        ["range", [1]],
        ["range", [1, "2"]],
        ["range", [True, 2]],
        ["range", [0, 2**63]],
        ["range", 1],
        ["url_host", "a.example"],
        ["url_host", [1]],
    ],
)
def test_not_a_matcher(value: Any) -> None:
    with pytest.raises(MalformedError):
        parse_matcher(value)


def test_bytes_are_matched_as_the_text_they_hold() -> None:
    for operator, operand, text in (
        ("exact", "é", "é"),
        ("one_of", ["é"], "é"),
        ("prefix", "é", "éa"),
        ("glob", "?a", "éa"),
        ("subpath", "/é", "/é/a"),
        ("url_host", ["a"], "http://a/é"),
    ):
        matcher = one(operator, operand)
        assert matches(matcher, text.encode()) is matches(matcher, text)
    assert matches(one("exact", b"\xff"), b"\xff")
    assert not matches(one("exact", b"a"), "a")
    for operator, operand in (("prefix", "a"), ("glob", "*"), ("subpath", "/"), ("one_of", ["a"])):
        assert not matches(one(operator, operand), b"a\xff")


def test_what_is_no_text_matches_no_pattern() -> None:
    values: list[Any] = [None, 1, True, 1.5, [], {}, ["a"]]
    for value in values:
        for operator, operand in (("prefix", "a"), ("glob", "*"), ("subpath", "/"), ("url_host", ["a"])):
            assert not matches(one(operator, operand), value)


def test_what_has_no_encoding_equals_nothing() -> None:
    for value in (float("nan"), "e\u0301", object(), {1.5: 1}):
        assert not matches(one("exact", "a"), value)
        assert not matches(one("one_of", [None]), value)


@pytest.mark.parametrize("pattern", ["*a" * 200 + "b", "*" + "a" * 400 + "b*", "*?" * 250])
def test_a_pattern_is_matched_without_going_back(pattern: str) -> None:
    #
    # A backtracking matcher would not end.
    assert matches(one("glob", pattern), "a" * 5000) is ("b" not in pattern)


def found(rules: Constraints, measured: dict[str, bytes | str] | None = None, **changed: Any) -> list[str]:
    return list(violations(rules, {**COMMAND, **changed}, Facts(measured or {})))


@pytest.mark.parametrize(
    ("pointer", "violated"),
    [
        ("/args/0", False),
        ("/args/*", True),
        ("/args/2", True),
        ("/args/-1", True),
        ("/args/00001", True),
        ("/args/000000", True),
        ("/args/\u0660", True),
        ("/args", True),
        ("/args/0/0", True),
        ("/env/A~1B", False),
        ("/env/C~0D", False),
        ("/env/*", True),
        ("/nowhere", True),
        ("/nowhere/*", True),
        ("/empty/*", False),
        ("/name/*", True),
    ],
)
def test_pointers(pointer: str, violated: bool) -> None:
    rules = Constraints({pointer: one("exact", "git")})
    changed: dict[str, Any] = {"env": {b"A/B": b"git", b"C~D": b"git"}, "empty": []}
    assert bool(found(rules, **changed)) is violated


def test_every_violation_is_named() -> None:
    rules = Constraints(
        {"/args/0": one("exact", "hg")}, Process(executables=(bytes(32),), env=(), uid=(0,)), Sandbox(), Limits()
    )
    assert len(found(rules)) == 4
    assert found(Constraints()) == []
    assert found(Constraints(process=Process(executables=(bytes(32),))), {"executable": bytes(32)}) == []


def test_the_environment_of_a_call_is_empty() -> None:
    call = {"type": "mcp.tool", "name": "a", "resource": "b", "args": {}}
    assert list(violations(Constraints(process=Process(env=())), call, Facts())) == []
    assert len(list(violations(Constraints(process=Process(uid=(0,))), call, Facts()))) == 1


def test_what_must_be_enforced() -> None:
    assert constraints.required_enforcement(Constraints()) == frozenset()
    limits = constraints.required_enforcement(Constraints(limits=Limits(*range(1, 8))))
    assert limits == {
        "wall-clock",
        "rlimit-cpu",
        "rlimit-memory",
        "rlimit-files",
        "rlimit-processes",
        "rlimit-file-size",
        "output-limit",
    }
    for field in ("read", "write", "execute"):
        sandbox = Sandbox()._replace(**{field: ()})
        assert constraints.required_enforcement(Constraints(sandbox=sandbox)) == {"sandbox-paths"}
    assert constraints.required_enforcement(Constraints(sandbox=Sandbox(ports=()))) == {"sandbox-network"}
    assert constraints.required_enforcement(Constraints(lease_s=1)) == {"lease"}
    assert constraints.required_enforcement(Constraints(sandbox=Sandbox(require=("pidfd",)))) == {"pidfd"}


PARENT = Constraints(
    {"/args/0": one("prefix", "g")},
    Process(executables=(bytes(32),), env=("A", "B"), uid=(1, 2), image="sealed", script="sealed"),
    Sandbox(read=("/usr", "/etc"), write=(), execute=("/usr",), ports=(80, 443), require=("pidfd",)),
    Limits(*range(10, 80, 10)),
    60,
)


@pytest.mark.parametrize(
    ("field", "narrower", "wider"),
    [
        ("args", {"/args/0": one("exact", "git"), "/cwd": one("exact", "/")}, {"/args/0": one("exact", "hg")}),
        ("args", {"/args/0": one("prefix", "gi")}, {"/args/*": one("prefix", "g")}),
        ("process.executables", (), None),
        ("process.env", ("B",), ("A", "C")),
        ("process.uid", (2,), (1, 2, 3)),
        ("process.image", "sealed", "path"),
        ("process.script", "sealed", "path"),
        ("sandbox.read", ("/usr/lib",), ("/",)),
        ("sandbox.write", (), ("/tmp",)),
        ("sandbox.execute", ("/usr/bin", "/usr/lib"), None),
        ("sandbox.ports", (443,), (8080,)),
        ("sandbox.require", ("pidfd", "no-new-privs"), ()),
        ("limits.wall_ms", 9, 11),
        ("limits.output", 0, None),
        ("lease_s", 30, None),
    ],
)
def test_subsets_field_by_field(field: str, narrower: Any, wider: Any) -> None:
    def child(value: Any) -> Constraints:
        part, _, name = field.partition(".")
        inner = getattr(PARENT, part)
        return PARENT._replace(**{part: inner._replace(**{name: value}) if name else value})

    assert constraints.is_subset(child(narrower), PARENT)
    assert not constraints.is_subset(child(wider), PARENT)
    assert constraints.is_subset(child(narrower), child(narrower))


def test_a_weaker_form_of_execution_must_be_permitted_above() -> None:
    path = Constraints(process=Process(image="path", script="path"))
    assert constraints.is_subset(Constraints(), path)
    assert not constraints.is_subset(path, Constraints())


@pytest.mark.parametrize(
    "value",
    [
        {"constraints": {"args": {"args/0": ["exact", 1]}}},
        {"constraints": {"args": {"": ["exact", 1]}}},
        {"constraints": {"process": {"image": "memory"}}},
        {"constraints": {"process": {"executables": [bytes(31)]}}},
        {"constraints": {"sandbox": {"ports": [-1]}}},
        {"constraints": {"limits": {"wall_ms": "1"}}},
        {"constraints": {"limits": {"time": 1}}},
        {"constraints": {"lease_s": None}},
        {"constraints": None},
        {"facts": {"executable": "digest"}},
        {"facts": {"host": b"host"}},
        {"facts": {"uid": 1}},
        {"others": {}},
        [],
    ],
)
def test_not_terms(value: Any) -> None:
    assert constraints.decode_terms(cbor.encode({})) == Terms(Constraints(), {})
    with pytest.raises(MalformedError):
        constraints.decode_terms(cbor.encode(value))


def test_a_matcher_is_a_subset_of_an_equal_one_of_other_making() -> None:
    assert is_subset(one("one_of", ["a"]), Matcher(Operator.ONE_OF, ("a",)))
    assert not is_subset(one("exact", True), one("exact", 1))
    assert not is_subset(one("one_of", [1]), one("one_of", [True]))
