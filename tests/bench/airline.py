"""The 577 calls that a model made at an airline's desk: all of the chain, and the share of each stage of it.

    request     the requester signs what it intends
    authority   Cedar decides, decision and artifact are signed, the journal and the content store are written
    log         both registrations: checked, durable, provable
    verify      the runtime's verdict on each bundle, offline

Once as one batch, and once for some calls one after the other, as an agent makes them. The raw work is every
signature that this makes and every check of one, and nothing else.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from exequatur_issuer import policyset
from exequatur_issuer.authorize import Asked, Issued, Refused
from exequatur_issuer.log import Refusal, Registered, Standing
from exequatur_verifier import cose
from exequatur_verifier.action import parse_json_arguments
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Clock
from exequatur_verifier.verify import verify
from tests.airline.corpus import DESK, POLICY, calls
from tests.bench import raw
from tests.bench.rounds import Timing, alternate
from tests.bench.table import Row, cost
from tests.data import DATA
from tests.issuer.house import NOW, House
from tests.issuer.ledger import RealLog
from tests.support import world

SUBJECT = "577 calls of a model, request to verdict"
_CONFIRMED = {"confirmed": True}


class TimedLog(RealLog):
    """The product's log, which notes how long registrations take."""

    seconds = 0.0

    def register(self, statements: Sequence[bytes]) -> list[Registered | Standing | Refusal]:
        """Register and count the time."""
        begun = time.perf_counter()
        try:
            return super().register(statements)
        finally:
            self.seconds += time.perf_counter() - begun


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """Return the rows of the corpus; none where the shared data is absent."""
    if not DATA.is_dir():
        return []
    log = TimedLog(folder / "log.db")
    try:
        desk = House(folder, log, policyset.read(POLICY))
        return [*_batch(desk, log), *_singles(desk, 40 if quick else 150)]
    finally:
        log.close()
