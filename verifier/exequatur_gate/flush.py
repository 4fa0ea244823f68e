"""Flush: carry what waits in the spool to a log, in order (specs/07 §8).

The gate knows no log. Whoever opens it hands it a ``Sink``: the embedded log, or a client of one. Several
processes may flush at once; each sends in order, and a log that has a record already says "accepted" again.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from . import spool
from .spool import Author
from .state import State

_BATCH: Final = 256


class Answer(NamedTuple):
    """What a log says of one statement: it has it for good; it never will, and its code; or it could not be asked."""

    status: Literal["accepted", "refused", "unavailable"]
    code: str = ""


class Sink(Protocol):
    """A log to which records go, asked by a blocking call that raises nothing because of an outage."""

    def append(self, statements: Sequence[bytes]) -> Sequence[Answer]:
        """Register statements in the given order and answer for each; missing answers mean "unavailable".

        "accepted" is said only when the statement is durable in the log and the log's proof of it was
        checked. "refused" is for ever: what may be accepted later is "unavailable".
        """
        ...


class Flushed(NamedTuple):
    """How many records the log took and how many it refused for good; how many still wait."""

    accepted: int = 0
    refused: int = 0
    waiting: int = 0


def flush(state: State, author: Author, sink: Sink | None, now: int) -> Flushed:
    """Send what waits until it is all sent or the log cannot be reached; raise ``StateUnavailableError``.

    Without a sink nothing is sent, and what waits is counted.
    """
    accepted = refused = 0
    with state.transaction() as transaction:
        spool.append_counted(transaction, author, now)
        batch = spool.load(transaction, _BATCH)
    while batch and sink is not None:
        answers = sink.append([waiting.statement for waiting in batch])
        reached = True
        with state.transaction() as transaction:
            for waiting, answer in zip(batch, answers, strict=False):
                reached = answer.status != "unavailable"
                if not reached:
                    break
                if answer.status == "accepted":
                    spool.acknowledge(transaction, waiting.seq)
                    accepted += 1
                else:
                    spool.refuse(transaction, author, waiting, answer.code, now)
                    refused += 1
            batch = spool.load(transaction, _BATCH) if reached and len(answers) >= len(batch) else []
    with state.transaction() as transaction:
        return Flushed(accepted, refused, spool.measure(transaction).waiting)
