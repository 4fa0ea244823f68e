"""``exequatur demo``: the story that a newcomer sees, with nothing in it simulated."""

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
    shown = exq("demo", "--keep", "kept", "--json")
    assert shown.status == 0, shown.err
    assert {denied["code"] for denied in shown.json["denials"].values()} >= PROVOKED
    assert len({denied["condition"] for denied in shown.json["denials"].values()}) == 5
    for code in PROVOKED:
        assert code in shown.err
    assert shown.err.splitlines()[-1] == "ok"
    assert exq("audit", "kept/home", "--json").json == shown.json["audit"]
