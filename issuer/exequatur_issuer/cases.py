"""Cases: what a policy set is meant to say of certain actions, as a file to run against it (specs/09 §4).

    requester = "urn:exequatur:requester:home"      # for every case that names none of its own
    now = 2026-01-01T12:00:00Z                      # likewise; or Unix seconds

    [[cases]]
    name = "git may run"
    exec = "git --version"                          # the argument vector; a list of texts spells it exactly
    path = "/usr/bin/git"                           # the executable; default: the first argument
    expect = "allow"                                # or "deny", or "needs-approval"

    [[cases]]
    name = "nothing is booked unconfirmed"
    action = { type = "mcp.tool", name = "book", resource = "urn:example:desk", args = { seats = 2 } }
    claims = { confirmed = false }
    expect = "deny"
    code = "POLICY_FORBID"                          # optional
    policies = ["change-is-confirmed"]              # the policies that decide; optional

A command may also have ``cwd``, ``env`` and ``uid``; without them it runs in ``/`` with no environment, as root.
Time is an input here too: nothing reads the clock. JSON with the same keys will do as well.
"""

import json
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from exequatur_verifier import action
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import MalformedError

from .decide import Decided, InForce
from .engine import Code
from .rehearsal import Question, decide_on

OUTCOMES: Final = ("allow", "deny", "needs-approval")
CASES: Final = "cases.toml"

_SHARED: Final = frozenset({"requester", "now"})
_PROCESS: Final = frozenset({"path", "cwd", "env", "uid"})
_KEYS: Final = _SHARED | _PROCESS | {"name", "exec", "action", "claims", "expect", "code", "policies"}


class CaseError(MalformedError):
    """A cases file that cannot be run: which file, which case, and what is wrong."""

    def __init__(self, file: str, case: str, detail: str) -> None:
        super().__init__(f"{file}: {case}: {detail}" if case else f"{file}: {detail}")


class Case(NamedTuple):
    """A case: its name, the question, and the answer that is expected; ``None`` where any would do."""

    name: str
    question: Question
    outcome: str
    code: str | None = None
    policies: frozenset[str] | None = None


class Result(NamedTuple):
    """What came of a case: the decision, and in words what of it was not expected."""

    case: Case
    decided: Decided
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


