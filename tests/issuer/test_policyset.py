"""Reading and framing a policy set, and the declared mapping in it."""

import hashlib
from pathlib import Path

import pytest

from exequatur_issuer import policyset
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.policyset import PolicySet, PolicySetError, check_text, join, read
from exequatur_issuer.rules import ActionRules, Count, parse_rules

PERMIT = b"permit (principal, action, resource);\n"
SCHEMA = b'entity A;\naction "run" appliesTo { principal: A, resource: A };\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.cedar").write_bytes(PERMIT)
    (tmp_path / "a.cedar").write_bytes(b"// nothing yet")
    (tmp_path / "schema.cedarschema").write_bytes(SCHEMA)
    return tmp_path


def test_a_directory_is_read_verbatim_in_the_order_of_names(folder: Path) -> None:
    #
    policy_set = read(folder)
    assert policy_set.sources == b"//# file a.cedar\n// nothing yet\n//# file b.cedar\n" + PERMIT + b"\n"
    assert (policy_set.schema, policy_set.entities, policy_set.mapping) == (SCHEMA, b"[]\n", b"")


def test_optional_parts_and_a_readme_are_read_or_passed_over(folder: Path) -> None:
    (folder / "entities.json").write_bytes(b"[ ]")
    (folder / "mapping.toml").write_bytes(b"# nothing")
    (folder / "README.md").write_text("about")
    assert read(folder)[2:] == (b"[ ]", b"# nothing")


def test_digests_are_of_the_bytes_of_each_part(folder: Path) -> None:
    policy_set = read(folder)
    assert policy_set.digests() == {
        "sources": hashlib.sha256(policy_set.sources).digest(),
        "schema": hashlib.sha256(SCHEMA).digest(),
        "entities": hashlib.sha256(b"[]\n").digest(),
        "mapping": hashlib.sha256(b"").digest(),
    }
    (folder / "a.cedar").write_bytes(b"// nothing yet.")
    assert read(folder).digests()["sources"] != policy_set.digests()["sources"]


def test_a_set_loaded_from_its_parts_answers_like_the_one_read(folder: Path) -> None:
    policy_set = read(folder)
    assert CedarEngine(PolicySet(*policy_set)).policies == CedarEngine(policy_set).policies


@pytest.mark.parametrize(
    "name",
    ["old.cedar.bak", "entities.jsn", ".hidden.cedar", "x\ny.cedar", "é.cedar", "schema.cedarschema.json"],
)
def test_a_file_that_is_no_part_is_refused(folder: Path, name: str) -> None:
    #
    (folder / name).write_bytes(PERMIT)
    with pytest.raises(PolicySetError):
        read(folder)


def test_a_folder_inside_is_refused(folder: Path) -> None:
    (folder / "more").mkdir()
    with pytest.raises(PolicySetError, match="no part"):
        read(folder)


def test_a_folder_with_the_name_of_a_policy_is_refused(folder: Path) -> None:
    (folder / "c.cedar").mkdir()
    with pytest.raises(PolicySetError, match="cannot be read"):
        read(folder)


def test_a_set_without_a_schema_is_refused(folder: Path) -> None:
    #
    (folder / "schema.cedarschema").unlink()
    with pytest.raises(PolicySetError, match=r"schema\.cedarschema: is missing"):
        read(folder)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicySetError, match="cannot be read"):
        read(tmp_path / "nowhere")


def test_files_come_back_as_they_went_in() -> None:
    files = {"b.cedar": b"two\n", "a.cedar": b"one\r\n\r\nmore", "c.cedar": b""}
    found = dict(PolicySet(join(files), b"").files())
    assert list(found) == sorted(files)
    assert {name: text.encode() for name, text in found.items()} == files


def test_a_whole_that_does_not_say_its_files_is_refused() -> None:
    assert list(PolicySet(b"", b"").files()) == []
    whole = join({"a.cedar": PERMIT})
    for other in (PERMIT, b"\n", b"\n" + whole, whole[:-2], b"x"):
        with pytest.raises(PolicySetError):
            list(PolicySet(other, b"").files())


def test_a_file_cannot_pass_for_two() -> None:
    with pytest.raises(PolicySetError, match=r"a\.cedar:2"):
        join({"a.cedar": PERMIT + b"//# file b.cedar\n"})


