"""``exequatur doctor``: versions, what this host and build enforce, what protects the home, and what to mind."""

import platform
import sqlite3
from importlib import metadata
from pathlib import Path

import click

from exequatur_cli.main import EXIT_DENIED, home_of, output_of, with_home
from exequatur_gate.home import HomeRefusedError, check, locate
from exequatur_verifier import constraints, host
from exequatur_verifier.trust_file import parse as parse_trust

# Until 3.51.3 (and 3.44.6, 3.50.7), resetting a write-ahead log could corrupt a file that several processes write.
_SQLITE_FIXED = ((3, 51, 3), (3, 44, 6), (3, 50, 7))
_PACKAGES = ("exequatur", "cryptography", "cbor2", "click", "SQLAlchemy", "aiosqlite", "cedarpy")


@click.command("doctor")
@with_home
@click.pass_context
def command(ctx: click.Context) -> int:
    """Say what this installation, this host and the home can and cannot do. Exits 77 if the home must not be used."""
    output = output_of(ctx)
    versions = {name: _version(name) for name in _PACKAGES} | {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    offered = sorted(host.offered())
    missing = sorted(constraints.ENFORCEMENT - set(offered))
    named = home_of(ctx)
    path = locate(None if named is None else str(named))
    warnings, refused = [*_sqlite_warning()], None
    if Path(path).is_dir():
        try:
            check(path)
            warnings += _trust_warnings(Path(path))
        except HomeRefusedError as error:
            refused = str(error)
    else:
        warnings.append(f"there is no home in {path}; make one with `exequatur init`")
    output.result(
        {
            "versions": versions,
            "enforcement": {"offered": offered, "missing": missing},
            "home": path,
            "refused": refused,
            "warnings": warnings,
        }
    )
    output.rows([(name, version) for name, version in versions.items()], indent="")
    output.text()
    output.rows(
        [("home", path), ("enforced", ", ".join(offered)), ("not here", ", ".join(missing) or "nothing is missing")],
        indent="",
    )
    for warning in warnings:
        output.text(f"mind: {warning}")
    if refused is not None:
        output.text(f"{output.paint('refused', 'deny')}: {refused}")
        return EXIT_DENIED
    return 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _sqlite_warning() -> list[str]:
    version = sqlite3.sqlite_version_info
    if version >= _SQLITE_FIXED[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in _SQLITE_FIXED):
        return []
    advice = (
        "open log.db and state.db with exequatur only, which checkpoints under its own lock; the sqlite3 shell does not"
    )
    return [f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug (fixed in 3.51.3): {advice}"]


def _trust_warnings(path: Path) -> list[str]:
    trust = parse_trust((path / "trust.toml").read_bytes())
    found = []
    if trust.quorum is None:
        found.append(
            "trust names no witness quorum: a log that shows different histories to different runtimes is noticed "
            "only by memory, and by auditors who compare the heads in verification records"
        )
    if not trust.enforcement.protected_home:
        found.append("what runs has this user's rights and could reach the home; records say `gate: unprotected`")
    if any((path / "keys" / f"{role}.pem").exists() for role in ("authority", "operator")):
        found.append("this is a development home: it holds the keys of authority and log beside the runtime's")
    return found
