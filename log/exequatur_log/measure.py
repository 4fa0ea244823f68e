"""What this machine and this disk let a log do: raw operations, the log's own, and the ratio of the one to the other.

    raw     a signature check and a signature, on one core and on all; a durable write; a commit of the database
    log     a registration alone, registrations in batches, a proof

A temporary log in the folder that is given, with keys of its own, is filled and removed again. Nobody else is kept from
working meanwhile, so what else the machine does is in the figures.
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Action, Kind, Request
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.statement import Claims

from .entry import Registered
from .genesis import sign_enrolment, sign_genesis
from .head import LogKeys
from .log import Log, now
from .storage import raw

_ISS: Final = "urn:exequatur:bench"
_TYPE: Final = "process.exec"
_CHECKS: Final = 1000
_SYNCS: Final = 100
_ALONE: Final = 200
_BATCHES: Final = ((256, 6), (4096, 1))
_PROOFS: Final = 200

# What is being measured.
Progress = Callable[[str], None]


class Measured(NamedTuple):
    """One figure, and its ratio to that of the operation ``of``: a rate to a rate, or a time to a time."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    of: str | None = None


class Measurement(NamedTuple):
    """All figures, and what limits a registration alone and registrations in batches."""

    cores: int
    figures: tuple[Measured, ...]
    limits: dict[str, str]


def measure(folder: Path, progress: Progress) -> Measurement:
    """Measure the disk under ``folder``, where a temporary folder is made and removed, and this machine."""
    with TemporaryDirectory(dir=folder, prefix=".bench-") as temporary:
        return asyncio.run(_measure(Path(temporary), progress))


async def _measure(folder: Path, progress: Progress) -> Measurement:
    requester = LocalSigner(ec.generate_private_key(ec.SECP256R1()), Algorithm.ES256)
    progress("signing")
    begun = time.perf_counter()
    made = [_request(requester) for _ in range(_ALONE + sum(size * rounds for size, rounds in _BATCHES))]
    signs = len(made) / (time.perf_counter() - begun)
    progress("signature checks")
    alone, together = _checks(made[:_CHECKS], requester)
    progress("the disk")
    syncs = raw.syncs(folder / "pages", _SYNCS)
    commits = raw.commits(folder / "rows.db", made[:_SYNCS])
    progress("the log")
    keys = _keys()
    operator = LocalSigner(ec.generate_private_key(ec.SECP256R1()), Algorithm.ES256)
    first = sign_genesis(operator, keys, now=now(), unique=secrets.token_bytes(16))
    async with await Log.create(folder / "log.db", first, keys) as log:
        await log.register(_enrolment(operator, keys, requester))
        waits = [await _timed(log, [data]) for data in made[:_ALONE]]
        rates: dict[int, float] = {}
        start = _ALONE
        for size, rounds in _BATCHES:
            taken = [
                await _timed(log, made[start + size * number : start + size * (number + 1)]) for number in range(rounds)
            ]
            start += size * rounds
            rates[size] = size / min(taken)
        progress("proofs")
        proofs = await _proofs(log)
    commit, check = median(commits), 1 / alone
    wait, proof = median(waits), median(proofs)
    figures = (
        Measured("signature checks, one core", alone, "/s"),
        Measured("signature checks, all cores", together, "/s", together / alone, "signature checks, one core"),
        Measured("statements signed, one core", signs, "/s", signs / alone, "signature checks, one core"),
        Measured("write and fdatasync, p50", 1000 * median(syncs), "ms"),
        Measured("write and fdatasync, p99", 1000 * _p99(syncs), "ms", _p99(syncs) / median(syncs), "its p50"),
        Measured("database commit, p50", 1000 * commit, "ms", commit / median(syncs), "write and fdatasync, p50"),
        Measured("submit to receipt, p50", 1000 * wait, "ms", wait / commit, "database commit, p50"),
        Measured("submit to receipt, p99", 1000 * _p99(waits), "ms", _p99(waits) / commit, "database commit, p50"),
        *(
            Measured(f"registrations, {size} at once", rate, "/s", rate / together, "signature checks, all cores")
            for size, rate in rates.items()
        ),
        Measured("inclusion proof, p50", 1000 * proof, "ms", proof / check, "one signature check"),
    )
    best = max(rates.values())
    return Measurement(
        os.cpu_count() or 1, figures, {"alone": _limit(commit / wait), "batches": _work(best / together)}
    )


def _limit(share: float) -> str:
    if share >= 0.5:
        return f"the disk: {share:.0%} of the time from submit to receipt is one commit; a faster disk helps"
    return f"the processor: one commit is {share:.0%} of the time from submit to receipt; a faster disk helps little"


def _work(share: float) -> str:
    if share >= 0.5:
        return f"signature checks: {share:.0%} of what all cores can check is registered; more cores help"
    return f"work beside the signature checks, which are {share:.0%} of it; faster cores help, more of them less"


async def _timed(log: Log, batch: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    answers = await log.register_many(batch)
    taken = time.perf_counter() - begun
    refused = next((answer for answer in answers if not isinstance(answer, Registered)), None)
    if refused is not None:
        raise refused
    return taken


async def _proofs(log: Log) -> list[float]:
    size = (await log.head()).size
    draw = random.Random(size)  # noqa: S311  (which entries are proven is no secret)
    taken: list[float] = []
    for _ in range(_PROOFS):
        index = draw.randrange(size)
        begun = time.perf_counter()
        await log.inclusion(index, size)
        taken.append(time.perf_counter() - begun)
    return taken


def _checks(made: Sequence[bytes], signer: LocalSigner) -> tuple[float, float]:
    """Return how many signatures are checked a second, on one core and on all."""
    parsed = [statement.parse(data) for data in made]

    def check(part: Sequence[statement.Statement]) -> None:
        for one in part:
            statement.verify(one, signer.public_key)

    begun = time.perf_counter()
    check(parsed)
    alone = len(parsed) / (time.perf_counter() - begun)
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        begun = time.perf_counter()
        list(pool.map(check, [parsed] * cores))
        together = cores * len(parsed) / (time.perf_counter() - begun)
    return alone, together


def _keys() -> LogKeys:
    receipts = LocalSigner(ec.generate_private_key(ec.SECP256R1()), Algorithm.ES256)
    checkpoints = LocalSigner(ed25519.Ed25519PrivateKey.generate(), Algorithm.ED25519)
    return LogKeys(receipts, checkpoints, "https://bench.invalid", "bench.invalid/log")


def _enrolment(operator: LocalSigner, keys: LogKeys, requester: LocalSigner) -> bytes:
    return sign_enrolment(
        operator,
        requester.public_key,
        iss=_ISS,
        enroller=keys.iss,
        kinds=(Kind.REQUEST,),
        actions=(_TYPE,),
        now=now(),
        unique=secrets.token_bytes(16),
    )


def _request(signer: LocalSigner) -> bytes:
    unique = secrets.token_bytes(16)
    action = Action(_TYPE, sha256(unique).digest())
    record = Request(links=(), action=action, audience=_ISS, claims={})
    return statement.sign(record, Claims(_ISS, f"urn:exequatur:bench:{unique.hex()}", now(), unique), signer)


def _p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[98]
