"""A case: the records of one execution and what leads from one to the next, drawn as a tree, or for other tools.

The order is that of ``exequatur_verifier.lineage``: edges are the links that the records themselves carry. Formats: a
tree for people, JSON, Graphviz dot, Mermaid, and PROV-JSON (W3C PROV-DM).
"""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from exequatur_issuer.content import ContentError, ContentStore
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import action, cbor, schema, statement
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import (
    Authorization,
    Decision,
    Enforcement,
    Kind,
    Outcome,
    Policy,
    Request,
    Verification,
)
from exequatur_verifier.statement import Statement


class Node(NamedTuple):
    """A record of the case: where it stands, and a sentence about it."""

    leaf_index: int
    statement: Statement
    summary: str

    @property
    def id(self) -> bytes:
        """The record id."""
        return self.statement.id


class Edge(NamedTuple):
    """A link: from the record that carries it to an earlier one."""

    record: bytes
    relation: str
    to: bytes


class Case(NamedTuple):
    """The records of one subject in their order, the policies they rest on, and the links between all of them."""

    subject: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def newest_subject(log: BlockingLog) -> str | None:
    """Return the subject of the newest request, or ``None`` if there is none."""
    found = log.find(kind=Kind.REQUEST, limit=1, newest_first=True)
    return found[0].sub if found else None


def collect(log: BlockingLog, subject: str, content: ContentStore | None) -> Case:
    """Return the case of a subject; with the content store, commands are shown that the log only commits to."""
    entries = {entry.record_id: entry for entry in log.find(sub=subject, limit=1 << 20)}
    parsed = {record: statement.parse(entry.statement) for record, entry in entries.items()}
    for one in list(parsed.values()):
        for link in one.record.links:
            if link.id not in parsed:
                entries[link.id] = log.get(link.id)
                parsed[link.id] = statement.parse(entries[link.id].statement)
    nodes = [Node(entries[record].leaf_index, one, _summary(one, content)) for record, one in parsed.items()]
    edges = [
        Edge(one.id, link.relation, link.id)
        for one in parsed.values()
        for link in one.record.links
        if link.id in parsed
    ]
    return Case(subject, tuple(sorted(nodes, key=lambda node: node.leaf_index)), tuple(edges))


def tree(case: Case) -> list[str]:
    """Return the case as lines: each record below the latest of those that it links to, then the policies."""
    by_id = {node.id: node for node in case.nodes}
    parent: dict[bytes, bytes] = {}
    for edge in case.edges:
        if (
            edge.relation != "policy"
            and by_id[edge.to].leaf_index > by_id[parent.get(edge.record, edge.to)].leaf_index - 1
        ):
            parent[edge.record] = edge.to
    children: dict[bytes | None, list[Node]] = {}
    for node in case.nodes:
        if node.statement.kind is not Kind.POLICY:
            children.setdefault(parent.get(node.id), []).append(node)
    lines = [case.subject]

    def draw(node: Node, indent: str, last: bool) -> None:
        lines.append(
            f"{indent}{'└─' if last else '├─'} {node.statement.kind.value}  {node.id.hex()}  entry {node.leaf_index}"
        )
        below = children.get(node.id, [])
        inner = indent + ("   " if last else "│  ")
        lines.append(f"{inner}{'│  ' if below else '   '}{node.summary}")
        for place, child in enumerate(below):
            draw(child, inner, place == len(below) - 1)

    roots = children.get(None, [])
    for place, node in enumerate(roots):
        draw(node, "", place == len(roots) - 1)
    policies = (node for node in case.nodes if node.statement.kind is Kind.POLICY)
    return [*lines, *(f"policy  {node.id.hex()}  entry {node.leaf_index}: {node.summary}" for node in policies)]


def to_object(case: Case) -> dict[str, Any]:
    """Return the case as a JSON object."""
    return {
        "subject": case.subject,
        "records": [
            {
                "index": node.leaf_index,
                "id": node.id,
                "kind": node.statement.kind.value,
                "issuer": node.statement.claims.iss,
                "key": node.statement.key_id,
                "iat": node.statement.claims.iat,
                "summary": node.summary,
                "record": cbor.decode(schema.encode(node.statement.record)),
            }
            for node in case.nodes
        ],
        "links": [{"from": edge.record, "relation": edge.relation, "to": edge.to} for edge in case.edges],
    }


