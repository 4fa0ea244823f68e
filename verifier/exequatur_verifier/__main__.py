"""``python -m exequatur_verifier FILE --trust T -- CMD…``: the offline verdict on a bundle, every step listed.

The command is measured here and now; with ``--action`` the action is read from a JSON file instead. Nothing
is written, no network is used and no use is consumed: it says what would be admitted. Without a runtime's
memory step 6 is reported as "no memory".

Exit status: 0 would be admitted, 77 would not, 65 malformed input (the bundle included), 2 usage.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from . import action, host, trust_file
from .action import Descriptor
from .bundle import MAX_BUNDLE
from .constraints import Facts
from .errors import MalformedError
from .memory import Clock
from .trust import Trust
from .verdict import Code, StepResult, Verdict
from .verify import verify

USAGE: Final = 2
MALFORMED: Final = 65
DENIED: Final = 77


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status."""
    options, command = _parse(list(arguments))
    try:
        believed = _read_trust(options)
        descriptor, facts = _measure(options, command)
    except MalformedError as error:
        print(f"malformed: {error}", file=sys.stderr)
        return MALFORMED
    except OSError as error:
        print(f"{error.filename or 'the working directory'} cannot be read: {error.strerror}", file=sys.stderr)
        return USAGE
    except (host.CommandNotFoundError, host.UnmeasurableError) as error:
        print(f"{Code.FACT_MISMATCH.name}: {error}", file=sys.stderr)
        return DENIED
    verdict = verify(_read_bundle(options.file), descriptor, facts, believed, None, (), Clock(int(time.time())))
    if options.json:
        print(json.dumps(describe(verdict), indent=2))
    else:
        _show(verdict)
    if verdict.code is None:
        return 0
    return MALFORMED if verdict.code is Code.ARTIFACT_MALFORMED else DENIED


def describe(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as one JSON object: ids in hexadecimal, codes and conditions by name."""
    failure, artifact = verdict.failure, verdict.statement
    return {
        "admissible": failure is None,
        "code": None if failure is None else _name(failure),
        "condition": None if failure is None or failure.code is None else failure.code.condition.value,
        "step": None if failure is None else failure.number,
        "detail": None if failure is None else failure.detail,
        "record": None if artifact is None else artifact.id.hex(),
        "subject": None if artifact is None else artifact.claims.sub,
        "steps": [{**step._asdict(), "code": _name(step)} for step in verdict.steps],
        "ignored": list(verdict.ignored),
    }


def _parse(arguments: list[str]) -> tuple[Namespace, list[str]]:
    """Return the options, and the command after the first ``--``, untouched."""
    parser = ArgumentParser(
        prog="python -m exequatur_verifier",
        usage="%(prog)s FILE (--trust FILE | --home HOME) [--json] (--action FILE | -- CMD…)",
        description="Say whether a bundle would be admitted for a command or an action, step by step.",
    )
    parser.add_argument("file", metavar="FILE", help="the bundle")
    believed = parser.add_mutually_exclusive_group(required=True)
    believed.add_argument("--trust", metavar="FILE", help="the trust policy to judge by")
    believed.add_argument("--home", metavar="HOME", help="a home, whose trust.toml is taken")
    parser.add_argument("--action", metavar="FILE", help='the action as JSON: {"type", "name", "resource", "args"}')
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, command = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    if bool(command) == (options.action is not None):
        parser.error("either --action FILE, or a command after --")
    return options, command


def _read_trust(options: Namespace) -> Trust:
    return trust_file.parse((Path(options.trust) if options.trust else Path(options.home) / "trust.toml").read_bytes())


def _measure(options: Namespace, command: list[str]) -> tuple[Descriptor, Facts]:
    if options.action is None:
        argv = [os.fsencode(word) for word in command]
        measured = host.measure(argv, cwd=os.fsencode(Path.cwd()), environ=os.environb, enforcement=host.offered())
        return measured.descriptor, measured.facts
    descriptor = action.parse_json_arguments(Path(options.action).read_bytes())
    action.check(descriptor)
    return descriptor, Facts({"host": os.uname().nodename}, host.offered())


def _read_bundle(path: str) -> bytes | None:
    """Return the bundle, at most one byte more than is allowed; one that cannot be read is missing."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except OSError:
        return None


def _name(step: StepResult) -> str | None:
    return None if step.code is None else step.code.name


def _show(verdict: Verdict) -> None:
    for step in verdict.steps:
        code = "" if step.code is None else f"{step.code.name}: "
        print(f"{step.number:2}  {step.name:<11} {step.status:<13} {code}{step.detail}")
    for line in verdict.ignored:
        print(f"    ignored: {line}")
    print("would be admitted" if verdict.failure is None else f"denied: {_name(verdict.failure)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
