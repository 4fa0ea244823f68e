"""Matchers: what one argument may be, and when one matcher admits no more than another (specs/01 §6.1).

    exact v        equal, and of the same type
    one_of [v…]    equal to one of them
    prefix s       text that begins with s
    subpath p      the path p, or one below it
    range [lo, hi] a number between them, both included; null is open
    glob p         ``*`` any run, ``?`` one character; the case matters
    url_host [h…]  an http(s) URL of one of these hosts (``*.h``: of a host below h)

Byte strings are matched as the UTF-8 text they hold; bytes that hold none match nothing but ``exact``.
"""

import re
from enum import Enum
from typing import Any, Final, NamedTuple

from . import cbor, shape
from .errors import MalformedError

_URL: Final = re.compile(r"https?://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?#][\x21-\x5b\x5d-\x7e]*)?")
_WILDCARD: Final = re.compile(r"[*?]")


class Operator(Enum):
    """The operators, by their name on the wire."""

    EXACT = "exact"
    ONE_OF = "one_of"
    PREFIX = "prefix"
    SUBPATH = "subpath"
    RANGE = "range"
    GLOB = "glob"
    URL_HOST = "url_host"


class Matcher(NamedTuple):
    """An operator and its operand: ``[operator, operand]`` on the wire."""

    operator: Operator
    operand: Any

    @property
    def as_array(self) -> bool:
        """Records are maps, matchers are pairs (``shape.plain``)."""
        return True


def _bound(value: Any) -> int | None:
    return None if value is None else shape.integer(value)


_OPERANDS: Final[dict[Operator, shape.Shape[Any]]] = {
    Operator.EXACT: shape.anything,
    Operator.ONE_OF: shape.many(shape.anything),
    Operator.PREFIX: shape.text,
    Operator.SUBPATH: shape.text,
    Operator.RANGE: shape.pair(_bound, _bound, lambda low, high: (low, high)),
    Operator.GLOB: shape.text,
    Operator.URL_HOST: shape.many(shape.text),
}


def parse_matcher(value: Any) -> Matcher:
    """Parse ``[operator, operand]``; raise ``MalformedError``."""
    matcher = shape.pair(shape.one_of(Operator), shape.anything, Matcher)(value)
    operand = _OPERANDS[matcher.operator](matcher.operand)
    if matcher.operator is Operator.SUBPATH and not is_under(operand, "/"):
        raise MalformedError("not an absolute path without dots")
    return Matcher(matcher.operator, operand)


def matches(matcher: Matcher, value: Any) -> bool:
    """Say whether ``value`` is what the matcher admits. Linear in the value for a pattern of bounded length."""
    operand = matcher.operand
    if matcher.operator is Operator.EXACT:
        return _equal(value, operand)
    if matcher.operator is Operator.ONE_OF:
        return any(_equal(value, item) for item in operand)
    if matcher.operator is Operator.RANGE:
        low, high = operand
        return type(value) in (int, float) and (low is None or low <= value) and (high is None or value <= high)
    text = _text(value)
    if text is None:
        return False
    if matcher.operator is Operator.PREFIX:
        return text.startswith(operand)
    if matcher.operator is Operator.SUBPATH:
        return is_under(text, operand)
    if matcher.operator is Operator.GLOB:
        return _glob(operand, text)
    url = _URL.fullmatch(text)
    return url is not None and any(_host_is(url["host"], host) for host in operand)


def is_subset(child: Matcher, parent: Matcher) -> bool:
    """Say whether ``parent`` admits whatever ``child`` admits; ``False`` where that cannot be told."""
    if child.operator is parent.operator and _equal(child.operand, parent.operand):
        return True
    if child.operator is Operator.EXACT:
        return matches(parent, child.operand)
    if child.operator is Operator.ONE_OF:
        return all(matches(parent, item) for item in child.operand)
    if parent.operator is Operator.RANGE and child.operator is Operator.RANGE:
        (low, high), (least, most) = child.operand, parent.operand
        return (least is None or (low is not None and low >= least)) and (
            most is None or (high is not None and high <= most)
        )
    if parent.operator is Operator.SUBPATH and child.operator is Operator.SUBPATH:
        return is_under(child.operand, parent.operand)
    if parent.operator is Operator.URL_HOST and child.operator is Operator.URL_HOST:
        return all(any(_host_is(host, top) or host == top for top in parent.operand) for host in child.operand)
    prefix = _prefix_of_all(child)
    literal = _whole_prefix(parent)
    return prefix is not None and literal is not None and prefix.startswith(literal)


def is_under(path: str, top: str) -> bool:
    """Say whether ``path`` is absolute, without empty, ``.`` or ``..`` steps, and is ``top`` or below it."""
    if not path.startswith("/") or (path != "/" and any(step in ("", ".", "..") for step in path[1:].split("/"))):
        return False
    return top in {"/", path} or path.startswith(top + "/")


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _equal(value: Any, operand: Any) -> bool:
    if type(value) is bytes and type(operand) is str:
        return value == operand.encode()
    try:
        # Encodings keep apart what Python calls equal: 1, 1.0 and true.
        return cbor.encode(value, floats=True) == cbor.encode(operand)
    except ValueError:
        return False


def _glob(pattern: str, text: str) -> bool:
    """Match greedily: each run between stars is looked for after the last, which needs no way back."""
    first, *rest = pattern.split("*")
    if not rest:
        return len(text) == len(first) and _run_at(first, text, 0)
    last = rest.pop()
    end = len(text) - len(last)
    if not _run_at(first, text, 0) or end < len(first) or not _run_at(last, text, end):
        return False
    position = len(first)
    for run in rest:
        while position + len(run) <= end and not _run_at(run, text, position):
            position += 1
        position += len(run)
        if position > end:
            return False
    return True


def _run_at(run: str, text: str, start: int) -> bool:
    piece = text[start : start + len(run)]
    return len(piece) == len(run) and all(wanted in ("?", got) for wanted, got in zip(run, piece, strict=True))


def _prefix_of_all(matcher: Matcher) -> str | None:
    """Return text with which everything begins that the matcher admits."""
    if matcher.operator in (Operator.PREFIX, Operator.SUBPATH):
        return str(matcher.operand)
    return _WILDCARD.split(matcher.operand)[0] if matcher.operator is Operator.GLOB else None


def _whole_prefix(matcher: Matcher) -> str | None:
    """Return the prefix that is all the matcher asks for, if that is so."""
    if matcher.operator is Operator.PREFIX:
        return str(matcher.operand)
    if (
        matcher.operator is Operator.GLOB
        and _WILDCARD.search(matcher.operand[:-1]) is None
        and matcher.operand[-1] == "*"
    ):
        return str(matcher.operand[:-1])
    return None


def _host_is(host: str, permitted: str) -> bool:
    return host == permitted or (permitted.startswith("*.") and host.endswith(permitted[1:]) and host != permitted[1:])
