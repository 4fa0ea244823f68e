"""``exequatur tools import``: a list of tools becomes the typed half of a policy set, and replaces none by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Exq

PAY: dict[str, Any] = {
    "name": "pay",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "string", "pattern": "^[A-Z]+$"}, "amount": {"type": "number"}, "note": {}},
        "required": ["to", "amount"],
    },
}
POLICY = """
@id("known")
@doc("Money goes to who is known.")
permit (principal, action == Action::"pay", resource == Server::"urn:example:bank")
when { context.claims has known && context.claims.known.contains(context.args.to) };
"""
OPTIONS = ("--claim", "known=Set<String>", "--opaque", "pay:note")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps({"result": {"tools": [PAY]}}))
    return path


def test_import_makes_what_policies_are_checked_against(exq: Exq, listed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    made = exq("tools", "import", listed, folder, *OPTIONS, "--json")
    assert made.status == 0
    assert made.json == {"written": True, "differing": [], "left_out": {"pay": [["to", "pattern"]]}}
    (folder / "bank.cedar").write_text(POLICY)
    assert exq("policy", "check", folder).status == 0
    (folder / "bank.cedar").write_text(POLICY.replace("args.to", "args.whom"))
    refused = exq("policy", "check", folder)
    assert refused.status == 65
    assert "whom" in refused.out + refused.err


def test_what_was_made_is_replaced_on_demand_only(exq: Exq, listed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    assert exq("tools", "import", listed, folder, *OPTIONS).status == 0
    assert exq("tools", "import", listed, folder, *OPTIONS).status == 0
    before = (folder / "schema.cedarschema").read_bytes()
    kept = exq("tools", "import", listed, folder, "--claim", "other=Bool", "--opaque", "pay:note")
    assert kept.status == 77
    assert "--replace" in kept.out
    assert (folder / "schema.cedarschema").read_bytes() == before
    assert exq("tools", "import", listed, folder, "--opaque", "pay:note", "--replace").status == 0
    assert (folder / "schema.cedarschema").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        ((), 65, "tool 'pay', note: may be any value"),
        (("--opaque", "note"), 2, "two parts"),
        (("--claim", "known"), 2, "two parts"),
        (("--claim", "known=Server", "--opaque", "pay:note"), 65, "the claim known"),
        (("--opaque", "refund:note"), 65, "tool 'refund'"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_written(
    exq: Exq, listed: Path, tmp_path: Path, options: tuple[str, ...], status: int, told: str
) -> None:
    refused = exq("tools", "import", listed, tmp_path / "policy", *options)
    assert refused.status == status
    assert told in refused.err
    assert not (tmp_path / "policy").exists()
