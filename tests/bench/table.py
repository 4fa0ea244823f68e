"""The table of ratios: rows, the machine they were measured on, and both as text and as JSON."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.backends.openssl import backend

from tests.bench.rounds import Statistic, Timing
from tests.data import ROOT

_LIBRARIES = ("cryptography", "cbor2", "SQLAlchemy", "aiosqlite", "cedarpy")
_SCALES = {"µs": 1e6, "ms": 1e3, "s": 1.0}


class Target(NamedTuple):
    """A bound from the issue or the design, on the row's ratio or on what was measured itself."""

    relation: Literal["≤", "≥"]
    bound: float
    of: Literal["ratio", "measured"] = "ratio"


class Row(NamedTuple):
    """One comparison. ``raw`` is the same work without Exequatur; ``measured`` and ``raw`` are in ``unit``."""

    subject: str
    name: str
    measured: float
    raw: float | None
    unit: str
    ratio: float | None
    target: Target | None = None
    statistic: Statistic = "median"
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Say whether the target is met; ``None`` where there is none."""
        if self.target is None:
            return None
        value = self.measured if self.target.of == "measured" else self.ratio
        assert value is not None
        return value <= self.target.bound if self.target.relation == "≤" else value >= self.target.bound


def cost(
    subject: str,
    name: str,
    measured: Timing,
    raw: Timing,
    unit: Literal["µs", "ms", "s"],
    *,
    target: Target | None = None,
    statistic: Statistic = "median",
    faster: bool = False,
    note: str = "",
) -> Row:
    """Return the row that compares two durations: ours over the raw one or, if ``faster``, the other's over ours."""
    ours, theirs = (timing.value(statistic) for timing in (measured, raw))
    ratio = theirs / ours if faster else ours / theirs
    scale = _SCALES[unit]
    return Row(subject, name, ours * scale, theirs * scale, unit, ratio, target, statistic, note)


def rate(
    subject: str,
    name: str,
    measured: Timing,
    raw: Timing,
    *,
    target: Target | None = None,
    statistic: Statistic = "median",
    note: str = "",
) -> Row:
    """Return the row that compares two rates, given as durations of one operation: ours as a fraction of the raw."""
    ours, theirs = (1 / timing.value(statistic) for timing in (measured, raw))
    return Row(subject, name, ours, theirs, "1/s", ours / theirs, target, statistic, note)


def taken(
    subject: str,
    name: str,
    measured: Timing,
    unit: Literal["µs", "ms", "s"],
    *,
    target: Target | None = None,
    statistic: Statistic = "median",
    note: str = "",
) -> Row:
    """Return the row of a duration that has nothing raw beside it."""
    return Row(subject, name, measured.value(statistic) * _SCALES[unit], None, unit, None, target, statistic, note)


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the code: processor, versions, commit, and how busy it was."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": backend.openssl_version_text(),
        "sqlite": sqlite3.sqlite_version,
        **{name.lower(): version(name) for name in _LIBRARIES},
        "commit": _commit(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def text(rows: Sequence[Row]) -> str:
    """Return the table, a line for each row under a line for each subject."""
    width = max((len(row.name) for row in rows), default=0) + 2
    lines = [f"{'':{width}}{'measured':>12}{'raw':>12} {'':5}{'ratio':>9}  {'target':10}{'':7}statistic"]
    subject = None
    for row in rows:
        if row.subject != subject:
            subject = row.subject
            lines.append(subject)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"{row.target.relation} {row.target.bound:g}"
        if row.target is not None and row.target.of == "measured":
            target += f" {row.unit}"
        verdict = {True: "ok", False: "BELOW", None: ""}[row.ok]
        raw = "" if row.raw is None else _figure(row.raw)
        lines.append(
            f"  {row.name:{width - 2}}{_figure(row.measured):>12}{raw:>12} {row.unit:5}{ratio:>9}"
            f"  {target:10}{verdict:7}{row.statistic}"
        )
        if row.note:
            lines.append(f"      {row.note}")
    return "\n".join(lines)


def markdown(rows: Sequence[Row], described: dict[str, Any]) -> str:
    """Return the page that ``specs/measurements.md`` is: the machine, and a table for each subject."""
    lines = [
        "# Measurements",
        "",
        "Written by `make bench TABLE=specs/measurements.md LARGE=1`. Ratios are what counts: both figures of a row",
        "are of the same run. A row that misses its target says so. What that run did not measure is not here.",
        "",
        f"{described['cpu']}, {described['cores']} cores; {described['system']}; {described['python']};",
        f"{described['openssl']}; SQLite {described['sqlite']}; commit {described['commit']}; load at the start",
        f"{described['load'][0]}.",
    ]
    subject = None
    for row in rows:
        if row.subject != subject:
            subject = row.subject
            lines += ["", f"## {subject[0].upper()}{subject[1:]}", ""]
            lines += ["| what | measured | raw | ratio | target | |", "|---|---|---|---|---|---|"]
        target = "" if row.target is None else f"{row.target.relation} {row.target.bound:g}"
        if row.target is not None and row.target.of == "measured":
            target += f" {row.unit}"
        raw = "" if row.raw is None else f"{_figure(row.raw)} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        verdict = {True: "ok", False: "**missed**", None: ""}[row.ok]
        name = f"{row.name}, {row.statistic}" + (f"; {row.note}" if row.note else "")
        lines.append(f"| {name} | {_figure(row.measured)} {row.unit} | {raw} | {ratio} | {target} | {verdict} |")
    return "\n".join(lines) + "\n"


def write(path: Path, rows: Iterable[Row], described: dict[str, Any], *, quick: bool, seconds: float) -> None:
    """Write the rows and the machine as JSON."""
    report = {
        "machine": described,
        "quick": quick,
        "seconds": round(seconds, 1),
        "rows": [{**row._asdict(), "target": row.target and row.target._asdict(), "ok": row.ok} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    """Return the commit, marked if the checkout departs from it; outside a repository, that it is none."""
    named = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return named.stdout.strip() or "no repository"
