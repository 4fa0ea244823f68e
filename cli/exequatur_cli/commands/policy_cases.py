"""``exequatur policy test``: a cases file against a policy set."""

from pathlib import Path
from typing import Final

import click

from exequatur_cli.main import home_of, output_of, with_home

# A case that comes out otherwise is neither a denial nor malformed.
EXIT_DIFFERS: Final = 1


@click.command("test")
@click.argument("cases_file", metavar="[CASES]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.argument("reference", metavar="[POLICIES]", required=False)
@with_home
@click.pass_context
def test(ctx: click.Context, cases_file: Path | None, reference: str | None) -> int:
    """Run the CASES file (default: cases.toml beside the policies) against POLICIES.

    POLICIES is a directory (default: the home's), an epoch, a record id, or in-force. The exit status is 1 if any case
    comes out otherwise than it says.
    """
    from exequatur_cli import policies
    from exequatur_issuer import cases

    output = output_of(ctx)
    chosen = policies.choose(reference, home_of(ctx))
    found = cases.read(cases_file or _beside(ctx, reference), requester=_requester(ctx))
    results = list(cases.run(found, chosen.policy))
    failed = sum(not result.ok for result in results)
    output.result(
        {
            "ok": not failed,
            "policies": chosen.label,
            "cases": [
                {
                    "name": result.case.name,
                    "ok": result.ok,
                    "outcome": result.decided.record.outcome,
                    "code": result.decided.record.code,
                    "policies": result.decided.record.reasons,
                    "differences": result.differences,
                }
                for result in results
            ],
        }
    )
    output.rows(
        (
            output.paint("ok  ", "allow") if result.ok else output.paint("FAIL", "deny"),
            result.case.name,
            result.decided.record.outcome,
            result.decided.record.code or "",
            "; ".join(result.differences) or ", ".join(result.decided.record.reasons),
        )
        for result in results
    )
    output.text(f"{len(results)} cases against {chosen.label}, {failed} otherwise than expected")
    return EXIT_DIFFERS if failed else 0


def _beside(ctx: click.Context, reference: str | None) -> Path:
    """Return the cases file beside the policies that were named, or the home's."""
    from exequatur_cli import policies
    from exequatur_cli.home import open_home
    from exequatur_issuer.cases import CASES

    if reference is not None and not policies.is_published(reference):
        return Path(reference) / CASES
    with open_home(home_of(ctx)) as home:
        return home.path / policies.DIRECTORY / CASES


def _requester(ctx: click.Context) -> str | None:
    """Return who asks in this home; without a home, the cases themselves say."""
    from exequatur_cli import policies

    try:
        return policies.requester(home_of(ctx))
    except OSError:
        return None
