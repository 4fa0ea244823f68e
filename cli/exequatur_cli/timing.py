"""Durations on the command line: ``90s``, ``5m``, ``1h``, ``2d``."""

import re
from typing import Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PATTERN: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


class _Duration(click.ParamType[int]):
    """A duration in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds that a text spells."""
        found = _PATTERN.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration like 90s, 5m, 1h or 2d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


DURATION: Final = _Duration()