def to_dot(case: Case) -> str:
    """Return the case for Graphviz."""
    lines = ["digraph lineage {", "  rankdir=BT; node [shape=box, fontname=monospace];"]
    lines += (
        f'  "{node.id.hex()}" [label={json.dumps(f"{node.statement.kind.value} {node.id.hex()[:12]}")}];'
        for node in case.nodes
    )
    lines += (f'  "{edge.record.hex()}" -> "{edge.to.hex()}" [label="{edge.relation}"];' for edge in case.edges)
    return "\n".join((*lines, "}\n"))


def to_mermaid(case: Case) -> str:
    """Return the case for Mermaid."""
    names = {node.id: f"r{node.leaf_index}" for node in case.nodes}
    lines = ["flowchart BT"]
    lines += (f'  {names[node.id]}["{node.statement.kind.value} {node.id.hex()[:12]}"]' for node in case.nodes)
    lines += (f"  {names[edge.record]} -->|{edge.relation}| {names[edge.to]}" for edge in case.edges)
    return "\n".join(lines) + "\n"


def to_prov(case: Case) -> dict[str, Any]:
    """Return the case in PROV-JSON: records are entities, their signers agents, their links derivations."""
    signers = {node.statement.key_id: node.statement.claims.iss for node in case.nodes}
    return {
        "prefix": {"exequatur": "urn:exequatur:prov#"},
        "entity": {
            f"exequatur:{node.id.hex()}": {
                "prov:type": f"exequatur:{node.statement.kind.value}",
                "exequatur:subject": case.subject,
                "exequatur:iat": node.statement.claims.iat,
                "exequatur:index": node.leaf_index,
            }
            for node in case.nodes
        },
        "agent": {f"exequatur:key-{key.hex()}": {"prov:label": iss} for key, iss in signers.items()},
        "wasAttributedTo": {
            f"_:attributed{number}": {
                "prov:entity": f"exequatur:{node.id.hex()}",
                "prov:agent": f"exequatur:key-{node.statement.key_id.hex()}",
            }
            for number, node in enumerate(case.nodes)
        },
        "wasDerivedFrom": {
            f"_:derived{number}": {
                "prov:generatedEntity": f"exequatur:{edge.record.hex()}",
                "prov:usedEntity": f"exequatur:{edge.to.hex()}",
                "prov:type": f"exequatur:{edge.relation}",
            }
            for number, edge in enumerate(case.edges)
        },
    }


FORMATS: Final[Mapping[str, Callable[[Case], str]]] = {
    "dot": to_dot,
    "mermaid": to_mermaid,
    "prov": lambda case: json.dumps(to_prov(case), indent=2) + "\n",
}


def _summary(one: Statement, content: ContentStore | None) -> str:
    match one.record:
        case Request() as record:
            return f"{one.claims.iss} asks for {_action(record, content)}"
        case Decision() as record:
            verdict = record.outcome if record.code is None else f"{record.outcome} {record.code}"
            return f"{verdict} by {', '.join(record.reasons) or 'no policy'}"
        case Authorization() as record:
            return f"{record.uses} use(s) on {one.claims.aud} until {one.claims.exp}, epoch {record.epoch.number}"
        case Verification() as record:
            passed = f"{len(record.steps)} steps on {one.claims.iss}"
            return f"{passed}, use {record.use}, gate {record.gate}, record {record.seq}"
        case Outcome() as record:
            end = {"exited": f" {record.code}", "signaled": f" {record.signal}"}.get(record.status, "")
            spent = f" in {record.resources.wall_us / 1000:.1f} ms" if record.resources else ""
            return f"{record.status}{end}{spent}, record {record.seq}"
        case Enforcement() as record:
            return f"{record.action} {record.code}, {record.times} time(s), record {record.seq}"
        case Policy() as record:
            return f"epoch {record.epoch} of {record.set}"
        case _:
            return one.claims.iss


def _action(record: Request, content: ContentStore | None) -> str:
    """Return what was asked for, if it is disclosed or in the content store; otherwise the commitment."""
    committed = f"{record.action.type} {record.action.commitment.hex()[:16]}…"
    try:
        if record.disclosed is not None:
            encoded = record.disclosed.content
        elif content is not None:
            encoded = content.get(record.action.commitment)[len(action.ACTION_TAG) + action.SALT_SIZE :]
        else:
            return committed
        descriptor = action.decode(encoded)
    except (ContentError, ExequaturError):
        return f"{committed} (the content was erased)"
    if descriptor["type"] == "process.exec":
        # Backslashes for what is no text, so that a terminal shows an argument and never obeys it.
        words = [argument.decode(errors="backslashreplace") for argument in descriptor["args"]]
        return "`" + shlex.join(words).encode("unicode_escape").decode() + "`"
    return f"{descriptor['type']} {descriptor['name']} of {descriptor['resource']}"
