"""AgentDojo's suites as one JSON object: tools as MCP would list them, tasks, injections, and the calls of both.

    {suite: {"tools": [...], "known": [...], "tasks": {id: {"prompt", "calls"}}, "injections": {id: {"goal", "calls"}}}}

``calls`` are the ground truths: what an agent calls that does the task, or falls for the injection, in the suite's
environment without any injection in it. ``known`` is what the user's own records name there before the task: who stands
in the address book, whom the account has paid before, who and what is in the workspace. Nothing of this is kept in the
project. Runs in the environment of this oracle, as a program of its own; which release of the tasks is its argument.
"""

import json
import sys
from typing import Any

from agentdojo.functions_runtime import FunctionCall
from agentdojo.task_suite.load_suites import get_suites


def plain(value: Any) -> Any:
    """Return an argument as JSON; a call among the arguments stands for a result that only the run knows."""
    if isinstance(value, FunctionCall):
        return f"<result of {value.function}>"
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def calls(found: list[FunctionCall]) -> list[dict[str, Any]]:
    return [{"tool": call.function, "arguments": plain(dict(call.args))} for call in found]


def known(environment: Any) -> list[str]:
    """Return the names in the user's own records."""
    names: set[str] = set()
    if (inbox := getattr(environment, "inbox", None)) is not None:
        names |= {str(contact.email) for contact in inbox.contact_list}
    if (account := getattr(environment, "bank_account", None)) is not None:
        past = [*account.transactions, *account.scheduled_transactions]
        names |= {entry.recipient for entry in past if entry.recipient != account.iban}
    if (slack := getattr(environment, "slack", None)) is not None:
        names |= {*slack.users, *slack.channels}
    return sorted(names)


def suite(found: Any) -> dict[str, Any]:
    def environment() -> Any:
        return found.load_and_inject_default_environment({})

    def truth(task: Any) -> list[dict[str, Any]]:
        prepare = getattr(task, "init_environment", lambda given: given)
        return calls(task.ground_truth(prepare(environment())))

    return {
        "tools": [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters.model_json_schema()}
            for tool in found.tools
        ],
        "known": known(environment()),
        "tasks": {
            name: {"prompt": task.PROMPT, "calls": truth(task)} for name, task in sorted(found.user_tasks.items())
        },
        "injections": {
            name: {"goal": task.GOAL, "calls": truth(task)} for name, task in sorted(found.injection_tasks.items())
        },
    }


if __name__ == "__main__":
    json.dump({name: suite(found) for name, found in get_suites(sys.argv[1]).items()}, sys.stdout)
