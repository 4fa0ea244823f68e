"""One load of one served log: writers and readers at once, for some time, then the read-back (specs/10).

Everything happens in one event loop, whose work is then part of every latency that is reported. Memory grows with the
log: about a kilobyte for each entry that was acknowledged, because its statement and first receipt are kept.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from exequatur_verifier.trust import TrustedLog

from .caller import Caller, UnansweredError
from .client import parse_url
from .ledger import Ledger
from .readback import read_back
from .readers import Reader
from .report import Report, Tally
from .violation import Violation
from .writers import Make, Pace, Writer

_FIRST_PATIENCE: Final = 10.0
_TICK: Final = 0.2

# What is done so far, of so many seconds.
Progress = Callable[[Tally, float], None]


class Plan(NamedTuple):
    """How hard and how long.

    ``rate`` is in statements a second of all writers together, ``None`` for as many as go. ``seed`` decides what each
    client does. ``patience`` is how many seconds a request is repeated for. ``sample`` is of how many entries the
    receipts are asked for again in the end. After ``most`` violations it ends, with nothing read back.
    """

    seconds: float = 60.0
    writers: int = 4
    readers: int = 4
    batch: int = 64
    rate: float | None = None
    seed: int = 0
    patience: float = 30.0
    sample: int = 512
    most: int = 100


class UnreachableError(OSError):
    """The log answered nothing at all."""


async def load(url: str, log: TrustedLog, make: Make, plan: Plan, progress: Progress) -> Report:
    """Return what came of a load of the log at ``url``.

    ``log`` names the keys that are believed; ``make`` returns, from any thread, a signed statement that was never
    sent. Raises ``ValueError`` for what is no URL of a log, and ``UnreachableError``.
    """
    place, tally, ledger = parse_url(url), Tally(plan.most), Ledger(log)

    def draw(name: str) -> random.Random:
        return random.Random(f"{plan.seed} {name}")  # noqa: S311  (what a client does next is no secret)

    def reader(name: str, patience: float = plan.patience) -> Reader:
        return Reader(Caller(place, tally, draw(name), patience), ledger, tally, draw(name + " acts"))

    first = reader("first", _FIRST_PATIENCE)
    try:
        await first.checkpoint()
    except Violation as violation:
        tally.found(violation)
    except UnansweredError as error:
        raise UnreachableError(f"{url} does not answer: {error}") from None
    finally:
        first.close()
    pace, stop = Pace(plan.rate), asyncio.Event()
    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for number in range(plan.writers):
            caller = Caller(place, tally, draw(f"writer {number}"), plan.patience)
            acts = draw(f"writer {number} acts")
            group.create_task(Writer(caller, ledger, tally, acts, make, plan.batch, pace).run(stop))
        for number in range(plan.readers):
            group.create_task(reader(f"reader {number}").run(stop))
        while (took := asyncio.get_running_loop().time() - begun) < plan.seconds:
            progress(tally, took)
            if tally.enough:
                break
            await asyncio.sleep(min(_TICK, plan.seconds - took))
        stop.set()
    seconds = asyncio.get_running_loop().time() - begun
    whole, last = False, reader("last")
    try:
        if not tally.enough:
            head = await read_back(last, ledger, plan.patience)
            await last.receipts(plan.sample)
            whole = True
    except Violation as violation:
        tally.found(violation)
    except UnansweredError:
        tally.unanswered += 1
    finally:
        last.close()
    return Report(
        log.origin,
        plan.seed,
        round(seconds, 3),
        tally.acknowledged,
        tally.duplicates,
        round(tally.acknowledged / seconds, 1),
        tally.disconnected,
        tally.pushed_back,
        tally.unanswered,
        dict(sorted(tally.checks.items())),
        len(ledger.heads),
        whole,
        head.size if whole else 0,
        head.root if whole else b"",
        tally.latencies(),
        tuple(tally.violations),
    )
