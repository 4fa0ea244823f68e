"""Tables that are made and not written: each stands on a page of ``specs/`` behind its name, and is compared."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_TABLE: Final = re.compile(r"<!-- ([a-z -]+) -->\n\n((?:\|.*\n)+)")


def render(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table; a cell is what its value prints as."""
    head = list(header)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def published(page: Path) -> dict[str, str]:
    """Return the tables of a page by name."""
    return dict(_TABLE.findall(page.read_text()))


def replace(page: Path, made: Mapping[str, str]) -> None:
    """Write the tables into the page, each in the place that has its name."""
    text = page.read_text()
    for name in made:
        if f"<!-- {name} -->" not in text:
            raise ValueError(f"{page.name} has no place for the table of {name!r}")
    page.write_text(_TABLE.sub(lambda found: f"<!-- {found[1]} -->\n\n{made.get(found[1], found[2])}", text))


def differences(page: Path, made: Mapping[str, str]) -> list[str]:
    """Return the names of the tables that are not on the page as they are made."""
    written = published(page)
    return sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
