"""The published table, ``specs/fault-matrix.md``: written from what was found, and read again to be compared with it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.data import ROOT
from tests.faults.trial import FAULTS, Found, Place

PAGE: Final = ROOT / "specs" / "fault-matrix.md"
NONE: Final = "–"
_MARK: Final = re.compile(r"<!-- ([a-z' -]+) -->\n\n((?:\|.*\n)+)")


def render(found: Found) -> str:
    """Return the table of one operation."""
    lines = [_line(["call", "of", *FAULTS]), _line(["---"] * (2 + len(FAULTS)))]
    for place in dict.fromkeys(place for place, _ in found):
        cells = [" / ".join(sorted(found.get((place, fault), {NONE}))) for fault in FAULTS]
        lines.append(_line([f"`{place.call}`", place.role, *cells]))
    return "".join(lines)


def parse(text: str) -> dict[str, Found]:
    """Return what a page says was found, by operation."""
    return {name: _parse(table) for name, table in _MARK.findall(text)}


def replace(text: str, found: Mapping[str, Found]) -> str:
    """Return a page with the tables of these operations in the places of those that it has."""
    assert set(found) == {name for name, _ in _MARK.findall(text)}, "a section of the page for each operation"
    return _MARK.sub(lambda match: f"<!-- {match[1]} -->\n\n{render(found[match[1]])}", text)


def published(page: Path = PAGE) -> dict[str, Found]:
    return parse(page.read_text())


def _parse(table: str) -> Found:
    header, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    found: Found = {}
    for call, role, *cells in rows:
        for fault, cell in zip(header[2:], cells, strict=True):
            if cell != NONE:
                found[Place(call.strip("`"), role), fault] = set(cell.split(" / "))
    return found


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
