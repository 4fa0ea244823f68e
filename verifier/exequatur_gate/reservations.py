"""Reservations: the use that an admission took, until its outcome is recorded (specs/07 §3, §7).

A reservation stands in the state from admission to outcome, and its gate holds a lock by its number for as
long as it lives. One whose lock is free has lost its gate: what it started is killed, and its outcome is
``orphaned``. It is never run again.
"""

import os
import sqlite3
from typing import NamedTuple

from exequatur_verifier.records import Outcome
from exequatur_verifier.verdict import Code, Denial

from . import records, spool
from .locks import Lock
from .process import Identity, identify, kill_identity
from .spool import Author
from .state import State, StateUnavailableError, lock_path


class Reservation(NamedTuple):
    """A use that was taken: its number, the verification record that says so, and the execution's URN."""

    number: int
    verification: bytes
    subject: str


def take_use(connection: sqlite3.Connection, authorization: bytes, allowed: int) -> int:
    """Take a use of an authorization and return which one it is, from 1 on; raise ``Denial`` if none is left."""
    row = connection.execute("SELECT used FROM uses WHERE authorization = ?", (authorization,)).fetchone()
    use = 1 if row is None else int(row[0]) + 1
    if use > allowed:
        raise Denial(Code.USES_EXHAUSTED, f"all {allowed} uses of this authorization are taken; ask for a new one")
    connection.execute(
        "INSERT OR REPLACE INTO uses (authorization, used, allowed) VALUES (?, ?, ?)", (authorization, use, allowed)
    )
    return use


def reserve(connection: sqlite3.Connection, verification: bytes, subject: str) -> Reservation:
    """Enter a reservation of this process's; only in the transaction of its verification record."""
    owner = identify(os.getpid())
    entered = connection.execute(
        "INSERT INTO reservations (verification, subject, boot, pid, start) VALUES (?, ?, ?, ?, ?)",
        (verification, subject, owner.boot, owner.pid, owner.start),
    )
    assert entered.lastrowid is not None
    return Reservation(entered.lastrowid, verification, subject)


def lock(state: State, number: int) -> Lock | None:
    """Return the lock of a reservation, taken, or ``None`` when its gate lives."""
    found = Lock(lock_path(state.path), number)
    if found.take():
        return found
    found.close()
    return None


def begin(state: State, reservation: Reservation, child: Identity) -> None:
    """Make durable that this process is about to run; raise ``StateUnavailableError`` if that fails."""
    with state.transaction() as transaction:
        changed = transaction.execute(
            "UPDATE reservations SET (child_pid, child_start, child_boot, child_autogroup) = (?, ?, ?, ?) "
            "WHERE number = ? AND child_pid IS NULL",
            (child.pid, child.start, child.boot, child.autogroup, reservation.number),
        )
        if changed.rowcount != 1:
            raise StateUnavailableError(f"reservation {reservation.number} is not there, or was started before")


def settle(state: State, author: Author, reservation: Reservation, outcome: Outcome, now: int) -> bytes:
    """Record the outcome, which ends the reservation, and return its id. There is never a second one."""
    with state.transaction() as transaction:
        ended = transaction.execute("DELETE FROM reservations WHERE number = ?", (reservation.number,))
        if ended.rowcount != 1:
            raise StateUnavailableError(f"reservation {reservation.number} is not there, or has its outcome already")
        return spool.append(transaction, author, outcome, reservation.subject, now)


def recover(state: State, author: Author, now: int) -> tuple[Reservation, ...]:
    """Clear up after gates that are gone: kill what they left running, and record it; return what was orphaned."""
    with state.transaction() as transaction:
        numbers = [number for (number,) in transaction.execute("SELECT number FROM reservations ORDER BY number")]
    found = (_recover(state, author, number, now) for number in numbers)
    return tuple(reservation for reservation in found if reservation is not None)


def _recover(state: State, author: Author, number: int, now: int) -> Reservation | None:
    held = lock(state, number)
    if held is None:
        return None
    try:
        # Read only now: until the lock was ours, its gate may have been about to settle.
        with state.transaction() as transaction:
            row = transaction.execute(
                "SELECT verification, subject, child_pid, child_start, child_boot, child_autogroup "
                "FROM reservations WHERE number = ?",
                (number,),
            ).fetchone()
        if row is None:
            return None
        verification, subject, *child = row
        # Without a child on record nothing ran: what is not recorded is not released (G-17).
        cleanup = "not-found" if child[0] is None else kill_identity(Identity(*child))
        reservation = Reservation(number, verification, subject)
        settle(state, author, reservation, records.orphan(verification, cleanup), now)
        return reservation
    finally:
        held.close()
