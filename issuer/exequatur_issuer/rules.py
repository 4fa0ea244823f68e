"""The declared part of the mapping from arguments to typed context: ``mapping.toml`` (specs/09 §3).

Cedar has no lengths and no fractions beyond four places, and its sets forget how often and in which order
something came. So a policy set declares, by action, what to count and what is a decimal, which texts are names of an
enumeration, and what is shown by its digest only:

    [actions.book_reservation]
    decimal = ["payments.amount"]                # fractions here become Cedar decimals; whole numbers too
    enum = { "cabin" = "Cabin" }                 # the entity of that enumerated type
    opaque = ["extras"]                          # a text with the digest of whatever stands there
    counts = [
      { of = "passengers" },                     # adds passengers_count
      { of = "payments", field = "id", prefix = "gift_", count = "gift_count" },
    ]

An action is the name of a tool, or ``process.exec``; ``of`` names a list among its arguments, and a dotted
path goes through records and the elements of lists.
"""

import re
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from .policyset import MAPPING, PolicySetError, check_text

_LINE: Final = re.compile(r"\(at line ([0-9]+),")
_COUNT_KEYS: Final = frozenset({"of", "count", "field", "prefix"})


class Count(NamedTuple):
    """Add ``name``: how many elements ``of`` has.

    With a field, only those count whose text there begins with ``prefix``.
    """

    name: str
    of: str
    field: str | None = None
    prefix: str = ""


class ActionRules(NamedTuple):
    """What is declared for one action."""

    counts: tuple[Count, ...] = ()
    decimals: frozenset[str] = frozenset()
    enums: Mapping[str, str] = MappingProxyType({})
    opaque: frozenset[str] = frozenset()

    @property
    def declares_types(self) -> bool:
        """Whether some value is to become something else than it is."""
        return bool(self.decimals or self.enums or self.opaque)


Rules = Mapping[str, ActionRules]


def parse_rules(content: bytes) -> Rules:
    """Return the rules by action. Raises ``PolicySetError``; an unknown key is an error."""
    try:
        table = tomllib.loads(check_text(MAPPING, content))
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        raise PolicySetError(MAPPING, int(line[1]) if line else 0, str(error)) from None
    if not table.keys() <= {"actions"}:
        _refuse("the only table is `actions`")
    actions = _table(table.get("actions", {}), "actions")
    rules = {name: _action_rules(f"actions.{name}", value) for name, value in actions.items()}
    return MappingProxyType(rules)


def check_enums(rules: Rules, enumerations: frozenset[str]) -> None:
    """Raise ``PolicySetError`` if a declared enumeration is none of the schema's: any text would be its entity."""
    for action, declared in rules.items():
        for path, type in declared.enums.items():
            if type not in enumerations:
                _refuse(f"actions.{action}.enum: {path} has the type {type}, which the schema does not enumerate")


def _action_rules(place: str, value: object) -> ActionRules:
    table = _table(value, place)
    if not table.keys() <= {"counts", "decimal", "enum", "opaque"}:
        _refuse(f"{place} has `counts`, `decimal`, `enum` and `opaque` and nothing else")
    counts = tuple(_count(f"{place}.counts", item) for item in _list(table, "counts", place))
    names = [count.name for count in counts]
    if len(names) != len(set(names)):
        _refuse(f"{place}.counts adds one field twice")
    decimals = frozenset(_text(item, f"{place}.decimal") for item in _list(table, "decimal", place))
    enums = {
        path: _text(type, f"{place}.enum") for path, type in _table(table.get("enum", {}), f"{place}.enum").items()
    }
    opaque = frozenset(_text(item, f"{place}.opaque") for item in _list(table, "opaque", place))
    if decimals & enums.keys() or decimals & opaque or opaque & enums.keys():
        _refuse(f"{place} declares one path twice")
    return ActionRules(counts, decimals, MappingProxyType(enums), opaque)


def _count(place: str, value: object) -> Count:
    table = _table(value, place)
    if not table.keys() <= _COUNT_KEYS or ("field" in table) != ("prefix" in table) or "of" not in table:
        _refuse(f"{place}: a count has `of`, perhaps `count`, and both or neither of `field` and `prefix`")
    of = _text(table["of"], place)
    name = _text(table.get("count", f"{of}_count"), place)
    if "field" not in table:
        return Count(name, of)
    if "count" not in table:
        _refuse(f"{place}: a count by prefix needs a name of its own, `count`")
    return Count(name, of, _text(table["field"], place), _text(table["prefix"], place))


def _table(value: object, place: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _refuse(f"{place} is not a table")


def _list(table: dict[str, Any], key: str, place: str) -> list[Any]:
    value = table.get(key, [])
    return value if isinstance(value, list) else _refuse(f"{place}.{key} is not a list")


def _text(value: object, place: str) -> str:
    return value if isinstance(value, str) and value else _refuse(f"{place} holds something that is not text")


def _refuse(detail: str) -> NoReturn:
    raise PolicySetError(MAPPING, 0, detail)
