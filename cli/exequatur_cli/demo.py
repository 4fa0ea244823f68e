"""The demonstration: one command governed through all six phases, then each fail-closed condition provoked for real.

Nothing is simulated. The executables are this machine's, the keys, log, policy and memory are those of a home that is
made for this, forks and rollbacks come from copies of its log, and every denial is the gate's. A scene that ends
otherwise than it should stops the demonstration with an error.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_gate.run import Run, run
from exequatur_issuer.authorize import Issued, Refused
from exequatur_verifier.host import Command, CommandNotFoundError, measure, offered

from . import founding
from .audit import Report, audit
from .home import Home
from .issuing import authorize
from .lineage import collect, tree
from .output import Output

_PASSPHRASE: Final = Path("keys", "passphrase")


class DemonstrationError(Exception):
    """A scene ended otherwise than it should: what it shows is not true here."""


class Denied(NamedTuple):
    """How a scene ended: by which code, of which condition, and why."""

    code: str
    condition: str
    detail: str


def command_of_this_machine() -> tuple[str, ...]:
    """Return a harmless command that this machine has."""
    for argv in (("git", "--version"), (os.path.realpath(sys.executable), "--version")):
        try:
            _measured(argv)
        except CommandNotFoundError:
            continue
        return argv
    raise DemonstrationError("this machine has neither git nor a Python to run")


class Stage:
    """A home to play in, and copies of it; ``stdout`` is the descriptor that commands write to."""

    def __init__(self, path: Path, stdout: int) -> None:
        self.path: Final = path
        self._stdout: Final = stdout

    @classmethod
    def build(cls, path: Path, stdout: int = 1) -> "Stage":
        """Found a home without leeway, so that a second too late is too late."""
        founding.found(path, leeway=0)
        return cls(path, stdout)

    def copy(self, name: str) -> "Stage":
        """Return a copy of the home: what somebody has who kept a backup of the log, keys included."""
        target = self.path.with_name(name)
        shutil.copytree(self.path, target)
        return Stage(target, self._stdout)

    def home(self) -> Home:
        """Open the home."""
        return Home(self.path, (self.path / _PASSPHRASE).read_bytes().strip())

    def authorize(self, argv: tuple[str, ...], ttl: int | None = None) -> Issued | Refused:
        """Ask the home's authority for a command."""
        command = _measured(argv)
        with self.home() as home:
            local = home.settings.runtimes["local"]
            return authorize(home, command.descriptor, command.facts.measured, runtime=local, ttl=ttl)

    def issue(self, argv: tuple[str, ...], ttl: int | None = None) -> Issued:
        """Ask for a command that policy permits."""
        answer = self.authorize(argv, ttl)
        if isinstance(answer, Refused):
            raise DemonstrationError(f"the authority refused {argv}: {answer.code} {answer.detail}")
        return answer

    def run(self, argv: tuple[str, ...], bundle: bytes | None) -> Run:
        """Run a command through the gate."""
        sys.stdout.flush()
        words, stdio = [os.fsencode(word) for word in argv], (0, self._stdout, 2)
        with self.home() as home, home.gate() as gate:
            return run(gate, bundle, words, os.environb, os.fsencode(Path.cwd()), stdio)

    def denied(self, argv: tuple[str, ...], bundle: bytes | None) -> Denied:
        """Run a command that must be denied."""
        failure = self.run(argv, bundle).decision.failure
        if failure is None or failure.code is None:
            raise DemonstrationError(f"{argv} was not denied")
        return Denied(failure.code.name, failure.code.condition.value, failure.detail)

    def audit(self) -> Report:
        """Audit the home's log."""
        return audit(self.path)


class Scene(NamedTuple):
    """A condition to provoke: what is about to happen, the code that it must end in, and how to make it happen."""

    text: str
    code: str
    play: Callable[[Stage], Denied]


