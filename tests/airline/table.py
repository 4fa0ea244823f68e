"""What the airline's policy says of the 577 calls: the tables in ``specs/airline-decisions.md``.

    python -m tests.airline.table            asks about every call, and compares it with the page
    python -m tests.airline.table --write    writes the tables there

The tests compare as the first of these does.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from exequatur_issuer import mapping, policyset, publish
from exequatur_issuer.engine import Answer
from exequatur_verifier.action import parse_json_arguments
from tests.airline.corpus import DESK, POLICY, Call, calls
from tests.data import ROOT
from tests.support import tables

PAGE: Final = ROOT / "specs" / "airline-decisions.md"
NOW: Final = 1_715_803_200  # 2024-05-15 15:00 EST, the day on which the prose is set.
CLAIMS: Final[Mapping[str, Mapping[str, Any]]] = {"unconfirmed": {}, "confirmed": {"confirmed": True}}
NONE: Final = "–"


class Asked(NamedTuple):
    """One call with the answer to it, as its request says that the traveller has confirmed it, or does not."""

    call: Call
    claimed: str
    answer: Answer

    @property
    def why(self) -> tuple[str, ...]:
        """The sentence of each policy that denied it, or the code where none did."""
        code = (f"{self.answer.code}.",)
        return tuple(policy.annotations["doc"] for policy in self.answer.determining) or code


def ask() -> Iterator[Asked]:
    """Ask about every call twice: confirmed and not."""
    engine, rules = publish.load_set(policyset.read(POLICY))
    for call in calls():
        arguments = parse_json_arguments(call.arguments)
        for claimed, claims in CLAIMS.items():
            query = mapping.build_query(
                {"type": "mcp.tool", "name": call.tool, "resource": DESK, "args": arguments},
                requester="urn:example:agent",
                claims=claims,
                now=NOW,
                rules=rules,
                entity_types=engine.entity_types,
            )
            yield Asked(call, claimed, engine.decide(query))


def make(asked: list[Asked]) -> dict[str, str]:
    """Return the tables by name."""
    return {
        "tools": tables.render(
            ("tool", "calls", "allowed unconfirmed", "allowed confirmed", "denied unconfirmed", "denied confirmed"),
            _tools(asked),
        ),
        "reasons": tables.render(("tool", "denied because", "unconfirmed", "confirmed"), _reasons(asked)),
        "denied though confirmed": tables.render(("run", "turn", "tool", "policy", "why"), _denials(asked)),
    }


def _tools(asked: list[Asked]) -> Iterator[tuple[object, ...]]:
    count = Counter((one.call.tool, one.claimed, one.answer.allowed) for one in asked)
    total: Counter[tuple[str, bool]] = Counter()
    for (_, claimed, allowed), number in count.items():
        total[claimed, allowed] += number
    for tool in sorted({one.call.tool for one in asked}):
        calls_made = count[tool, "confirmed", True] + count[tool, "confirmed", False]
        yield (f"`{tool}`", calls_made, *(count[tool, claimed, yes] for yes in (True, False) for claimed in CLAIMS))
    yield ("all", len(asked) // 2, *(total[claimed, yes] for yes in (True, False) for claimed in CLAIMS))


def _reasons(asked: list[Asked]) -> Iterator[tuple[object, ...]]:
    count = Counter((one.call.tool, why, one.claimed) for one in asked if not one.answer.allowed for why in one.why)
    for tool, why in sorted({(tool, why) for tool, why, _ in count}):
        yield (f"`{tool}`", why, *(count[tool, why, claimed] or NONE for claimed in CLAIMS))


def _denials(asked: list[Asked]) -> Iterator[tuple[object, ...]]:
    for one in asked:
        if one.claimed == "confirmed" and not one.answer.allowed:
            names = ", ".join(f"`{name}`" for name in one.answer.policy_ids)
            yield one.call.run, one.call.turn, f"`{one.call.tool}`", names, " ".join(one.why)


def main() -> int:
    """Ask about everything, and write or compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.airline.table", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is found instead of comparing it")
    write = parser.parse_args().write
    made = make(list(ask()))
    if write:
        tables.replace(PAGE, made)
        return 0
    differing = tables.differences(PAGE, made)
    for name in differing:
        sys.stderr.write(f"{name}:\n{made.get(name, 'is not made')}\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
