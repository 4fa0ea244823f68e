"""Deciding: the decision alone against Cedar alone, and an answered request against its raw parts.

Both on the 577 calls of a model, under the airline's policies. What is raw of a decision is one call of ``cedarpy``
with policies, schema and entities parsed beforehand. Of an answered request it is that, the signatures of the authority
and of the log, the check of each statement, and a durable commit of the request and one of its answer.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import cedarpy

from exequatur_issuer import policyset
from exequatur_issuer.authorize import Asked
from exequatur_issuer.decide import decide
from exequatur_issuer.engine import Answer, PolicyEngine, Query
from exequatur_issuer.policyset import PolicySet
from exequatur_verifier import statement
from exequatur_verifier.action import parse_json_arguments
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.statement import Statement
from tests.airline.corpus import DESK, POLICY, calls
from tests.bench import raw
from tests.bench.airline import SCHEME, signing
from tests.bench.rounds import alternate, over
from tests.bench.table import Row, Target, cost
from tests.data import DATA
from tests.issuer.house import NOW, House
from tests.issuer.ledger import RealLog
from tests.support import world

SUBJECT: Final = "a decision, under the airline's policies"
CLAIMS: Final = {"confirmed": True}


class Cedar(NamedTuple):
    """A policy set as ``cedarpy`` keeps it, and requests as it takes them."""

    policies: cedarpy.PolicySet
    entities: cedarpy.Entities
    schema: cedarpy.Schema
    requests: tuple[dict[str, Any], ...]

    def ask(self, number: int) -> object:
        """Ask one question."""
        return cedarpy.is_authorized(self.requests[number], self.policies, self.entities, self.schema)


class _Noting(NamedTuple):
    """An engine that notes what it is asked."""

    engine: PolicyEngine
    asked: list[Query]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def decide(self, query: Query) -> Answer:
        self.asked.append(query)
        return self.engine.decide(query)


def parse_cedar(policy_set: PolicySet, queries: Sequence[Query]) -> Cedar:
    """Return a policy set and the queries for the raw engine."""
    schema = cedarpy.Schema.from_str(policy_set.schema.decode())
    return Cedar(
        cedarpy.PolicySet.from_str(policy_set.sources.decode()),
        cedarpy.Entities.from_json_str(policy_set.entities.decode(), schema),
        schema,
        tuple(
            {
                "principal": query.principal._asdict(),
                "action": query.action._asdict(),
                "resource": query.resource._asdict(),
                "context": dict(query.context),
            }
            for query in queries
        ),
    )


def descriptors() -> list[dict[str, Any]]:
    """Return the calls as actions."""
    return [
        {"type": "mcp.tool", "name": call.tool, "resource": DESK, "args": parse_json_arguments(call.arguments)}
        for call in calls()
    ]


def questions(desk: House, asked: Sequence[Asked]) -> list[Query]:
    """Return what the engine is asked about each request."""
    noting = _Noting(desk.policy.engine, [])
    policy: Any = desk.policy._replace(engine=noting)
    for one in asked:
        decide(statement.parse(one.request), one.salt, one.descriptor, policy, NOW)
    return noting.asked


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of deciding; none where the shared data is absent."""
    if not DATA.is_dir():
        return []
    policy_set = policyset.read(POLICY)
    log = RealLog(folder / "log.db")
    try:
        desk = House(folder, log, policy_set)
        actions = descriptors()
        asked = [desk.asked(action, {}, claims=CLAIMS) for action in actions]
        cedar = parse_cedar(policy_set, questions(desk, asked))
        rows = [_alone(desk, asked, cedar, 3 if quick else 20)]
        return [*rows, *_answered(desk, log, folder, actions[: 40 if quick else 200], cedar)]
    finally:
        log.close()


def _alone(desk: House, asked: Sequence[Asked], cedar: Cedar, rounds: int) -> Row:
    """Return the row of the decision alone: request opened, log and signatures left out on both sides."""
    opened = [(statement.parse(one.request), one) for one in asked]

    def ours(_: int) -> None:
        for request, one in opened:
            decide(request, one.salt, one.descriptor, desk.policy, NOW)

    def bare(_: int) -> None:
        for number in range(len(opened)):
            cedar.ask(number)

    measured, alone = alternate(rounds, len(opened), ours, bare, clock=time.thread_time)
    name = "decision alone, against cedarpy with everything parsed"
    return cost(SUBJECT, name, measured, alone, "µs", target=Target("≤", 1.5), statistic="best")


def _answered(desk: House, log: RealLog, folder: Path, actions: Sequence[dict[str, Any]], cedar: Cedar) -> list[Row]:
    """Return the rows of requests that are answered one after the other: decided, signed, durable, bundled."""
    first, asked = ([desk.asked(action, {}, claims=CLAIMS) for action in actions] for _ in range(2))
    desk.authority.authorize_many(first, now=NOW)
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA synchronous = FULL")
    plain.execute("CREATE TABLE entries (statement BLOB)")
    # What the same calls led to before is what is signed, checked and committed.
    subjects = [statement.parse(one.request).claims.sub for one in first]
    made: dict[str, list[Statement]] = {subject: [] for subject in subjects}
    for item in log.statements():
        if item.claims.sub in made:
            made[item.claims.sub].append(item)
    parts: list[list[Callable[[], object]]] = [
        [partial(cedar.ask, number), *_signatures(log, made[subject]), *_commits(plain, made[subject])]
        for number, subject in enumerate(subjects)
    ]

    measured, bare = alternate(len(asked), 1, lambda number: desk.answer(asked[number]), over(parts))
    plain.close()
    name = "a request answered, against Cedar, signatures, checks and two commits"
    return [
        cost(SUBJECT, name, measured, bare, "ms", statistic="p50"),
        cost(SUBJECT, name, measured, bare, "ms", statistic="p99"),
    ]


def _signatures(log: RealLog, statements: Sequence[Statement]) -> list[Callable[[], object]]:
    """Return each signature of the authority, each check of the log, and the log's own two on each of two heads."""
    requester, authority = world.signer("requester"), world.signer("authority")
    request, *answer = statements
    receipts: Any = log.receipt_signer._key
    checkpoints: Any = world.signer("log checkpoints", Algorithm.ED25519)._key
    head = bytes(128)
    return [
        raw.check_of(request, requester.public_key),
        *(raw.check_of(item, authority.public_key) for item in answer),
        *(signing(item, authority) for item in answer),
        *(partial(receipts.sign, head, SCHEME) for _ in range(2)),
        *(partial(checkpoints.sign, head) for _ in range(2)),
    ]


def _commits(plain: sqlite3.Connection, statements: Sequence[Statement]) -> list[Callable[[], object]]:
    """Return the commit of the request, and that of its answer."""
    request, *answer = statements
    insert = "INSERT INTO entries VALUES (?)"
    return [
        partial(plain.execute, insert, (request.entry,)),
        partial(plain.execute, insert, (b"".join(item.entry for item in answer),)),
    ]
