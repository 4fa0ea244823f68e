"""Limits: an authorization's bounds as resource limits of a process, and how a breach of one is recognised.

A bound is never raised: where the gate's own limit is lower, that one stays. Processes are counted by Linux
over the whole uid, and memory is address space. Wall clock and output are watched by the parent (``output``),
not by Linux.
"""

import resource
import signal
from typing import Final

from exequatur_verifier.constraints import SEALED, Limits
from exequatur_verifier.host import RESOURCE_LIMITS

ResourceLimit = tuple[int, tuple[int, int]]

# What holds in every execution, whatever its authorization says.
_ALWAYS: Final = frozenset({"no-new-privs", "process-group", "pidfd"})
_GRACE_S: Final = 1


def resource_bounds(limits: Limits) -> list[ResourceLimit]:
    """Return the arguments of ``setrlimit``; those of memory come last, for they bind their setter too."""
    bounds: list[ResourceLimit] = []
    for name, bound in _wanted(limits).items():
        number = getattr(resource, RESOURCE_LIMITS[name])
        soft, hard = resource.getrlimit(number)
        # SIGXCPU at the bound tells this death from others; who ignores that is killed a second later.
        ceiling = bound + _GRACE_S if name == "rlimit-cpu" else bound
        bounds.append((number, (_lower(bound, soft), _lower(ceiling, hard))))
    return bounds


def enforcement(limits: Limits, image: str, script: str | None) -> frozenset[str]:
    """Return the names of the primitives that hold in an execution with these limits and forms.

    A verification record lists them. ``image`` and ``script`` are "sealed" or "path"; ``script`` is ``None``
    for a command that is no script.
    """
    names = set(_wanted(limits))
    if limits.wall_ms is not None:
        names.add("wall-clock")
    if limits.output is not None:
        names.add("output-limit")
    if image == SEALED and script in {None, SEALED}:
        names.add("sealed-image")
    return _ALWAYS | names


def breach(limits: Limits, fatal_signal: int | None, cpu_us: int) -> str | None:
    """Return which resource limit a process died of, "cpu" or "file-size", where its death tells."""
    if limits.cpu_s is not None:
        used_up = cpu_us >= limits.cpu_s * 1_000_000
        if fatal_signal == signal.SIGXCPU or (fatal_signal == signal.SIGKILL and used_up):
            return "cpu"
    if limits.file_size is not None and fatal_signal == signal.SIGXFSZ:
        return "file-size"
    return None


def _wanted(limits: Limits) -> dict[str, int]:
    bounds = {
        "rlimit-files": limits.files,
        "rlimit-processes": limits.processes,
        "rlimit-file-size": limits.file_size,
        "rlimit-cpu": limits.cpu_s,
        "rlimit-memory": limits.memory,
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _lower(bound: int, current: int) -> int:
    return bound if current == resource.RLIM_INFINITY else min(bound, current)
