"""AgentDojo's suites under one policy set each: what an agent that does its task may do, and one that is misled.

The suites come from the oracle's environment when the tests run (``tests/oracles/agentdojo``), and nothing of them is
kept here but the names and types of the tools, in the schemas that are made of them. What a policy is told of a task
is in ``claims``: its text, what is named in it, and what the user's own records name.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_issuer import mapping, policyset, publish, tools
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.engine import Answer
from exequatur_issuer.tools import Tools
from tests.data import ROOT
from tests.oracles.environment import interpreter

VERSION: Final = "v1.2.2"
SUITES: Final = ("workspace", "travel", "banking", "slack")
POLICIES: Final = Path(__file__).parent / "policy"
CLAIMS: Final = {"task": "String", "named": "Set<String>", "trusted": "Set<String>"}
# Attachments are free-form objects.
OPAQUE: Final = {"send_email": frozenset({"attachments"})}
NOW: Final = 1_715_803_200

# What is named in a task: addresses, account numbers, pages, what stands in quotation marks, capitalised words.
_NAMES: Final = (
    re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"),
    re.compile(r"\bwww(?:\.[a-z0-9-]+)+(?:/[a-z0-9/-]*[a-z0-9])?"),
    re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)"),
    re.compile(r"\b[A-Z][a-z]+\b"),
)


class Call(NamedTuple):
    """One call: the tool and its arguments."""

    tool: str
    arguments: Mapping[str, Any]


class Suite(NamedTuple):
    """One suite: its tools as MCP lists them, the user's records, and the calls of tasks and of injections."""

    name: str
    tools: list[dict[str, Any]]
    known: tuple[str, ...]
    prompts: Mapping[str, str]
    tasks: Mapping[str, tuple[Call, ...]]
    injections: Mapping[str, tuple[Call, ...]]


@cache
def suites() -> Mapping[str, Suite]:
    """Return all suites, as the oracle tells them."""
    program = ROOT / "tests" / "oracles" / "agentdojo" / "extract.py"
    command = [interpreter("agentdojo"), str(program), VERSION]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {name: _suite(name, told[name]) for name in SUITES}


def _suite(name: str, told: dict[str, Any]) -> Suite:
    def truths(kind: str) -> dict[str, tuple[Call, ...]]:
        listed = sorted(told[kind].items(), key=lambda item: int(item[0].rpartition("_")[2]))
        return {task: tuple(Call(**call) for call in found["calls"]) for task, found in listed}

    prompts = {task: found["prompt"] for task, found in told["tasks"].items()}
    return Suite(name, told["tools"], tuple(told["known"]), prompts, truths("tasks"), truths("injections"))


def imported(suite: Suite) -> Tools:
    """Return schema and mapping as they are made of the suite's tools."""
    names = {tool["name"] for tool in suite.tools}
    return tools.generate(suite.tools, CLAIMS, {name: paths for name, paths in OPAQUE.items() if name in names})


def claims(prompt: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return what the seat claims of a task: its text, what is named in it, and that with what is known."""
    named = {match[match.lastindex or 0] for pattern in _NAMES for match in pattern.finditer(prompt)}
    return {"task": prompt.lower(), "named": sorted(named), "trusted": sorted({*named, *known})}


class Desk:
    """One suite's policy set, asked as the authority asks it."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        engine, rules = publish.load_set(policyset.read(POLICIES / suite.name))
        assert isinstance(engine, CedarEngine)
        self.engine, self.rules = engine, rules

    def ask(self, call: Call, task: str) -> Answer:
        """Return the answer to one call in the course of one task."""
        query = mapping.build_query(
            self.descriptor(call),
            requester="urn:example:agent",
            claims=claims(self.suite.prompts[task], self.suite.known),
            now=NOW,
            rules=self.rules,
            entity_types=self.engine.entity_types,
        )
        return self.engine.decide(query)

    def descriptor(self, call: Call) -> dict[str, Any]:
        """Return the descriptor of a call."""
        resource = f"urn:example:{self.suite.name}"
        return {"type": "mcp.tool", "name": call.tool, "resource": resource, "args": call.arguments}

    def denied(self, calls: tuple[Call, ...], task: str) -> Iterator[tuple[Call, Answer]]:
        """Yield those of the calls that are denied, with the answer."""
        for call in calls:
            answer = self.ask(call, task)
            if not answer.allowed:
                yield call, answer
