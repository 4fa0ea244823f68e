"""The conditions of a policy one by one, and what follows from them (specs/09 §4).

A policy applies when all of its conditions hold: those of its scope, and every part of its ``when`` and
``unless`` clauses. Here each is a value in Cedar's own JSON, and ``Known`` says what must be so where all of
them hold:

    context.program == "git"            follows from    ["git"].contains(context.program)
    context.cwd like "/srv/*"           follows from    context.cwd == "/srv/work"
    context.uid > 10                    follows from    context.uid == 1000
    principal is Requester              follows from    principal == Requester::"alice"

Only what the text proves is said to follow or to be impossible; everything else is unknown, which is never
taken for either. Cedar's evaluation stops at the first error, so what follows also evaluates without one.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

# An expression of Cedar's JSON: one operator, and what it works on.
Condition = Mapping[str, Any]

_SCOPE: Final = ("principal", "action", "resource")
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">="})

# A literal as something that compares like Cedar does: by its type first, because to Python, True is 1.
Value = tuple[Any, ...]


class Test(NamedTuple):
    """Whether something holds of a term: the relation, what it relates to, and whether it or its contrary is meant."""

    term: str
    relation: str
    to: Any
    positive: bool


# What would prove a condition: any one of these, and of it every test.
Goal = tuple[tuple[Test, ...], ...]


def conditions(tree: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions of a policy's tree, in the order of their evaluation. All of them must hold."""
    found = [condition for name in _SCOPE for condition in _of_scope(name, tree[name])]
    for clause in tree["conditions"]:
        found += _split(clause["body"], positive=clause["kind"] == "when")
    return found


def goal(condition: Condition) -> Goal:
    """Return what would prove a condition."""
    found = [tuple(_tests(condition))]
    operator, (left, _) = _operands(condition)
    parts: list[Condition] = []
    # Evaluated from the left, a choice is made before its right side could fail.
    if operator == "||":
        parts = list(_split(left, positive=True))
    elif operator == "!" and (inner := _operands(left))[0] == "&&":
        parts = list(_split(inner[1][0], positive=False))
    if len(parts) == 1:
        found += goal(parts[0])
    elif parts:
        found.append(tuple(test for part in parts for test in _tests(part)))
    return tuple(found)


def mentions(condition: Condition, variable: str) -> bool:
    """Say whether a condition reads a variable: ``principal``, ``action``, ``resource`` or ``context``."""
    pending: list[Any] = [condition]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            if value.get("Var") == variable:
                return True
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return False


class Known:
    """What must be so where all of some conditions hold."""

    def __init__(self, known: Iterable[Condition]) -> None:
        """Gather what the conditions say of each term."""
        self._of: dict[str, list[Test]] = {}
        self._said: dict[str, list[Condition]] = {}
        for condition in known:
            for test in _tests(condition):
                self._of.setdefault(test.term, []).append(test)
                self._said.setdefault(test.term, []).append(condition)
        self._tests = frozenset(test for tests in self._of.values() for test in tests)

    def contradiction(self) -> str | None:
        """Return a term of which two things are said that cannot both be so, as Cedar's JSON; ``None`` if none is."""
        for term, tests in sorted(self._of.items()):
            if self._is_impossible(term, tests):
                return term
        return None

    def about(self, term: str) -> list[Condition]:
        """Return the conditions that say something of a term."""
        return self._said.get(term, [])

    def proves(self, goals: Iterable[Goal]) -> bool:
        """Say whether all of what ``goals`` stand for holds wherever these conditions do."""
        return all(any(all(map(self._shows, tests)) for tests in goal) for goal in goals)

    def _shows(self, test: Test) -> bool:
        if test in self._tests:
            return True
        tests = self._of.get(test.term, [])
        values = self._values(test.term)
        if values and all(_holds(test, value) is True for value in values):
            return True
        low, high = _bounds(tests)
        match test.relation, test.positive:
            case ("<", True):
                return high is not None and high < test.to
            case ("<", False):
                return low is not None and low >= test.to
            case (">", True):
                return low is not None and low > test.to
            case (">", False):
                return high is not None and high <= test.to
            case ("one of", False):
                excluded = frozenset[Value]().union(*(one.to for one in _of(tests, "one of", positive=False)))
                return bool(test.to <= excluded)
            case ("in", True):
                return any(one.to <= test.to for one in _of(tests, "in", positive=True))
            case ("in", False):
                return any(one.to >= test.to for one in _of(tests, "in", positive=False))
            case ("is", False):
                return any(one.to != test.to for one in _of(tests, "is", positive=True))
            case _:
                return False

    def _values(self, term: str) -> frozenset[Value] | None:
        """Return the only values that a term can have, where they are known."""
        tests = self._of.get(term, [])
        named = [test.to for test in _of(tests, "one of", positive=True)]
        if not named:
            return None
        values: frozenset[Value] = frozenset.intersection(*named)
        return frozenset(value for value in values if all(_holds(test, value) is not False for test in tests))

    def _is_impossible(self, term: str, tests: list[Test]) -> bool:
        values = self._values(term)
        low, high = _bounds(tests)
        return (
            any(test._replace(positive=not test.positive) in self._tests for test in tests)
            or (values is not None and not values)
            or (low is not None and high is not None and low > high)
            or len({test.to for test in _of(tests, "is", positive=True)}) > 1
        )


def _of(tests: Iterable[Test], relation: str, *, positive: bool) -> Iterator[Test]:
    return (test for test in tests if (test.relation, test.positive) == (relation, positive))


