"""Processes by identity: who a process is beyond its number, and killing what is left of one (specs/07).

Numbers are used again; a number with the time it was given out, within one boot, is not. An execution is a
session: its leader is the governed process, and its members are what that started. A process that leaves for
a session of its own is not found here.
"""

import os
import signal
import time
from contextlib import suppress
from typing import Final, Literal, NamedTuple

Cleanup = Literal["terminated", "not-found", "unknown"]

_ROUNDS: Final = 200
_PAUSE_S: Final = 0.005
_DEAD: Final = (b"Z", b"X", b"x")


class Identity(NamedTuple):
    """A process: number, start in clock ticks since boot, boot id, and autogroup where the host has them.

    Linux gives every session an autogroup number that it never uses again in that boot. It still names the
    session when the leader is gone.
    """

    pid: int
    start: int
    boot: str
    autogroup: int | None


class _Status(NamedTuple):
    state: bytes
    session: int
    start: int


def identify(pid: int) -> Identity:
    """Return the identity of a running process; raise ``ProcessLookupError``."""
    status = _status(pid)
    if status is None:
        raise ProcessLookupError(f"process {pid} is gone")
    return Identity(pid, status.start, boot_id(), _autogroup(pid))


def is_running(identity: Identity) -> bool:
    """Say whether exactly this process still runs."""
    status = _status(identity.pid)
    return (
        status is not None
        and status.start == identity.start
        and status.state not in _DEAD
        and identity.boot == boot_id()
    )


def kill_identity(identity: Identity) -> Cleanup:
    """Kill what is left of the session that ``identity`` leads, and say whether all of it is gone.

    ``unknown``: something may still run, because it cannot be killed, or because the leader is gone and this
    host offers no other proof that the members are its own; those are left alone. Takes at most a second, or
    so.
    """
    if identity.boot != boot_id():
        return "not-found"
    leader = _status(identity.pid)
    if leader is not None and leader.start != identity.start:
        # Linux gives a number out again only when no process has it as its session any more.
        return "not-found"
    if leader is None and identity.autogroup is None:
        return "unknown" if _members(identity.pid, None) else "not-found"
    killed, gone = kill_session(identity.pid, identity.autogroup)
    if not gone:
        return "unknown"
    return "terminated" if killed else "not-found"


def kill_session(session: int, autogroup: int | None = None) -> tuple[int, bool]:
    """Kill every member of a session; return how many were found alive, and whether none is left.

    Without ``autogroup`` the caller knows that the number still means its own session, by a leader that is not
    reaped.
    """
    killed: set[tuple[int, int]] = set()
    for number in range(_ROUNDS):
        members = _members(session, autogroup)
        if number == 0 and autogroup is None:
            # Linux signals a group at one instant, so what forks and exits faster than we read /proc does not slip
            # through.
            with suppress(OSError):
                os.killpg(session, signal.SIGKILL)
        if not members:
            return len(killed), True
        for pid, start in members:
            _kill(pid, start)
        killed.update(members)
        time.sleep(_PAUSE_S)
    return len(killed), False


def _members(session: int, autogroup: int | None) -> list[tuple[int, int]]:
    """Return number and start of each live process of a session."""
    members = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and _session(int(name)) == session:
            status = _status(int(name))
            if (
                status is not None
                and status.session == session
                and status.state not in _DEAD
                and autogroup in {None, _autogroup(int(name))}
            ):
                members.append((int(name), status.start))
    return members


def _session(pid: int) -> int | None:
    """Return a process's session; one call, where its status is three and a parse, and all processes are asked."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _kill(pid: int, start: int) -> None:
    """Kill one process; the descriptor pins it, so a number that is given out again meanwhile is safe."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        status = _status(pid)
        if status is not None and status.start == start:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        # It is gone, or not ours to kill; the next look at the session tells which.
        return
    finally:
        os.close(handle)


def _status(pid: int) -> _Status | None:
    try:
        text = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of a program may hold blanks and brackets; what follows the last bracket is field 3 and on
    # (proc_pid_stat(5)).
    fields = text[text.rindex(b")") + 2 :].split()
    return _Status(fields[0], int(fields[3]), int(fields[19]))


def _autogroup(pid: int) -> int | None:
    try:
        text = _read(f"/proc/{pid}/autogroup")
        return int(text.split()[0].rpartition(b"-")[2])
    except (OSError, ValueError, IndexError):
        return None


def boot_id() -> str:
    """Return the id that Linux draws at each boot, within which numbers and start times have a meaning."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
