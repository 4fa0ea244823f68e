"""Replay: the decisions of a log computed again by all cores, against the same questions put to Cedar by all cores.

The log is made at the storage layer, without its checks, as ``wide`` does it. The records in it are true: the calls of
a model under the airline's policies, each requested, decided and, if that allows it, authorized. What is raw is
``cedarpy.is_authorized_batch`` with everything parsed, in as many processes, started beforehand; ours are started, and
import what they need, while they are measured.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import cedarpy

from exequatur_issuer import policyset
from exequatur_issuer.artifact import make_authorization, make_claims
from exequatur_issuer.asked import Asked
from exequatur_issuer.decide import decide
from exequatur_issuer.engine import Query
from exequatur_issuer.policyset import PolicySet
from exequatur_log.entry import entry_of
from exequatur_log.head import LogKeys
from exequatur_log.storage.database import open_database
from exequatur_verifier import action, statement
from exequatur_verifier.records import Kind
from exequatur_verifier.statement import Statement
from tests.airline.corpus import POLICY
from tests.bench import fresh, wide
from tests.bench.deciding import CLAIMS, Cedar, descriptors, parse_cedar, questions
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, Target, rate
from tests.data import DATA
from tests.issuer.house import NOW, House
from tests.issuer.ledger import AUTHORITY, RealLog
from tests.support import world

SUBJECT: Final = "replay of decisions, from the log and the content store"
_BATCH: Final = 1000
_CORES: Final = os.cpu_count() or 1
# In a process of the raw engine: what it asks.
_prepared: list[Cedar] = []


def measure(folder: Path, *, quick: bool, large: bool = False) -> list[Row]:
    """Return the row of replay; none where the shared data is absent."""
    if not DATA.is_dir():
        return []
    count = 2_000 if quick else 100_000 if large else 20_000
    policy_set = policyset.read(POLICY)
    queries = _fill(folder, policy_set, count)
    chunks = [len(queries)] * (count // len(queries)) + [count % len(queries)]

    reports: list[dict[str, Any]] = []
    context = get_context("spawn")
    with ProcessPoolExecutor(_CORES, context, _prepare, (policy_set, queries)) as pool:

        def bare(_: int) -> None:
            list(pool.map(_ask, chunks))

        bare(0)
        _, alone = alternate(1 if large else 3, count, lambda _: reports.append(fresh.run("replay", folder)), bare)
    assert all((report["equal"], report["unequal"]) == (count, 0) for report in reports)
    # The process itself says how long the work took, without its imports.
    measured = Timing(tuple(report["seconds"] / count for report in reports))
    name = f"decisions a second, {count:,} of them, against Cedar alone, both on {_CORES} cores"
    return [rate(SUBJECT, name, measured, alone, target=Target("≥", 0.7), statistic="best")]


def _prepare(policy_set: PolicySet, queries: Sequence[Query]) -> None:
    _prepared.append(parse_cedar(policy_set, queries))


def _ask(count: int) -> None:
    [cedar] = _prepared
    cedarpy.is_authorized_batch(list(cedar.requests[:count]), cedar.policies, cedar.entities, cedar.schema)


def _fill(folder: Path, policy_set: PolicySet, count: int) -> list[Query]:
    """Make a log of so many decisions; return the questions behind the first of them."""
    log = RealLog(folder / "log.db")
    desk = House(folder, log, policy_set)
    size, keys = len(log.statements()), log.keys
    log.close()
    actions = descriptors()
    sample = [desk.asked(one, {}, claims=CLAIMS) for one in actions]
    asked = (desk.asked(one, {}, claims=CLAIMS) for one in islice(cycle(actions), count))
    asyncio.run(_register(folder / "log.db", size, keys, _answer(desk, asked)))
    return questions(desk, sample)


def _answer(desk: House, asked: Iterator[Asked]) -> Iterator[Statement]:
    """Yield request, decision and artifact for each that is asked, with its descriptor in the content store."""
    signer = world.signer("authority")
    for one in asked:
        request = statement.parse(one.request)
        preimage = action.preimage(action.ACTION_TAG, one.salt, action.encode(one.descriptor))
        decided = decide(request, one.salt, one.descriptor, desk.policy, NOW)
        claims = make_claims(Kind.DECISION, request, NOW, AUTHORITY)
        decision = statement.parse(statement.sign(decided.record, claims, signer))
        _store(desk.folder / "content", preimage)
        yield from (request, decision)
        if decided.obligations is not None:
            granted = make_authorization(
                one, request, decision.id, desk.policy, decided.obligations, (), NOW, AUTHORITY
            )
            yield statement.parse(statement.sign(*granted, signer))


def _store(content: Path, preimage: bytes) -> None:
    """Store without waiting for the disk, which would take longer than everything else here."""
    name = sha256(preimage).hexdigest()
    (content / name[:2]).mkdir(exist_ok=True)
    (content / name[:2] / name[2:]).write_bytes(preimage)


async def _register(path: Path, size: int, keys: LogKeys, statements: Iterator[Statement]) -> None:
    database = await open_database(path, writable=True)
    try:
        while batch := list(islice(statements, _BATCH)):
            end = size + len(batch)
            entries = [entry_of(item, item.leaf, index, end) for index, item in enumerate(batch, size)]
            async with database.append() as connection:
                await wide.put(connection, entries, keys)
            size = end
    finally:
        await database.close()
