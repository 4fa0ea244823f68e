"""The calls that a model made at an airline's desk, from the shared inputs, and the policy for them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.data import DATA

CALLS = DATA / "inputs" / "tau-bench" / "airline-tool-calls.jsonl"
POLICY = Path(__file__).parent / "policy"

# The server that offers the tools, as descriptors name it.
DESK = "urn:example:airline:desk"

CHANGES = frozenset(
    {
        "book_reservation",
        "cancel_reservation",
        "send_certificate",
        "update_reservation_baggages",
        "update_reservation_flights",
    }
)


class Call(NamedTuple):
    """One call: the tool, its arguments as the model wrote them, and where in the recording it stands."""

    tool: str
    arguments: str
    run: str
    turn: int
    call_id: str


def calls() -> Iterator[Call]:
    """Yield all calls in the order of the recording. Call ids repeat: the recorder used them again."""
    with CALLS.open() as lines:
        for line in lines:
            entry = json.loads(line)
            yield Call(entry["tool"], entry["arguments"], entry["run"], entry["turn"], entry["call_id"])
