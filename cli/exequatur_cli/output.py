"""Reports: one JSON object on stdout with ``--json``, otherwise short aligned text; nothing else prints.

With ``--json`` the text goes to stderr, so that a person still sees it. Colour only on a terminal, and never with
``NO_COLOR``.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

import click

from exequatur_verifier.verdict import FAILED, NO_MEMORY, NOT_EVALUATED, StepResult, Verdict

_COLOURS = {"allow": "green", "deny": "red", "quiet": "bright_black", "name": "cyan"}


class Output(NamedTuple):
    """Where and how to report."""

    json: bool = False

    @property
    def stream(self) -> TextIO:
        """Where text goes."""
        return sys.stderr if self.json else sys.stdout

    def text(self, line: str = "", tone: str | None = None) -> None:
        """Write one line of text, in a colour by its tone where that can be seen."""
        click.echo(self.paint(line, tone), file=self.stream)

    def paint(self, text: str, tone: str | None) -> str:
        """Return ``text`` in the colour of a tone, if the stream is a terminal that wants colour."""
        if tone is None or not self.stream.isatty() or "NO_COLOR" in os.environ:
            return text
        return click.style(text, fg=_COLOURS[tone])

    def rows(self, rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
        """Write rows with their columns aligned; the last column is left ragged."""
        table = [tuple(row) for row in rows]
        widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in table), strict=True)]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            self.text((indent + "  ".join((*cells, row[-1]))).rstrip())

    def result(self, value: Mapping[str, Any]) -> None:
        """Write the one JSON object of this command, if JSON is wanted."""
        if self.json:
            sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")
            # A command that goes on, such as a server, is waited for by who reads this.
            sys.stdout.flush()

    @contextmanager
    def progress(self, label: str, total: int = 0) -> Iterator["Progress"]:
        """Show how far a long piece of work is, on a terminal only."""
        yield (progress := Progress(label, total, sys.stderr.isatty()))
        progress.close()


class Progress:
    """A line on stderr that counts; silent where no terminal is."""

    def __init__(self, label: str, total: int, visible: bool) -> None:
        self._label = label
        self._total = total
        self._visible = visible
        self._shown = 0.0

    def of(self, done: int, total: int) -> None:
        """Say how much is done of how much."""
        self._total = total
        self.at(done)

    def stage(self, label: str, done: int, total: int) -> None:
        """Say how much of which stage is done."""
        self._label = label
        self.of(done, total)

    def at(self, done: int) -> None:
        """Say how much is done; shown at most ten times a second."""
        now = time.monotonic()
        if self._visible and now - self._shown > 0.1:
            self._shown = now
            sys.stderr.write(f"\r{self._label}: {done:,} of {self._total:,}\x1b[K")
            sys.stderr.flush()

    def close(self) -> None:
        """Clear the line."""
        if self._visible and self._shown:
            sys.stderr.write("\r\x1b[K")


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: bytes in hexadecimal, named tuples as objects, enums by name."""
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "name") and hasattr(value, "value"):
        return value.name
    return value


def show_verdict(output: Output, verdict: Verdict) -> None:
    """Write every step of a verdict, and what decided."""
    marks = {FAILED: ("✗", "deny"), NOT_EVALUATED: ("·", "quiet"), NO_MEMORY: ("○", "quiet")}
    for step in verdict.steps:
        mark, tone = marks.get(step.status, ("✓", "allow"))
        code = f"{step.code.name}: " if step.code else ""
        output.text(f"  {output.paint(mark, tone)} {step.number:2} {step.name:<11} {code}{step.detail}")
    for ignored in verdict.ignored:
        output.text(f"  ignored: {ignored}", "quiet")


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the JSON object of every command that verifies."""
    failure = verdict.failure
    return {
        "admissible": verdict.code is None,
        "code": None if verdict.code is None else verdict.code.name,
        "condition": None if verdict.code is None else verdict.code.condition.value,
        "step": None if failure is None else failure.number,
        "detail": None if failure is None else failure.detail,
        "record": None if verdict.statement is None else verdict.statement.id.hex(),
        "subject": None if verdict.statement is None else verdict.statement.claims.sub,
        "steps": [_step_object(step) for step in verdict.steps],
        "ignored": list(verdict.ignored),
    }


def _step_object(step: StepResult) -> dict[str, Any]:
    return {
        "number": step.number,
        "name": step.name,
        "status": step.status,
        "code": None if step.code is None else step.code.name,
        "detail": step.detail,
    }
