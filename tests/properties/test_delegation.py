"""Delegation: whatever grants stand above an action, it is let through only if each of them allows it, and no longer or
more often; through the authority that makes such chains, and by the kernel alone where nobody kept a rule.

What a grant allows is said here a second time, without matchers, pointers or subsets.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from exequatur_issuer.authorize import Issued
from exequatur_verifier import bundle, constraints, parse_trust, verify
from exequatur_verifier.constraints import Constraints, Facts, Limits, Process, Sandbox
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.memory import Clock
from exequatur_verifier.verdict import Code
from tests.issuer.delegating import Delegating, Held, artifact_of, record_of, rules, terms_of
from tests.issuer.house import NOW, House
from tests.issuer.ledger import MemoryLog
from tests.support import governed, world

GIT, OTHER = world.FACTS.measured["executable"], sha256(b"other").digest()
FOLDERS: Final = ("/", "/srv", "/srv/work", "/usr", "/usr/bin")
HOLDERS: Final = ("agent", "helper", "last")
_FORMS = st.sampled_from(("sealed", "sealed", "path"))


def _at(pointer: str, value: str, *patterns: str) -> st.SearchStrategy[tuple[str, Matcher]]:
    """Return limits of a place, most of which admit the value; ``patterns`` end with one that does not."""
    values = st.lists(st.sampled_from(("push", "/bin/rm")), max_size=1).map(lambda others: (*others, value))
    matchers = st.one_of(
        st.builds(Matcher, st.just(Operator.GLOB), st.sampled_from(patterns)),
        st.builds(Matcher, st.just(Operator.PREFIX), st.sampled_from((value[:1], value[:4], value))),
        st.builds(Matcher, st.just(Operator.SUBPATH), st.sampled_from((*FOLDERS, "/usr/bin/git"))),
        st.builds(Matcher, st.just(Operator.ONE_OF), values),
        st.just(Matcher(Operator.EXACT, value)),
    )
    return matchers.map(lambda matcher: (pointer, matcher))


def _rarely(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), st.none(), item)


def _sets(*sets: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return _rarely(st.sampled_from(sets))


_PLACES = st.one_of(
    _at("/name", "/usr/bin/git", "*", "/usr/*", "*git", "/usr/bin/g?t", "/bin/*"),
    _at("/cwd", "/srv/work", "*", "/srv/*", "/*k", "/srv"),
    _at("/args/1", "--version", "*", "--*", "--v?rsion", "-?"),
    st.sampled_from([("/args/*", Matcher(Operator.GLOB, pattern)) for pattern in ("*", "?*", "*i*", "--*")]),
)
_FOLDERS = _rarely(st.lists(st.sampled_from(FOLDERS), unique=True).map(lambda found: tuple(sorted(found))))
_BOUND = _rarely(st.integers(1, 9))
_LIMITS = st.builds(
    Constraints,
    st.lists(_PLACES, max_size=2).map(dict),
    st.builds(
        Process,
        _sets((GIT,), (GIT,), (OTHER, GIT), (OTHER,)),
        _sets(("PATH",), ("HOME", "PATH"), ("HOME",)),
        _sets((1000,), (0, 1000), (0,)),
        _FORMS,
        _FORMS,
    ),
    st.builds(
        Sandbox, _FOLDERS, _FOLDERS, _FOLDERS, _sets((), (80,), (80, 443)), st.sampled_from(((), (), ("pidfd",)))
    ),
    st.builds(Limits, *(_BOUND for _ in Limits._fields)),
    _BOUND,
)
# What is drawn first is drawn most.
_COMMANDS = st.just(world.COMMAND) | st.fixed_dictionaries(
    {
        "type": st.just("process.exec"),
        "name": st.sampled_from((b"/usr/bin/git", b"/bin/rm", b"/usr/bin/../bin/git")),
        "args": st.sampled_from(([b"git", b"--version"], [b"git", b"push", b"--version"], [b"git"])),
        "cwd": st.sampled_from((b"/srv/work", b"/srv/../etc", b"/")),
        "env": st.sampled_from(({b"PATH": b"x"}, {b"PATH": b"x", b"HOME": b"x"}, {})),
        "uid": st.sampled_from((1000, 0)),
    }
)


class Step(NamedTuple):
    """What is asked for at one place of a chain: it ``keeps`` to what is above it or not, and how deep it may go."""

    limits: Constraints
    keeps: bool
    deeper: int
    uses: int
    ttl: int


class Asked(NamedTuple):
    """A command, the executable that was measured, and how long and often it is asked for."""

    command: Mapping[str, Any]
    executable: bytes
    uses: int
    ttl: int


_STEPS = st.builds(
    Step,
    _LIMITS,
    st.sampled_from((True, True, True, False)),
    st.sampled_from((0, 0, 0, 0, 0, 0, 1)),
    st.integers(1, 9),
    st.integers(10, 900),
)
_CHAINS = st.sampled_from((3, 2, 1)).flatmap(lambda length: st.lists(_STEPS, min_size=length, max_size=length))
_ASKED = st.builds(
    Asked,
    st.just(world.COMMAND) | _COMMANDS,
    st.sampled_from((GIT, GIT, OTHER)),
    st.integers(1, 9),
    st.integers(10, 900),
)


def test_no_chain_of_an_authority_lets_through_what_a_grant_in_it_does_not_allow(tmp_path: Path) -> None:
    # A-63 A-64 V-47
    delegating = Delegating(House(tmp_path, MemoryLog(), rules()))
    seen = Counter[str]()

    @settings(max_examples=40)
    @given(_CHAINS, st.lists(_ASKED, min_size=1, max_size=2))
    def check(steps: list[Step], asked: list[Asked]) -> None:
        house, chain = delegating.house, list[tuple[Held, Constraints]]()
        step: Step | None = None
        for holder, own in zip(HOLDERS, steps, strict=False):
            step = _below(own, step, len(steps) - len(chain) - 1)
            wish = delegating.wish(holder, step.deeper, step.limits)
            above = chain[-1][0] if chain else None
            answer = house.answer(delegating.asked(wish, above, facts={}, uses=step.uses, ttl=step.ttl))
            if not isinstance(answer, Issued):
                seen["no grant"] += 1
                break
            chain.append((Held(answer, holder), step.limits))
        for one in asked if chain else ():
            held = chain[-1][0]
            facts = {"executable": one.executable}
            answer = house.answer(delegating.asked(one.command, held, facts=facts, uses=one.uses, ttl=one.ttl))
            if not isinstance(answer, Issued):
                seen["denied"] += 1
                continue
            seen[f"let through {len(chain)}"] += 1
            verdict = house.verify(answer.bundle, one.command, Facts(facts, constraints.ENFORCEMENT))
            assert verdict.code is None, verdict.failure
            _check(
                (answer.uses, artifact_of(answer).claims.exp or 0, terms_of(answer).constraints),
                [(above.issued.uses, above.issued.expires, limits) for above, limits in chain],
                one.command,
                one.executable,
            )
            depths = [record_of(above.issued).depth or 0 for above, _ in chain]
            assert all(high > low for high, low in itertools.pairwise(depths))

    check()
    print(seen)
    assert min(seen["no grant"], seen["denied"], seen["let through 2"] + seen["let through 3"]) > 0, seen


def test_kernel_admits_nothing_that_a_grant_above_it_does_not_allow() -> None:
    # V-46 V-47
    seen = Counter[Code | None]()

    @settings(max_examples=100)
    @given(_CHAINS, _STEPS)
    def check(steps: list[Step], last: Step) -> None:
        chain = list[Step]()
        above: Step | None = None
        for step in (*steps, last):
            above = _below(step, above, len(steps) - len(chain) - 1)
            limits = above.limits._replace(args={**above.limits.args, "/type": governed.GIT})
            chain.append(above._replace(limits=limits))
        made = governed.build(
            grants=[
                governed.Grant(
                    holder,
                    step.limits,
                    record={"uses": step.uses, "depth": step.deeper or None},
                    claims={"exp": NOW + step.ttl},
                )
                for holder, step in zip(HOLDERS, chain[:-1], strict=False)
            ],
            covers=chain[-1].limits,
            record={"uses": chain[-1].uses},
            claims={"exp": NOW + chain[-1].ttl},
        )
        facts = Facts(world.FACTS.measured, constraints.ENFORCEMENT)
        trust = parse_trust(governed.trust(made.log).encode())
        verdict = verify(bundle.encode(made.bundle), world.COMMAND, facts, trust, None, (), Clock(NOW))
        seen[verdict.code] += 1
        if verdict.code is None:
            *grants, artifact = ((step.uses, NOW + step.ttl, step.limits) for step in chain)
            _check(artifact, grants, world.COMMAND, GIT)
            depths = [step.deeper for step in chain[:-1]]
            assert all(high > low for high, low in itertools.pairwise(depths))

    check()
    print(seen)
    assert min(seen[None], seen[Code.DELEGATION_INVALID]) > 0, seen


def _below(step: Step, over: Step | None, left: int) -> Step:
    """Return a step; where it keeps to what is above it, the limits of that stand before its own.

    ``left`` is how many grants are to stand below it.
    """
    step = step._replace(deeper=step.deeper + left)
    if over is None or not step.keeps:
        return step
    own, above = step.limits, over.limits

    def keep(high: Any, low: Any) -> Any:
        return type(high)(*(one if one is not None else other for one, other in zip(high, low, strict=True)))

    limits = Constraints(
        args={**own.args, **above.args},
        process=keep(above.process, own.process),
        sandbox=keep(above.sandbox, own.sandbox)._replace(
            require=tuple({*above.sandbox.require, *own.sandbox.require})
        ),
        limits=keep(above.limits, own.limits),
        lease_s=own.lease_s if above.lease_s is None else above.lease_s,
    )
    return step._replace(limits=limits, uses=min(step.uses, over.uses), ttl=min(step.ttl, over.ttl))


Bounds = tuple[int, int, Constraints]


def _check(artifact: Bounds, grants: Sequence[Bounds], command: Mapping[str, Any], executable: Any) -> None:
    """Assert that every grant allows the command, as often and as long, and all that it may do while it runs."""
    uses, end, limits = artifact
    for most, last, above in grants:
        assert uses <= most
        assert end <= last
        assert _allows(above, command, executable)
        assert _confines(limits, above)


def _allows(limits: Constraints, command: Mapping[str, Any], executable: Any) -> bool:
    """Say whether limits allow a command."""
    texts = {key: value.decode() for key, value in command.items() if isinstance(value, bytes)}
    args = [argument.decode() for argument in command["args"]]
    places = {"/name": [texts["name"]], "/cwd": [texts["cwd"]], "/args/1": args[1:2], "/args/*": args}
    wanted = {pointer: matcher for pointer, matcher in limits.args.items() if pointer != "/type"}
    return (
        all(_is(matcher, text) for pointer, matcher in wanted.items() for text in places[pointer])
        and ("/args/1" not in wanted or len(args) > 1)
        and (limits.process.executables is None or executable in limits.process.executables)
        and (limits.process.env is None or {name.decode() for name in command["env"]} <= set(limits.process.env))
        and (limits.process.uid is None or command["uid"] in limits.process.uid)
    )


def _is(matcher: Matcher, text: str) -> bool:
    operator, operand = matcher
    if operator is Operator.SUBPATH:
        return _is_below(text, operand)
    if operator is Operator.GLOB:
        pattern = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in operand)
        return re.fullmatch(pattern, text) is not None
    if operator is Operator.PREFIX:
        return bool(text[: len(operand)] == operand)
    return text in (operand if operator is Operator.ONE_OF else (operand,))


def _is_below(path: str, top: str) -> bool:
    parts = PurePosixPath(path).parts
    return parts[:1] == ("/",) and ".." not in parts and PurePosixPath(path).is_relative_to(top)


def _confines(below: Constraints, above: Constraints) -> bool:
    """Say whether a process is confined below at least as it is above."""
    bounds = zip((*below.limits, below.lease_s), (*above.limits, above.lease_s), strict=True)
    folders = zip(below.sandbox[:3], above.sandbox[:3], strict=True)
    forms = zip(below.process[3:], above.process[3:], strict=True)
    ports = (below.sandbox.ports, above.sandbox.ports)
    return (
        all(high is None or (low is not None and low <= high) for low, high in bounds)
        and all(
            tops is None or (paths is not None and all(any(_is_below(one, top) for top in tops) for one in paths))
            for paths, tops in folders
        )
        and all((low, high) != ("path", "sealed") for low, high in forms)
        and (ports[1] is None or (ports[0] is not None and set(ports[0]) <= set(ports[1])))
        and set(above.sandbox.require) <= set(below.sandbox.require)
    )