def read(path: Path, *, requester: str | None = None) -> tuple[Case, ...]:
    """Return the cases of a file, whose name ends in ``.json`` or which is TOML. Raises ``CaseError`` and ``OSError``.

    ``requester`` is who asks where neither the case nor the file says.
    """
    content = path.read_bytes()
    try:
        table = action.parse_json_arguments(content) if path.suffix == ".json" else tomllib.loads(content.decode())
    except (MalformedError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaseError(str(path), "", str(error)) from None
    shared = {"requester": requester} if requester is not None else {}
    shared |= {key: table[key] for key in _SHARED & table.keys()}
    entries = table.get("cases")
    if not table.keys() <= _SHARED | {"cases"} or not isinstance(entries, list) or not entries:
        raise CaseError(str(path), "", f"has `cases`, at least one, and perhaps {' and '.join(sorted(_SHARED))}")
    cases = tuple(_case(str(path), number, entry, shared) for number, entry in enumerate(entries, start=1))
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise CaseError(str(path), name, "two cases have this name")
    return cases


def run(cases: Iterable[Case], policy: InForce) -> Iterator[Result]:
    """Yield what comes of each case under a policy set (``rehearsal.draft``, or what is in force)."""
    for case in cases:
        decided = decide_on(case.question, policy)
        yield Result(case, decided, tuple(_differences(case, decided)))


def _differences(case: Case, decided: Decided) -> Iterator[str]:
    record = decided.record
    if record.outcome != case.outcome:
        yield f"{record.outcome} instead of {case.outcome}"
    if case.code is not None and record.code != case.code:
        yield f"{record.code or 'no code'} instead of {case.code}"
    if case.policies is not None and frozenset(record.reasons) != case.policies:
        yield f"decided by {_list(record.reasons)} instead of {_list(sorted(case.policies))}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "no policy"


def _case(file: str, number: int, entry: object, shared: Mapping[str, Any]) -> Case:
    if not isinstance(entry, dict):
        raise CaseError(file, f"case {number}", "is not a table")
    name = entry.get("name", f"case {number}")
    try:
        return _read_case(name, {**shared, **entry})
    except (ValueError, MalformedError) as error:
        raise CaseError(file, str(name), str(error)) from None


def _read_case(name: object, entry: Mapping[str, Any]) -> Case:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise ValueError(f"has no key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    for key in ("requester", "now", "expect"):
        if key not in entry:
            raise ValueError(f"does not say `{key}`" + (", nor does the file" if key in _SHARED else ""))
    outcome, code, policies = entry["expect"], entry.get("code"), entry.get("policies")
    if outcome not in OUTCOMES:
        raise ValueError(f"expects {outcome!r}, which is none of {', '.join(OUTCOMES)}")
    if code is not None and (outcome != "deny" or code not in get_args(Code)):
        raise ValueError(f"expects the code {code!r}; a deny has one of {', '.join(get_args(Code))}")
    if policies is not None and not _are_texts(policies):
        raise ValueError("`policies` is a list of ids")
    claims, requester = entry.get("claims", {}), entry["requester"]
    if not _are_texts([name, requester]) or not isinstance(claims, dict):
        raise ValueError("`name` and `requester` are texts, and `claims` is a table")
    question = Question(_descriptor(entry), requester, read_time(entry["now"]), claims)
    return Case(str(name), question, outcome, code, None if policies is None else frozenset(policies))


def _descriptor(entry: Mapping[str, Any]) -> Descriptor:
    if ("exec" in entry) == ("action" in entry):
        raise ValueError("names either a command, with `exec`, or an `action`")
    if "action" in entry:
        if _PROCESS & entry.keys() or not isinstance(entry["action"], dict):
            raise ValueError("an `action` is a table, and has none of " + ", ".join(sorted(_PROCESS)))
        # The same reading as of an action that an agent sends: what TOML says beyond JSON is no argument.
        descriptor: Descriptor = action.parse_json_arguments(json.dumps(entry["action"], default=_no_argument))
    else:
        descriptor = _command(entry)
    action.encode(descriptor)
    return descriptor


def _no_argument(value: object) -> str:
    raise ValueError(f"{value} is no value of an argument; write it as text")


def _command(entry: Mapping[str, Any]) -> Descriptor:
    argv, env, uid = entry["exec"], entry.get("env", {}), entry.get("uid", 0)
    argv = shlex.split(argv) if isinstance(argv, str) else argv
    if not _are_texts(argv) or not argv:
        raise ValueError("`exec` is a command line, or a list of texts")
    path, cwd = entry.get("path", argv[0]), entry.get("cwd", "/")
    if not isinstance(path, str) or not path.startswith("/") or not isinstance(cwd, str):
        raise ValueError("the executable has an absolute path: write it as `path`")
    if not isinstance(env, dict) or not _are_texts(list(env.values())):
        raise ValueError("`env` is a table of texts")
    return {
        "type": "process.exec",
        "name": path.encode(),
        "args": [argument.encode() for argument in argv],
        "cwd": cwd.encode(),
        "env": {key.encode(): value.encode() for key, value in env.items()},
        "uid": uid,
    }


def read_time(value: object) -> int:
    """Return Unix seconds from themselves, or from a time of day with its zone. Raises ``ValueError``."""
    if isinstance(value, str):
        value = int(value) if value.isdecimal() else datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = int(value.timestamp())
    if type(value) is int and value >= 0:
        return value
    raise ValueError(f"{value} is no time: write Unix seconds, or a date and time with its zone")


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
