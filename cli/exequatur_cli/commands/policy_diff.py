"""``exequatur policy diff``: what was changed between two policy sets, and what that changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from exequatur_cli.main import home_of, output_of, with_home

if TYPE_CHECKING:
    from exequatur_cli.home import Home
    from exequatur_issuer.compare import Change
    from exequatur_issuer.rehearsal import Question
    from exequatur_verifier.records import Decision

_LOGGED: Final = 1000


@click.command("diff")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--cases", "cases_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--last", type=click.IntRange(0), default=_LOGGED, show_default=True, help="So many logged decisions, again."
)
@with_home
@click.pass_context
def diff(ctx: click.Context, old: str | None, new: str | None, cases_file: Path | None, last: int) -> None:
    """Compare two policy sets: OLD (default: what is in force) and NEW (default: the home's directory).

    Each is a directory, an epoch, a record id, or in-force. Said are the parts and policies that differ, and the
    outcomes: of the cases in --cases, otherwise of the last logged decisions, decided again under both.
    """
    from exequatur_cli import policies
    from exequatur_cli.home import open_home
    from exequatur_issuer import cases, compare

    output = output_of(ctx)
    with open_home(home_of(ctx)) as home:
        one, other = policies.in_home(home, old or policies.IN_FORCE), policies.in_home(home, new)
        missing: list[str] = []
        if cases_file is not None:
            found = cases.read(cases_file, requester=home.settings.requester.iss)
            questions = [(case.name, case.question) for case in found]
        else:
            questions = list(_of_log(home, last, missing))
    outcomes = list(compare.outcomes(questions, one.policy, other.policy))
    changes = compare.policies(one.engine, other.engine)
    parts = compare.parts(one.policy_set, other.policy_set)
    output.result(
        {
            "old": one.label,
            "new": other.label,
            "parts": parts,
            "policies": [change._asdict() for change in changes],
            "asked": len(questions),
            "missing": missing,
            "outcomes": [
                {"name": outcome.name, "old": _outcome(outcome.old.record), "new": _outcome(outcome.new.record)}
                for outcome in outcomes
            ],
        }
    )
    output.text(f"{one.label} → {other.label}: {', '.join(parts) or 'no part'} changed")
    output.rows((change.change, change.policy, change.place, _annotations(change)) for change in changes)
    asked = "cases" if cases_file is not None else "logged decisions"
    output.text(f"{len(outcomes)} of {len(questions)} {asked} come out otherwise")
    output.rows((outcome.name, outcome.sentence()) for outcome in outcomes)
    if missing:
        output.text(f"{len(missing)} more cannot be decided again: {missing[0]}", "quiet")


def _of_log(home: "Home", last: int, missing: list[str]) -> "Iterator[tuple[str, Question]]":
    """Yield what the last decisions of the log were about; what cannot be asked again goes to ``missing``."""
    from exequatur_issuer import compare
    from exequatur_log.errors import NotFoundError
    from exequatur_verifier import statement
    from exequatur_verifier.records import Kind

    def find(record_id: bytes) -> bytes | None:
        try:
            return home.log.get(record_id).statement
        except NotFoundError:
            return None

    entries = home.log.find(kind=Kind.DECISION, newest_first=True, limit=last) if last else []
    for logged in compare.logged((statement.parse(entry.statement) for entry in entries), find, home.content):
        if logged.question is None:
            missing.append(f"{logged.name}: {logged.missing}")
        else:
            yield logged.name, logged.question


def _outcome(record: "Decision") -> dict[str, Any]:
    return {"outcome": record.outcome, "code": record.code, "policies": record.reasons}


def _annotations(change: "Change") -> str:
    return "; ".join(
        f"@{name} {'none' if old is None else repr(old)} → {'none' if new is None else repr(new)}"
        for name, (old, new) in change.annotations.items()
    )
