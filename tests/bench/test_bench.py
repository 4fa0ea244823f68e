"""What the benchmark says must follow from what it measured; how fast anything is, no test judges."""

import json
import subprocess
import sys
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from exequatur_verifier import merkle
from tests.bench import airline, deep, fresh, table
from tests.bench.__main__ import main
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target
from tests.data import ROOT, requires_data


def test_works_run_by_turns_and_each_is_charged_for_itself() -> None:
    called: list[tuple[str, int]] = []
    time = count()

    def slow(number: int) -> None:
        called.append(("slow", number))
        for _ in range(7):
            next(time)

    first, second = alternate(
        3, 2, slow, lambda number: called.append(("fast", number)), clock=lambda: float(next(time))
    )
    assert called == [("slow", 0), ("fast", 0), ("fast", 1), ("slow", 1), ("slow", 2), ("fast", 2)]
    assert (first, second) == (Timing((4.0, 4.0, 4.0)), Timing((0.5, 0.5, 0.5)))


def test_each_statistic_is_the_one_it_is_called() -> None:
    timing = Timing(tuple(float(value) for value in range(101, 0, -1)))
    assert (timing.value("best"), timing.value("median"), timing.value("p50"), timing.value("p99")) == (1, 51, 51, 100)


def test_costs_rates_and_speed_ups_are_the_right_way_round() -> None:
    ours, raw = Timing((0.004, 0.002, 0.003)), Timing((0.001, 0.002, 0.002))
    dear = table.cost("s", "n", ours, raw, "ms")
    assert (dear.measured, dear.raw, dear.ratio) == (3, 2, 1.5)
    best = table.cost("s", "n", ours, raw, "µs", statistic="best")
    assert (best.measured, best.raw, best.ratio) == (2000, 1000, 2)
    assert table.cost("s", "n", ours, raw, "ms", faster=True).ratio == pytest.approx(2 / 3)
    frequent = table.rate("s", "n", ours, raw)
    assert (frequent.measured, frequent.raw, frequent.ratio) == pytest.approx((1000 / 3, 500, 2 / 3))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target("≤", 1.5), True),
        (Target("≤", 1.49), False),
        (Target("≥", 1.5), True),
        (Target("≥", 1.51), False),
        (Target("≤", 3, "measured"), True),
        (Target("≤", 2.9, "measured"), False),
        (None, None),
    ],
)
def test_a_row_says_whether_its_target_is_met(target: Target | None, expected: bool | None) -> None:
    row = Row("subject", "name", 3, 2, "ms", 1.5, target)
    assert row.ok is expected
    printed = table.text([row])
    assert ("BELOW" in printed, " ok " in printed) == (expected is False, expected is True)


@pytest.mark.parametrize("size", [1, 8])
def test_planted_leaves_lead_to_one_root_up_27_levels(size: int) -> None:
    policy, *leaves = (sha256(bytes((number,))).digest() for number in range(size + 1))
    planted = deep.plant(policy, leaves, 7)
    for leaf, (index, path) in zip((policy, *leaves), (planted.policy, *planted.artifacts), strict=True):
        assert len(path) == 27
        assert merkle.root_from_inclusion(index, deep.SIZE, leaf, path) == planted.root
    assert planted.policy.leaf_index < planted.artifacts[0].leaf_index
    assert deep.plant(policy, leaves, 8).root != planted.root


@requires_data
def test_the_calls_of_a_model_are_measured_beside_what_they_rest_on(tmp_path: Path) -> None:
    rows = airline.measure(tmp_path, quick=True)
    assert all(row.measured > 0 for row in rows)
    assert any(row.ratio is not None for row in rows)


def test_a_quick_run_of_one_subject_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    assert main(["--quick", "--only", "verify", "--json", str(path)]) == 0
    printed, report = capsys.readouterr().out, json.loads(path.read_text())
    assert report["quick"] is True
    assert {"cpu", "cores", "python", "cryptography", "cbor2", "commit", "load"} <= report["machine"].keys()
    assert len(report["rows"]) == 3
    for row in report["rows"]:
        assert row["ratio"] == pytest.approx(row["measured"] / row["raw"])
        assert row["ok"] is (row["ratio"] <= row["target"]["bound"])
        assert row["name"] in printed


def test_the_peak_of_memory_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    program = "from tests.bench import fresh; print(fresh.peak())"
    held = bytearray(b"x") * (256 << 20)
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(ended.stdout) < len(held) / 1e6 < fresh.peak()
