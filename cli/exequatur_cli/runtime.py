"""The runtime's half of a command: what is about to run, and the offline verdict on a bundle for it."""

import os
from pathlib import Path

from exequatur_gate import clock
from exequatur_verifier import action, host, verify
from exequatur_verifier.action import Descriptor
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Memory, Proof
from exequatur_verifier.trust import Trust
from exequatur_verifier.verdict import Verdict

# An action that nothing is: a verdict without a command still lists every step that does not need one.
NO_ACTION: Descriptor = {"type": "none", "name": "none", "resource": "none", "args": {}}


def read_action(path: Path) -> Descriptor:
    """Return the action that a JSON file spells: {"type", "name", "resource", "args"}; raise ``MalformedError``."""
    descriptor = action.parse_json_arguments(path.read_bytes())
    action.check(descriptor)
    return descriptor


def measure(command_line: tuple[str, ...]) -> tuple[Descriptor, Facts]:
    """Return the action that a command line is here and now, and what was measured of it."""
    argv = [os.fsencode(argument) for argument in command_line]
    command = host.measure(argv, cwd=os.fsencode(Path.cwd()), environ=os.environb, enforcement=host.offered())
    return command.descriptor, command.facts


def verdict_on(
    bundle: bytes | None,
    action: Descriptor,
    facts: Facts,
    trust: Trust,
    memory: Memory | None,
    proofs: tuple[Proof, ...],
) -> Verdict:
    """Return the verdict at this moment."""
    return verify(bundle, action, facts, trust, memory, proofs, clock.read())
