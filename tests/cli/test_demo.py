"""``exequatur demo``: the story that a newcomer sees, with nothing in it simulated."""

from pathlib import Path

import pytest

from tests.cli.conftest import Exq

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

# What the story provokes, for each of the five conditions under which nothing runs.
PROVOKED = {
    "ARTIFACT_MISSING",
    "POLICY_FORBID",
    "FACT_MISMATCH",
    "ACTION_MISMATCH",
    "EXPIRED",
    "USES_EXHAUSTED",
    "LOG_FORK",
    "LOG_ROLLBACK",
}


def test_demonstration_provokes_every_condition_and_audits_itself(exq: Exq) -> None:
    shown = exq("demo", "--json")
    assert shown.status == 0, shown.err
    assert set(shown.json["denials"]) >= PROVOKED
    assert {denied["code"] for denied in shown.json["denials"].values()} >= PROVOKED
    assert len({denied["condition"] for denied in shown.json["denials"].values()}) == 5
    assert shown.json["audit"]["ok"]
    for code in PROVOKED:
        assert code in shown.err


def test_home_of_the_demonstration_can_be_kept(exq: Exq) -> None:
    shown = exq("demo", "--keep", "kept")
    assert shown.status == 0
    homes = [path.parent for path in Path("kept").rglob("trust.toml")]
    assert homes
    assert exq("audit", Path("kept/home"), "--json").json["decisions"]["total"] > 0
    assert shown.out.splitlines()[-1] == "ok"