def scenes(argv: tuple[str, ...]) -> tuple[Scene, ...]:
    """Return the scenes, each of which starts from a home in good order."""
    return (
        Scene("The command comes without a bundle.", "ARTIFACT_MISSING", lambda stage: stage.denied(argv, None)),
        Scene("The authority is asked for a command that its policy forbids.", "POLICY_FORBID", _forbidden),
        Scene("The executable is exchanged after it was authorized.", "FACT_MISMATCH", _exchanged),
        Scene(
            "One argument is changed after authorization.",
            "ACTION_MISMATCH",
            lambda stage: stage.denied((*argv, "--help"), stage.issue(argv).bundle),
        ),
        Scene("An artifact for one second is presented after two.", "EXPIRED", lambda stage: _expired(stage, argv)),
        Scene(
            "An artifact for one use is presented a second time.", "USES_EXHAUSTED", lambda stage: _spent(stage, argv)
        ),
        Scene(
            "The log shows this runtime another history than before.", "LOG_FORK", lambda stage: _forked(stage, argv)
        ),
        Scene(
            "The log is set back to an old copy, and signs a smaller tree later.",
            "LOG_ROLLBACK",
            lambda stage: _rolled_back(stage, argv),
        ),
    )


def show_permitted(stage: Stage, argv: tuple[str, ...], output: Output) -> str:
    """Play the six phases of one permitted command, and return its case."""
    issued = stage.issue(argv)
    output.rows(
        [
            ("1 request", issued.request.hex()),
            ("2 decision", f"{issued.decision.hex()}  allow"),
            ("3 artifact", f"{issued.authorization.hex()}  {issued.uses} use(s)"),
            ("4 log", f"a bundle of {len(issued.bundle)} bytes: artifact, receipt, checkpoint, policy"),
        ]
    )
    made = stage.run(argv, issued.bundle)
    if made.result is None or made.outcome is None or made.decision.record is None or made.decision.verdict is None:
        raise DemonstrationError(f"{argv} was authorized and did not run")
    output.rows(
        [
            ("5 verify", f"{made.decision.record.hex()}  offline, before the first instruction:"),
            *(("", f"{step.number:2} {step.name:<11}{step.detail}") for step in made.decision.verdict.steps),
            ("6 outcome", f"{made.outcome.hex()}  exit status {made.status}"),
        ]
    )
    return issued.subject


def show_lineage(stage: Stage, subject: str, output: Output) -> None:
    """Draw a case as a tree."""
    with stage.home() as home:
        for line in tree(collect(home.log, subject, home.content)):
            output.text(f"  {line}")


def _forbidden(stage: Stage) -> Denied:
    answer = stage.authorize(("shred", "--help"))
    if isinstance(answer, Issued):
        raise DemonstrationError("shred was authorized")
    return Denied(answer.code, "policy validation fails", "; ".join((answer.detail, *answer.explanation)))


def _exchanged(stage: Stage) -> Denied:
    tool = stage.path.with_name("tool")
    shutil.copy(_path_of("true"), tool)
    bundle = stage.issue((str(tool),)).bundle
    shutil.copy(_path_of("false"), tool)
    return stage.denied((str(tool),), bundle)


def _expired(stage: Stage, argv: tuple[str, ...]) -> Denied:
    issued = stage.issue(argv, ttl=1)
    time.sleep(max(0.0, issued.expires + 1 - time.time()))
    return stage.denied(argv, issued.bundle)


def _spent(stage: Stage, argv: tuple[str, ...]) -> Denied:
    bundle = stage.issue(argv).bundle
    if stage.run(argv, bundle).status != 0:
        raise DemonstrationError("the first use was denied")
    return stage.denied(argv, bundle)


def _forked(stage: Stage, argv: tuple[str, ...]) -> Denied:
    # Two copies of one log go on separately, as a log would that shows each runtime its own history.
    mine, other = stage.copy("fork-seen"), stage.copy("fork-hidden")
    if mine.run(argv, mine.issue(argv).bundle).status != 0:
        raise DemonstrationError("the first history was denied")
    return mine.denied(argv, other.issue(argv).bundle)


def _rolled_back(stage: Stage, argv: tuple[str, ...]) -> Denied:
    mine, old = stage.copy("rollback"), stage.copy("backup")
    for _ in range(2):
        if mine.run(argv, mine.issue(argv).bundle).status != 0:
            raise DemonstrationError("the log was denied before it was set back")
    remembered = time.time()
    time.sleep(max(0.0, int(remembered) + 1 - time.time()))
    return mine.denied(argv, old.issue(argv).bundle)


def _measured(argv: tuple[str, ...]) -> Command:
    arguments = [os.fsencode(word) for word in argv]
    return measure(arguments, cwd=os.fsencode(Path.cwd()), environ=os.environb, enforcement=offered())


def _path_of(name: str) -> Path:
    return Path(os.fsdecode(_measured((name,)).descriptor["name"]))
