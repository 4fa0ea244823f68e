"""Vectors: all that ``verify`` is given and all that it answers, as files that any implementation can read.

``inputs.json`` holds bytes in lower-case hexadecimal, the trust policy as its text, and the action as its deterministic
encoding; the forms are written out in specs/vectors/README.md. ``read`` and ``write`` are each other's inverse.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_verifier import Clock, Facts, Memory, Proof, Verdict, action, parse_trust, verify
from exequatur_verifier.memory import KnownHead, KnownPolicy
from tests.data import ROOT

FOLDER: Final = ROOT / "specs" / "vectors"


class Vector(NamedTuple):
    """The inputs of one verification; the bundle is ``None`` where none was presented."""

    bundle: bytes | None
    trust: str
    action: bytes
    facts: Facts
    memory: Memory | None
    proofs: tuple[Proof, ...]
    now: Clock


def run(vector: Vector) -> Verdict:
    """Return the verdict on a vector."""
    return verify(
        vector.bundle,
        action.decode(vector.action),
        vector.facts,
        parse_trust(vector.trust.encode()),
        vector.memory,
        vector.proofs,
        vector.now,
    )


def write(vector: Vector, about: str) -> str:
    """Return ``inputs.json`` for a vector; the bundle is a file of its own."""
    return to_json(
        {
            "about": about,
            "trust": vector.trust,
            "action": vector.action,
            "facts": {
                "measured": vector.facts.measured,
                "enforcement": sorted(vector.facts.enforcement),
            },
            "memory": None if vector.memory is None else _memory(vector.memory),
            "proofs": [proof._asdict() for proof in vector.proofs],
            "now": vector.now._asdict(),
        }
    )


def read(folder: Path) -> Vector:
    """Return the vector that a folder holds."""
    document = json.loads((folder / "inputs.json").read_text())
    bundle = folder / "bundle.exq"
    return Vector(
        bundle.read_bytes() if bundle.exists() else None,
        document["trust"],
        bytes.fromhex(document["action"]),
        Facts(
            # Every fact but the host is a digest.
            {
                name: value if name == "host" else bytes.fromhex(value)
                for name, value in document["facts"]["measured"].items()
            },
            frozenset(document["facts"]["enforcement"]),
        ),
        None if document["memory"] is None else _read_memory(document["memory"]),
        tuple(
            Proof(**{**_read_octets(proof, "root1", "root2"), "path": tuple(map(bytes.fromhex, proof["path"]))})
            for proof in document["proofs"]
        ),
        Clock(**document["now"]),
    )


def expected(verdict: Verdict) -> str:
    """Return ``expected.json`` for a verdict: codes, statuses, and what an admitted artifact teaches."""
    failure, learned = verdict.failure, verdict.learned
    return to_json(
        {
            "code": None if failure is None else _name(failure.code),
            "step": None if failure is None else failure.number,
            "steps": [[step.number, step.status, _name(step.code)] for step in verdict.steps],
            "record": None if verdict.statement is None else verdict.statement.id,
            "ignored": len(verdict.ignored),
            "learned": None
            if failure is not None
            else {
                "heads": [head._asdict() for head in learned.heads],
                "floor": learned.floor,
                "policy": None if learned.policy is None else learned.policy._asdict(),
                "statuses": dict(learned.statuses),
            },
            "evidence": None
            if verdict.evidence is None
            else {name: head._asdict() for name, head in verdict.evidence._asdict().items()},
        }
    )


def to_json(value: Mapping[str, Any]) -> str:
    """Return a JSON object with bytes as hexadecimal, one member a line."""
    members = (
        f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False, default=bytes.hex)}" for key, item in value.items()
    )
    return "{\n  " + ",\n  ".join(members) + "\n}\n"


def _name(code: Any) -> str | None:
    return None if code is None else str(code.name)


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "generation": memory.generation,
        "heads": [head._asdict() for head in memory.heads.values()],
        "policies": [policy._asdict() for policy in memory.policies.values()],
        "floor": memory.floor,
        "clock": memory.clock._asdict(),
        "forked": sorted(memory.forked),
        "statuses": memory.statuses,
    }


def _read_memory(document: dict[str, Any]) -> Memory:
    heads = [
        KnownHead(**_read_octets(head, "root", "protected", "signature", "trust", "note")) for head in document["heads"]
    ]
    policies = [KnownPolicy(**_read_octets(policy, "id", "owner")) for policy in document["policies"]]
    return Memory(
        document["generation"],
        {head.origin: head for head in heads},
        {policy.id: policy for policy in policies},
        document["floor"],
        Clock(**document["clock"]),
        frozenset(document["forked"]),
        document["statuses"],
    )


def _read_octets(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return members | {name: bytes.fromhex(members[name]) for name in names if members[name] is not None}
