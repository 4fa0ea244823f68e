"""Constraints: the small closed vocabulary in which an authorization limits its action (specs/01 §6).

The kernel evaluates them without a policy engine, and says of two sets whether one is a subset of the other, field by
field. There are no regular expressions: their dialects differ, their cost is unbounded and their inclusion is
undecidable.

    args       {JSON pointer into the descriptor: [operator, operand]}; ``*`` in a pointer means every element
    process    executables (SHA-256), env (names), uid, and the weaker forms of execution that are allowed
    sandbox    read, write, execute (paths), ports, require (enforcement primitives)
    limits     wall_ms, cpu_s, memory, files, processes, file_size, output (bytes)
    lease_s    how long the runtime may go without verifying again

Terms are what an authorization commits to beside the action: these constraints and the facts that must hold.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import cbor, shape
from .action import Descriptor
from .errors import MalformedError
from .match import Matcher, is_under, matches, parse_matcher
from .match import is_subset as matcher_is_subset
from .shape import Optional, many, record

SEALED: Final = "sealed"
FROM_PATH: Final = "path"
# What a runtime can be asked to have measured: digests of 32 bytes, and the name of the host.
FACTS: Final = {"executable": shape.digest, "interpreter": shape.digest, "script": shape.digest, "host": shape.text}


class Facts(NamedTuple):
    """What a runtime measured just before execution, and the enforcement primitives it offers, by name."""

    measured: Mapping[str, bytes | str] = {}
    enforcement: frozenset[str] = frozenset()


class Process(NamedTuple):
    """Limits on a process; ``None`` leaves a field free.

    ``image`` and ``script`` are "sealed", or "path" for the weaker form.
    """

    executables: tuple[bytes, ...] | None = None
    env: tuple[str, ...] | None = None
    uid: tuple[int, ...] | None = None
    image: str = SEALED
    script: str = SEALED


class Sandbox(NamedTuple):
    """What the operating system confines; ``None`` leaves a field free, ``ports`` empty means no network."""

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    execute: tuple[str, ...] | None = None
    ports: tuple[int, ...] | None = None
    require: tuple[str, ...] = ()


class Limits(NamedTuple):
    """Upper bounds: milliseconds of wall clock, seconds of processor time, bytes, counts; ``None`` is no bound."""

    wall_ms: int | None = None
    cpu_s: int | None = None
    memory: int | None = None
    files: int | None = None
    processes: int | None = None
    file_size: int | None = None
    output: int | None = None


class Constraints(NamedTuple):
    """All constraints of an authorization."""

    args: Mapping[str, Matcher] = {}
    process: Process = Process()
    sandbox: Sandbox = Sandbox()
    limits: Limits = Limits()
    lease_s: int | None = None


class Terms(NamedTuple):
    """What an authorization demands of the execution: constraints, and facts that must be measured as given."""

    constraints: Constraints = Constraints()
    facts: Mapping[str, bytes | str] = {}


_PATHS: Final = Optional(many(shape.text))
_BOUND: Final = Optional(shape.uint)
_CONSTRAINTS: Final = record(
    Constraints,
    args=Optional(shape.mapping(parse_matcher)),
    process=Optional(
        record(
            Process,
            executables=Optional(many(shape.digest)),
            env=Optional(many(shape.text)),
            uid=Optional(many(shape.uint)),
            image=Optional(shape.word(SEALED, FROM_PATH)),
            script=Optional(shape.word(SEALED, FROM_PATH)),
        )
    ),
    sandbox=Optional(
        record(
            Sandbox,
            read=_PATHS,
            write=_PATHS,
            execute=_PATHS,
            ports=Optional(many(shape.uint)),
            require=Optional(many(shape.text)),
        )
    ),
    limits=Optional(record(Limits, **dict.fromkeys(Limits._fields, _BOUND))),
    lease_s=_BOUND,
)
_TERMS: Final = record(Terms, constraints=Optional(_CONSTRAINTS), facts=Optional(shape.mapping(shape.anything)))

# Every primitive that a record or a trust policy may name (specs/07 §6).
ENFORCEMENT: Final = frozenset(
    (
        "lease",
        "no-new-privs",
        "output-limit",
        "pidfd",
        "process-group",
        "rlimit-cpu",
        "rlimit-file-size",
        "rlimit-files",
        "rlimit-memory",
        "rlimit-processes",
        "sandbox-network",
        "sandbox-paths",
        "sealed-image",
        "wall-clock",
    )
)
_LIMIT_ENFORCEMENT: Final = {
    "wall_ms": "wall-clock",
    "cpu_s": "rlimit-cpu",
    "memory": "rlimit-memory",
    "files": "rlimit-files",
    "processes": "rlimit-processes",
    "file_size": "rlimit-file-size",
    "output": "output-limit",
}


def encode_terms(terms: Terms) -> bytes:
    """Return the deterministic encoding of terms."""
    return cbor.encode(shape.plain(terms))


def decode_terms(encoded: bytes) -> Terms:
    """Return the terms that ``encoded`` holds; raise ``MalformedError``, also for a fact of unknown name."""
    terms = _TERMS(cbor.decode(encoded))
    for name, value in terms.facts.items():
        if name not in FACTS:
            raise MalformedError(f"unknown fact {name!r}")
        FACTS[name](value)
    for pointer in terms.constraints.args:
        if not pointer.startswith("/"):
            raise MalformedError(f"not a JSON pointer: {pointer!r}")
    return terms


def violations(constraints: Constraints, descriptor: Descriptor, facts: Facts) -> Iterator[str]:
    """Yield a sentence for every constraint that the action or what was measured does not satisfy."""
    for pointer, matcher in constraints.args.items():
        found = list(_select(descriptor, pointer[1:].split("/")))
        if None in found:
            yield f"{pointer} is missing"
        elif not all(matches(matcher, value) for (value,) in filter(None, found)):
            yield f"{pointer} is not {matcher.operator.value} {matcher.operand!r}"
    process = constraints.process
    if process.executables is not None and facts.measured.get("executable") not in process.executables:
        yield "the executable is not one of those permitted"
    if process.env is not None:
        permitted = {name.encode() for name in process.env}
        for name in sorted(descriptor.get("env", {}).keys() - permitted):
            yield f"the environment variable {name!r} is not permitted"
    if process.uid is not None and descriptor.get("uid") not in process.uid:
        yield f"uid {descriptor.get('uid')} is not permitted"


def required_enforcement(constraints: Constraints) -> frozenset[str]:
    """Return the names of the enforcement primitives without which the constraints would not hold at run time."""
    limits = {name for field, name in _LIMIT_ENFORCEMENT.items() if getattr(constraints.limits, field) is not None}
    sandbox = constraints.sandbox
    if (sandbox.read, sandbox.write, sandbox.execute) != (None, None, None):
        limits.add("sandbox-paths")
    if sandbox.ports is not None:
        limits.add("sandbox-network")
    if constraints.lease_s is not None:
        limits.add("lease")
    return frozenset(limits) | frozenset(sandbox.require)


def is_subset(child: Constraints, parent: Constraints) -> bool:
    """Say whether every action that satisfies ``child`` satisfies ``parent``.

    A ``False`` may be too cautious; ``True`` never is.
    """
    return (
        all(
            pointer in child.args and matcher_is_subset(child.args[pointer], matcher)
            for pointer, matcher in parent.args.items()
        )
        and _within(child.process.executables, parent.process.executables)
        and _within(child.process.env, parent.process.env)
        and _within(child.process.uid, parent.process.uid)
        and parent.process.image in (FROM_PATH, child.process.image)
        and parent.process.script in (FROM_PATH, child.process.script)
        and all(
            _paths_within(getattr(child.sandbox, name), getattr(parent.sandbox, name))
            for name in ("read", "write", "execute")
        )
        and _within(child.sandbox.ports, parent.sandbox.ports)
        and set(parent.sandbox.require) <= set(child.sandbox.require)
        and all(_at_most(low, high) for low, high in zip(child.limits, parent.limits, strict=True))
        and _at_most(child.lease_s, parent.lease_s)
    )


def _select(value: Any, steps: list[str]) -> Iterator[tuple[Any] | None]:
    """Yield the values under a pointer, each in a tuple, and ``None`` where there is no such place."""
    if not steps:
        yield (value,)
        return
    step, rest = steps[0].replace("~1", "/").replace("~0", "~"), steps[1:]
    if cbor.is_array(value):
        if step == "*":
            for item in value:
                yield from _select(item, rest)
            return
        if step.isascii() and step.isdecimal() and len(step) < 6 and int(step) < len(value):
            yield from _select(value[int(step)], rest)
            return
    elif cbor.is_map(value):
        for key in (step, step.encode()):
            if key in value:
                yield from _select(value[key], rest)
                return
    yield None


def _within(child: tuple[Any, ...] | None, parent: tuple[Any, ...] | None) -> bool:
    return parent is None or (child is not None and set(child) <= set(parent))


def _paths_within(child: tuple[str, ...] | None, parent: tuple[str, ...] | None) -> bool:
    return parent is None or (child is not None and all(any(is_under(path, top) for top in parent) for path in child))


def _at_most(child: int | None, parent: int | None) -> bool:
    return parent is None or (child is not None and child <= parent)
