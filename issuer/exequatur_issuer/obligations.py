"""Obligations: what the permits that allowed an action demand of its execution, as annotations (specs/09 §5).

    @ttl("5m") @uses("1") @require_approval("2")
    @limit_wall("30s") @limit_cpu("10s") @limit_memory("512MiB") @limit_file_size("1GiB")
    @limit_output("1MiB") @limit_files("64") @limit_processes("8") @lease("30s")
    @sandbox_read("/usr /etc/ssl") @sandbox_write @sandbox_exec("/usr/bin") @sandbox_net("443 8443")
    @require("no-new-privs pidfd") @image("path") @script("path")

Durations end in s, m, h or d; sizes are bytes or end in KiB, MiB or GiB; lists are separated by spaces, and
empty ones grant nothing. When several permits determine an allow, every one of them is obeyed: the least of
the numbers, what all path and port lists share, every requirement, and a weaker form of execution only if
each permit grants it. A name that only looks like one of these (``@limit_wal``, ``@TTL``) is an error and
denies; other annotations (``@id``, ``@doc``) mean nothing here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, reduce
from typing import Any, Final, NamedTuple

from exequatur_verifier.constraints import FROM_PATH, SEALED, Constraints, Limits, Process, Sandbox
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.match import is_under

from .engine import Effect, Policy

_NUMBER: Final = re.compile(r"(?P<digits>[1-9][0-9]{0,11})(?P<unit>[A-Za-z]*)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_COUNT: Final = {"": 1}
_PRIMITIVE: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


class ObligationError(ExequaturError):
    """An annotation that is meant as an obligation and cannot be obeyed: which policy's, and why."""

    def __init__(self, policy: str, detail: str) -> None:
        super().__init__(f"policy {policy}: {detail}")
        self.policy = policy
        self.detail = detail


class Obligations(NamedTuple):
    """What must hold for an execution: seconds of validity, uses, approvals wanted, and the constraints.

    ``None`` means that no permit says anything. An action that wants approvals is not allowed by policy
    alone.
    """

    ttl: int | None = None
    uses: int | None = None
    approvals: int = 0
    constraints: Constraints = Constraints()


def collect(permits: Iterable[Policy]) -> Obligations:
    """Return what all of ``permits`` demand together. Raises ``ObligationError``."""
    return _collect(tuple((policy.id, policy.effect, tuple(policy.annotations.items())) for policy in permits))


# A policy set decides most requests by the same few of its permits.
@lru_cache(maxsize=256)
def _collect(permits: tuple[tuple[str, Effect, tuple[tuple[str, str], ...]], ...]) -> Obligations:
    demands = [_demands(Policy(name, effect, dict(annotations))) for name, effect, annotations in permits]
    found: dict[str, Any] = {}
    for name, annotation in _ANNOTATIONS.items():
        values = [demand[name] for demand in demands if name in demand]
        if values and not (annotation.unanimous and len(values) < len(demands)):
            found[name] = reduce(annotation.both, values)
    limits = Limits(**{field: found.get(name) for field, name in _LIMITS.items()})
    constraints = Constraints(
        process=Process(image=found.get("image", SEALED), script=found.get("script", SEALED)),
        sandbox=Sandbox(
            read=found.get("sandbox_read"),
            write=found.get("sandbox_write"),
            execute=found.get("sandbox_exec"),
            ports=found.get("sandbox_net"),
            require=found.get("require", ()),
        ),
        limits=limits._replace(wall_ms=limits.wall_ms and limits.wall_ms * 1000),
        lease_s=found.get("lease"),
    )
    return Obligations(found.get("ttl"), found.get("uses"), found.get("require_approval", 0), constraints)


def check(policies: Iterable[Policy]) -> None:
    """Raise ``ObligationError`` for the first policy that could not be obeyed; asked when a set is loaded."""
    for policy in policies:
        demands = _demands(policy)
        if policy.effect == "forbid" and demands:
            raise ObligationError(policy.id, f"a forbid has nothing to oblige: {', '.join(sorted(demands))}")