@pytest.mark.parametrize("name", ["", "a", "a.cedar\n", "../a.cedar", "a b.cedar", ".cedar", "-a.cedar"])
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    with pytest.raises(PolicySetError):
        join({name: PERMIT})


@pytest.mark.parametrize("text", ["", "a\tb\n", "a\r\nb\r\n", "é – “x”\n", "日本\n"])
def test_plain_text_is_taken(text: str) -> None:
    #
    assert check_text("f", text.encode()) == text


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\n\xff", 2),
        (b"\xef\xbb\xbfa", 1),
        ("a\n\n// \u202e".encode(), 3),
        ("a\u200bb".encode(), 1),
        ("a\u2028b".encode(), 1),
        ("cafe\u0301".encode(), 1),
        (b"a\x00", 1),
        (b"ok\n// hidden\rpermit (principal, action, resource);", 2),
        (b"a\r\r\n", 1),
    ],
)
def test_text_that_reads_two_ways_is_refused(content: bytes, line: int) -> None:
    #
    with pytest.raises(PolicySetError) as caught:
        check_text("f", content)
    assert (caught.value.file, caught.value.line) == ("f", line)


def test_deceptive_text_is_refused_in_every_part() -> None:
    good = PolicySet(join({"a.cedar": PERMIT}), SCHEMA)
    hidden = "// \u202e\n".encode()
    CedarEngine(good)
    for part in ("schema", "entities"):
        with pytest.raises(PolicySetError):
            CedarEngine(good._replace(**{part: getattr(good, part) + hidden}))
    with pytest.raises(PolicySetError):
        join({"a.cedar": hidden})
    with pytest.raises(PolicySetError):
        parse_rules("# \u202e".encode())


def test_errors_name_file_and_line() -> None:
    assert str(PolicySetError("a.cedar", 3, "is odd")) == "a.cedar:3: is odd"
    assert str(PolicySetError("a.cedar", 0, "is odd")) == "a.cedar: is odd"


# The declared mapping.

RULES = """
[actions.pay]
decimal = ["amount", "items.price"]
counts = [
  { of = "items" },
  { of = "items", count = "all_items" },
  { of = "items", field = "id", prefix = "gift_", count = "gifts" },
]
[actions."process.exec"]
counts = [{ of = "args" }]
"""


def test_rules_are_read_by_action() -> None:
    rules = parse_rules(RULES.encode())
    assert rules["pay"] == ActionRules(
        (
            Count("items_count", "items"),
            Count("all_items", "items"),
            Count("gifts", "items", "id", "gift_"),
        ),
        frozenset({"amount", "items.price"}),
    )
    assert rules["process.exec"] == ActionRules((Count("args_count", "args"),), frozenset())
    assert parse_rules(b"") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("actions = 1", 0),
        ("other = 1", 0),
        ("[actions.pay]\nfoo = 1", 0),
        ("[actions]\npay = 1", 0),
        ('[actions.pay]\ndecimal = "amount"', 0),
        ("[actions.pay]\ndecimal = [1]", 0),
        ('[actions.pay]\ndecimal = [""]', 0),
        ("[actions.pay]\ncounts = [1]", 0),
        ("[actions.pay]\ncounts = [{}]", 0),
        ('[actions.pay]\ncounts = [{ of = "a", to = "b" }]', 0),
        ('[actions.pay]\ncounts = [{ of = "a", prefix = "b", count = "c" }]', 0),
        ('[actions.pay]\ncounts = [{ of = "a", field = "f", count = "c" }]', 0),
        ('[actions.pay]\ncounts = [{ of = "a", field = "f", prefix = "b" }]', 0),
        ('[actions.pay]\ncounts = [{ of = "a" }, { of = "a" }]', 0),
        ("[actions.pay]\n[actions.pay]", 2),
        ("# empty\na = =", 2),
    ],
)
def test_rules_with_a_fault_are_refused(text: str, line: int) -> None:
    #
    with pytest.raises(PolicySetError) as caught:
        parse_rules(text.encode())
    assert (caught.value.file, caught.value.line) == (policyset.MAPPING, line)