def _bounds(tests: Iterable[Test]) -> tuple[int | None, int | None]:
    """Return the least and the greatest number that tests leave."""
    lows, highs = [], []
    for test in tests:
        match test.relation, test.positive:
            case ("<", True):
                highs.append(test.to - 1)
            case ("<", False):
                lows.append(test.to)
            case (">", True):
                lows.append(test.to + 1)
            case (">", False):
                highs.append(test.to)
    return max(lows, default=None), min(highs, default=None)


def _holds(test: Test, value: Value) -> bool | None:
    """Return whether a test holds of a value; ``None`` where only the entities would tell."""
    match test.relation, value:
        case ("one of", _):
            result = value in test.to
        case ("<", ("number", number)):
            result = number < test.to
        case (">", ("number", number)):
            result = number > test.to
        case ("like", ("text", text)):
            result = re.fullmatch(test.to, text, re.DOTALL) is not None
        case ("is", ("entity", kind, _)):
            result = kind == test.to
        case ("in", ("entity", *_)) if value in test.to:
            result = True
        case _:
            return None
    return bool(result) is test.positive


def _of_scope(name: str, constraint: Mapping[str, Any]) -> Iterator[Condition]:
    """Yield what one part of a scope demands."""
    variable = {"Var": name}
    match constraint:
        case {"op": "==", "entity": entity}:
            yield {"==": {"left": variable, "right": {"Value": {"__entity": entity}}}}
        case {"op": "in", "entity": entity}:
            yield {"in": {"left": variable, "right": {"Value": {"__entity": entity}}}}
        case {"op": "in", "entities": entities}:
            yield {"in": {"left": variable, "right": {"Set": [{"Value": {"__entity": one}} for one in entities]}}}
        case {"op": "is", "entity_type": kind}:
            yield {"is": {"left": variable, "entity_type": kind}}
            if "in" in constraint:
                yield from _of_scope(name, {"op": "in", **constraint["in"]})


def _split(condition: Condition, *, positive: bool) -> Iterator[Condition]:
    """Yield the parts of a condition, or of its contrary, that must all hold."""
    operator, (left, right) = _operands(condition)
    if operator == "!":
        yield from _split(left, positive=not positive)
    elif operator == ("&&" if positive else "||"):
        yield from _split(left, positive=positive)
        yield from _split(right, positive=positive)
    elif condition != {"Value": positive}:
        yield condition if positive else {"!": {"arg": condition}}


def _operands(condition: Condition) -> tuple[str, tuple[Any, Any]]:
    """Return the operator, and its one operand or its two; ``None`` in the place of what is not there."""
    ((operator, operands),) = condition.items()
    if not isinstance(operands, Mapping):
        return operator, (None, None)
    return operator, (operands.get("left", operands.get("arg")), operands.get("right"))


def _tests(condition: Condition) -> Iterator[Test]:
    """Yield what a condition that is no conjunction says, as tests of terms that must all hold."""
    operator, (left, right) = _operands(condition)
    positive = operator != "!"
    if not positive:
        condition = left
        operator, (left, right) = _operands(condition)
    if operator == "!=":
        operator, positive = "==", not positive
    one, other = _value(left), _value(right)
    if operator == "==" and (one is None) != (other is None):
        yield Test(_key(left if one is None else right), "one of", frozenset((one or other,)), positive)
    elif operator == "==" and one is None:
        yield Test(json.dumps(sorted((_key(left), _key(right)))), "equal", None, positive)
    elif operator == "contains" and other is None and (values := _values(left)) is not None:
        yield Test(_key(right), "one of", values, positive)
    elif operator in _COMPARISONS:
        yield _comparison(operator, left, right, positive=positive)
    elif operator == "like":
        parts = condition["like"]["pattern"]
        pattern = "".join(".*" if part == "Wildcard" else re.escape(part["Literal"]) for part in parts)
        yield Test(_key(left), "like", pattern, positive)
    elif operator == "in" and (values := _values({"Set": [right]} if other else right)) is not None:
        yield Test(_key(left), "in", values, positive)
    elif operator == "is" and "in" not in condition["is"]:
        yield Test(_key(left), "is", condition["is"]["entity_type"], positive)
    elif operator == "is" and positive:
        yield Test(_key(left), "is", condition["is"]["entity_type"], positive)
        yield from _tests({"in": {"left": left, "right": condition["is"]["in"]}})
    else:
        yield Test(_key(condition), "one of", frozenset((("truth", True),)), positive)


def _comparison(operator: str, left: Condition, right: Condition, *, positive: bool) -> Test:
    """Return a comparison as one with ``<`` or ``>`` of a term with a number, where one side is a number."""
    if operator in ("<=", ">="):
        operator, positive = (">" if operator == "<=" else "<"), not positive
    one, other = _value(left), _value(right)
    if one is None and other is not None:
        return Test(_key(left), operator, other[1], positive)
    if one is not None and other is None:
        return Test(_key(right), "<" if operator == ">" else ">", one[1], positive)
    if operator == ">":
        left, right = right, left
    return Test(json.dumps([_key(left), _key(right)]), "less", None, positive)


def _values(condition: Condition) -> frozenset[Value] | None:
    """Return the members of a set that is written out."""
    members = [_value(member) for member in condition.get("Set", [None])]
    return None if None in members else frozenset(member for member in members if member is not None)


def _value(condition: Condition | None) -> Value | None:
    """Return a literal; ``None`` for anything else."""
    match condition:
        case {"Value": bool(value)}:
            return ("truth", value)
        case {"Value": int(value)}:
            return ("number", value)
        case {"Value": str(value)}:
            return ("text", value)
        case {"Value": {"__entity": {"type": kind, "id": name}}}:
            return ("entity", kind, name)
        case _:
            return None


def _key(condition: Condition) -> str:
    return json.dumps(condition, sort_keys=True)
