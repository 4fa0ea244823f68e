"""``python -m exequatur_gate run --bundle FILE -- CMD…``: verify offline what was authorized elsewhere, then run it.

It is all of the runtime that a base install needs. Standard output is the command's alone. On standard error
stands the case's URN, or why it was denied, or with ``--json`` one object that says all of it.

Exit status: the command's own; 128+n when it died of signal n; 77 when it was denied, whatever the reason; 2
for usage; 69 when the command ran and its outcome could not be recorded.
"""

import os
import sys
from argparse import ArgumentParser, HelpFormatter, Namespace
from collections.abc import Sequence
from typing import Any

from exequatur_verifier.bundle import MAX_BUNDLE

from . import home as homes
from .gate import Gate, NotArmedError
from .home import HomeRefusedError
from .report import describe
from .run import DENIED, run
from .state import StateUnavailableError


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status."""
    options, command = _parse(list(arguments))
    try:
        passphrase = None
        if options.passphrase_file is not None:
            passphrase = homes.read_private(os.path.realpath(options.passphrase_file)).rstrip(b"\r\n")
        home = homes.load(homes.locate(options.home), passphrase)
        gate = Gate(home)
    except (HomeRefusedError, StateUnavailableError) as error:
        _report(options, DENIED, {"code": error.code.name, "detail": str(error)})
        return DENIED
    except NotArmedError as error:
        _report(options, DENIED, {"code": "INTERNAL_ERROR", "detail": str(error)})
        return DENIED
    with gate:
        made = run(gate, _read(options.bundle), [os.fsencode(word) for word in command], os.environb, _directory())
        _report(options, made.status, describe(made))
    return made.status


def _parse(arguments: list[str]) -> tuple[Namespace, list[str]]:
    """Return the options, and the command after the first ``--``, untouched."""
    parser = ArgumentParser(
        prog="python -m exequatur_gate",
        usage="%(prog)s run --bundle FILE [--home HOME] [--passphrase-file FILE] [--json] -- CMD…",
        description="Run a command that a bundle authorizes.",
        # With a width of its own, the formatter does not ask for the terminal's, which takes as long as verifying.
        formatter_class=lambda prog: HelpFormatter(prog, width=100),
    )
    parser.add_argument("verb", choices=["run"], help="what to do")
    parser.add_argument("--bundle", required=True, metavar="FILE", help="the bundle that authorizes the command")
    parser.add_argument("--home", metavar="HOME", help="the runtime's home, otherwise the installed one")
    parser.add_argument("--passphrase-file", metavar="FILE", help="holds the passphrase of the runtime's key")
    parser.add_argument("--json", action="store_true", help="one object on standard error says what happened")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, command = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    if not command:
        parser.error("the command stands after --")
    return options, command


def _read(path: str) -> bytes | None:
    """Return the bundle, at most one byte more than is allowed; one that cannot be read is missing."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except OSError:
        return None


def _directory() -> bytes:
    """Return the working directory, or nothing when it is gone; then there is nothing to measure either."""
    try:
        return os.getcwdb()
    except OSError:
        return b""


def _report(options: Namespace, status: int, report: dict[str, Any]) -> None:
    if options.json:
        import json

        print(json.dumps({"exit": status, "exit_source": "gate", **report}, indent=2), file=sys.stderr)
    elif report["code"] is not None:
        step = "" if report.get("step") is None else f" at step {report['step']}"
        print(f"exequatur: denied{step}: {report['code']}: {report['detail']}", file=sys.stderr)
    elif report["detail"] is not None:
        print(f"exequatur: {report['detail']}", file=sys.stderr)
    if not options.json and report.get("subject") is not None:
        print(f"exequatur: case {report['subject']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
