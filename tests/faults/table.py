"""The published tables in ``specs/fault-matrix.md``: written from what was found, and read again to be compared."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.data import ROOT
from tests.faults import cuts, seam, trial
from tests.faults.trial import Found, Place

PAGE: Final = ROOT / "specs" / "fault-matrix.md"
NONE: Final = "–"
_ORDER: Final = tuple(dict.fromkeys((*trial.FAULTS, *seam.FAULTS, *cuts.FAULTS)))
# Each table stands behind its name.
_SECTION: Final = re.compile(r"<!-- ([a-z' -]+) -->\n\n((?:\|.*\n)+)")


def render(found: Found) -> str:
    """Return the table of one operation."""
    faults = [fault for fault in _ORDER if any(fault == other for _, other in found)]
    rows = (
        [*place, *(" / ".join(sorted(found.get((place, fault), {NONE}))) for fault in faults)]
        for place in dict.fromkeys(place for place, _ in found)
    )
    return "".join(map(_line, (["call", "of", *faults], ["---"] * (2 + len(faults)), *rows)))


def parse(text: str) -> dict[str, Found]:
    """Return what a page says was found, by operation."""
    return {name: _parse(table) for name, table in _SECTION.findall(text)}


def replace(text: str, found: Mapping[str, Found]) -> str:
    """Return a page with these tables in the places of those that it has for the same operations."""
    for name in found:
        if f"<!-- {name} -->" not in text:
            raise ValueError(f"the page has no place for the table of {name!r}")
    return _SECTION.sub(
        lambda match: f"<!-- {match[1]} -->\n\n{render(found[match[1]])}" if match[1] in found else match[0], text
    )


def published(page: Path = PAGE) -> dict[str, Found]:
    """Return what the page says was found."""
    return parse(page.read_text())


def _parse(table: str) -> Found:
    header, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    found: Found = {}
    for call, role, *cells in rows:
        for fault, cell in zip(header[2:], cells, strict=True):
            if cell != NONE:
                found[Place(call, role), fault] = set(cell.split(" / "))
    return found


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