class _Annotation(NamedTuple):
    """How a value is read, how two are obeyed at once, and whether one permit's silence refuses it."""

    parse: Callable[[str], Any]
    both: Callable[[Any, Any], Any]
    unanimous: bool = False


def _demands(policy: Policy) -> Mapping[str, Any]:
    demands: dict[str, Any] = {}
    for name, text in policy.annotations.items():
        if name not in _ANNOTATIONS:
            if name.lower().startswith(_FAMILIES):
                raise ObligationError(policy.id, f"@{name} is no obligation, and too like one to pass over")
            continue
        try:
            demands[name] = _ANNOTATIONS[name].parse(text)
        except ValueError as error:
            raise ObligationError(policy.id, f"@{name}({text!r}): {error}") from None
    return demands


def _number(units: Mapping[str, int]) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = _NUMBER.fullmatch(text)
        if match is None or match["unit"] not in units:
            raise ValueError(f"not a positive whole number followed by one of {sorted(units)}")
        return int(match["digits"]) * units[match["unit"]]

    return parse


def _paths(text: str) -> tuple[str, ...]:
    paths = text.split()
    if not all(is_under(path, "/") for path in paths):
        raise ValueError("not absolute paths without dots, separated by spaces")
    return tuple(sorted(set(paths)))


def _ports(text: str) -> tuple[int, ...]:
    ports = text.split()
    if not all(_PORT.fullmatch(port) and int(port) < 65_536 for port in ports):
        raise ValueError("not ports from 1 to 65535, separated by spaces")
    return tuple(sorted({int(port) for port in ports}))


def _primitives(text: str) -> tuple[str, ...]:
    names = text.split()
    if not names or not all(_PRIMITIVE.fullmatch(name) for name in names):
        raise ValueError("not names of enforcement primitives, separated by spaces")
    return tuple(sorted(set(names)))


def _weaker_form(text: str) -> str:
    if text != FROM_PATH:
        raise ValueError(f"the only weaker form is {FROM_PATH!r}")
    return text


def common_paths(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths that lie under both lists."""
    return tuple(sorted(set(_below(one, other)) | set(_below(other, one))))


def _below(paths: tuple[str, ...], tops: tuple[str, ...]) -> Iterator[str]:
    return (path for path in paths if any(is_under(path, top) for top in tops))


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(one) & set(other)))


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(one) | set(other)))


_LIMITS: Final = {
    "wall_ms": "limit_wall",
    "cpu_s": "limit_cpu",
    "memory": "limit_memory",
    "files": "limit_files",
    "processes": "limit_processes",
    "file_size": "limit_file_size",
    "output": "limit_output",
}
_ANNOTATIONS: Final = {
    "ttl": _Annotation(_number(_SECONDS), min),
    "uses": _Annotation(_number(_COUNT), min),
    "lease": _Annotation(_number(_SECONDS), min),
    "limit_wall": _Annotation(_number(_SECONDS), min),
    "limit_cpu": _Annotation(_number(_SECONDS), min),
    "limit_memory": _Annotation(_number(_BYTES), min),
    "limit_files": _Annotation(_number(_COUNT), min),
    "limit_processes": _Annotation(_number(_COUNT), min),
    "limit_file_size": _Annotation(_number(_BYTES), min),
    "limit_output": _Annotation(_number(_BYTES), min),
    "sandbox_read": _Annotation(_paths, common_paths),
    "sandbox_write": _Annotation(_paths, common_paths),
    "sandbox_exec": _Annotation(_paths, common_paths),
    "sandbox_net": _Annotation(_ports, _common),
    "require": _Annotation(_primitives, _union),
    "image": _Annotation(_weaker_form, min, unanimous=True),
    "script": _Annotation(_weaker_form, min, unanimous=True),
    "require_approval": _Annotation(_number(_COUNT), max),
}
_FAMILIES: Final = ("ttl", "uses", "lease", "limit", "sandbox", "require", "image", "script")
