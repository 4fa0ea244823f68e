"""The process seat: run one command under a bundle, or deny it (specs/07 §5).

    measure → verify → admit → start → outcome

What is measured is sealed, and what was sealed is what runs. The start is durable before the command's first
instruction, and the outcome is recorded before anybody is told.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from exequatur_verifier import action
from exequatur_verifier.bundle import MAX_BUNDLE
from exequatur_verifier.constraints import Facts
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.host import Command, CommandNotFoundError, UnmeasurableError, measure, offered

from . import records, reservations
from .admit import Permit
from .execute import Result, execute
from .flush import Flushed
from .gate import Decision, Gate
from .images import seal
from .process import Identity
from .start import StartError
from .state import StateUnavailableError

DENIED: Final = 77
UNRECORDED: Final = 69


class UnrecordedError(ExequaturError):
    """A command ran, and its outcome could not be recorded. Its reservation becomes an orphan."""

    def __init__(self, result: Result, reason: Exception) -> None:
        super().__init__(f"the command ran, but its outcome could not be recorded: {reason}")
        self.result = result


class Run(NamedTuple):
    """What became of a command.

    ``status`` is the exit status to pass on: the command's own, 128+n when it died of signal n, 77 when
    nothing ran, 69 when it ran and its outcome could not be recorded. ``result`` is ``None`` when nothing
    ran. ``problem`` says why an admitted command was not started, or not recorded. ``outcome`` is the id of
    the outcome record, ``flushed`` is ``None`` when the state could not be read.
    """

    status: int
    decision: Decision
    result: Result | None = None
    outcome: bytes | None = None
    problem: str | None = None
    flushed: Flushed | None = None


def run(
    gate: Gate,
    bundle: bytes | None,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    cwd: bytes,
    stdio: tuple[int, int, int] = (0, 1, 2),
) -> Run:
    """Run ``argv`` in ``cwd`` if the bundle authorizes exactly that, and send the records to the gate's sink.

    ``environ`` is reduced to the names that a governed process gets.
    """
    made = _run(gate, bundle, argv, environ, cwd, stdio)
    try:
        return made._replace(flushed=gate.flush())
    except (StateUnavailableError, OSError):
        return made


def carry_out(
    gate: Gate, permit: Permit, command: Command, stdio: tuple[int, int, int] = (0, 1, 2)
) -> tuple[Result, bytes]:
    """Start what a permit permits and wait for its end; return what happened and the id of the outcome record.

    Raise ``ValueError`` for another command than the one that was admitted, ``PermitUsedError``,
    ``StartError`` when nothing ran, ``UnrecordedError``.
    """
    try:
        if (command.facts, action.encode(command.descriptor)) != (permit.presented.facts, permit.encoded):
            raise ValueError("this permit is for another command")
        reservation = permit.take()
        process = permit.terms.constraints.process

        def record(identity: Identity) -> None:
            try:
                reservations.begin(gate.state, reservation, identity)
            except StateUnavailableError as error:
                raise StartError(f"the start could not be recorded: {error}") from error

        try:
            result = execute(
                command,
                record=record,
                limits=permit.terms.constraints.limits,
                image=process.image,
                script=process.script,
                stdio=stdio,
            )
        except StartError:
            # Where this cannot be recorded either, the reservation becomes an orphan, of which nothing ran.
            with suppress(StateUnavailableError, OSError):
                gate.settle(reservation, records.failure(reservation.verification))
            raise
        try:
            return result, gate.settle(reservation, records.outcome(reservation.verification, result, permit.salt))
        except (StateUnavailableError, OSError) as error:
            raise UnrecordedError(result, error) from error
    finally:
        permit.close()


def _run(
    gate: Gate,
    bundle: bytes | None,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    cwd: bytes,
    stdio: tuple[int, int, int],
) -> Run:
    if not bundle or len(bundle) > MAX_BUNDLE:
        return Run(DENIED, gate.decide(bundle, {}, Facts()))
    try:
        command = measure(argv, cwd=cwd, environ=environ, load=seal, enforcement=offered())
    except (CommandNotFoundError, UnmeasurableError, OSError) as error:
        return Run(DENIED, gate.decide(bundle, {}, Facts(), unmeasured=str(error)))
    try:
        decision = gate.decide(bundle, command.descriptor, command.facts)
        if decision.permit is None:
            return Run(DENIED, decision)
        try:
            result, outcome = carry_out(gate, decision.permit, command, stdio)
        except StartError as error:
            return Run(DENIED, decision, problem=str(error))
        except UnrecordedError as error:
            return Run(UNRECORDED, decision, error.result, problem=str(error))
        return Run(_status(result), decision, result, outcome)
    finally:
        command.close()


def _status(result: Result) -> int:
    return result.code if result.code is not None else 128 + (result.signal or 0)
