"""``exequatur lineage``: one case, whole, in every format."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Exq

KINDS = ["policy", "request", "decision", "authorization", "verification", "outcome"]


@pytest.fixture
def case(exq: Exq, home: Path) -> str:
    """The URN of an older case in a log of several."""
    urn = re.search("urn:uuid:[0-9a-f-]*", exq("run", "--home", home, "--", "git", "--version").err)
    assert urn is not None
    exq("run", "--home", home, "--", "shred", "x")
    exq("run", "--home", home, "--", "true")
    return urn[0]


def test_case_is_found_by_urn_by_any_record_and_by_index(exq: Exq, home: Path, case: str) -> None:
    whole = exq("lineage", case, "--home", home, "--json")
    assert whole.status == 0
    assert whole.json["subject"] == case
    assert [record["kind"] for record in whole.json["records"]] == KINDS
    for record in whole.json["records"][1:]:
        for place in (record["id"], record["index"]):
            assert exq("lineage", place, "--home", home, "--json").json == whole.json


def test_tree_shows_every_record_and_the_command(exq: Exq, home: Path, case: str) -> None:
    records = exq("lineage", case, "--home", home, "--json").json["records"]
    shown = exq("lineage", case, "--home", home)
    for record in records:
        assert f"{record['kind']}  {record['id']}  entry {record['index']}" in shown.out
    assert "`git --version`" in shown.out
    assert "exited 0" in shown.out


def test_newest_case_is_the_default_and_a_denial_is_a_case(exq: Exq, home: Path, case: str) -> None:
    assert "`true`" in exq("lineage", "--home", home).out
    exq("run", "--home", home, "--", "shred", "y")
    denied = exq("lineage", "--home", home, "--json").json
    assert [record["kind"] for record in denied["records"]] == ["policy", "request", "decision"]
    assert denied["records"][-1]["record"]["code"] == "POLICY_FORBID"


def test_formats_hold_the_same_records_and_links(exq: Exq, home: Path, case: str) -> None:
    whole = exq("lineage", case, "--home", home, "--format", "json").json
    ids = {record["id"] for record in whole["records"]}
    links = {(link["from"], link["to"]) for link in whole["links"]}

    dot = exq("lineage", case, "--home", home, "--format", "dot").out
    assert dot.startswith("digraph lineage {\n")
    assert dot.endswith("}\n")
    assert set(re.findall(r'^  "([0-9a-f]{64})" \[', dot, re.MULTILINE)) == ids
    assert set(re.findall(r'"([0-9a-f]{64})" -> "([0-9a-f]{64})"', dot)) == links

    mermaid = exq("lineage", case, "--home", home, "--format", "mermaid").out
    assert mermaid.startswith("flowchart BT\n")
    assert len(re.findall(r"^  r\d+\[", mermaid, re.MULTILINE)) == len(ids)
    assert len(re.findall(r"^  r\d+ -->\|\w+\| r\d+$", mermaid, re.MULTILINE)) == len(whole["links"])

    prov = json.loads(exq("lineage", case, "--home", home, "--format", "prov").out)
    assert {name.removeprefix("exequatur:") for name in prov["entity"]} == ids
    derived = prov["wasDerivedFrom"].values()
    assert {tuple(each[f"prov:{end}Entity"][-64:] for end in ("generated", "used")) for each in derived} == links
    assert {each["prov:agent"] for each in prov["wasAttributedTo"].values()} == set(prov["agent"])


def test_erased_content_is_no_longer_shown(exq: Exq, home: Path, case: str) -> None:
    request = exq("lineage", case, "--home", home, "--json").json["records"][1]
    digest = request["record"]["action"]["commitment"]
    (home / "content" / digest[:2] / digest[2:]).unlink()
    shown = exq("lineage", case, "--home", home)
    assert shown.status == 0
    assert "git" not in shown.out
    assert "erased" in shown.out


@pytest.mark.parametrize("word", ["a\nb", "\x1b[31mred", "`x`", "\u202eevil", "é"])
def test_arguments_do_not_write_to_the_terminal(exq: Exq, home: Path, word: str) -> None:
    exq("run", "--home", home, "--", "true", word)
    shown = exq("lineage", "--home", home).out
    assert set(shown) <= set("└─├│…") | set(map(chr, range(32, 127))) | {"\n"}
    assert len(shown.splitlines()) == 12


def test_what_is_no_case_is_told(exq: Exq, founded: Path) -> None:
    assert exq("lineage", "--home", founded).status == 69
    assert exq("lineage", "urn:uuid:0", "--home", founded).status == 69
    assert exq("lineage", "nonsense", "--home", founded).status == 2
