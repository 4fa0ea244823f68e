"""An authority whose artifacts name status lists, on a log in memory or a real one."""

import itertools
from pathlib import Path
from typing import Any

from exequatur_issuer import bundles
from exequatur_issuer.authorize import Authority, Issued
from exequatur_issuer.decide import InForce
from exequatur_issuer.journal import Journal
from exequatur_issuer.lists import StatusLists
from exequatur_issuer.reports import Reports
from exequatur_issuer.revoke import Revoked, Target, Verb, of_artifact, revoke
from exequatur_verifier import bundle, statement
from exequatur_verifier.records import Authorization, Status, StatusEntry
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement
from tests.issuer.house import NOW, House
from tests.issuer.ledger import AUTHORITY, MemoryLog
from tests.support import world

BASE = "urn:exequatur:status:test"
PERIOD = 3600


class ListedHouse(House):
    """A house with status lists; ``revoke`` does what the command does."""

    def lists(self, log: Any = None) -> StatusLists:
        """Return the authority's lists, as another process would."""
        return StatusLists(
            base=BASE, iss=AUTHORITY, signer=world.signer("authority"), log=log or self.log, period=PERIOD
        )

    def reports(self) -> Reports:
        """Return what the authority reports, as another process would."""
        journal = Journal(self.folder / "journal.db")
        return Reports(iss=AUTHORITY, signer=world.signer("authority"), journal=journal, log=self.log)

    def open(self, signer: Signer | None = None, policy: InForce | None = None) -> Authority:
        """Return an authority over the same stores."""
        return Authority(
            iss=AUTHORITY,
            signer=signer or world.signer("authority"),
            log=self.log,
            content=self.content,
            journal=Journal(self.folder / "journal.db"),
            policy=policy or self.policy,
            status=self.lists(),
        )

    def revoke(self, target: Target | bytes, verb: Verb = "revoke", reason: str = "because", now: int = NOW) -> Revoked:
        """Revoke a target, or the artifact of a bundle."""
        if isinstance(target, bytes):
            target = of_artifact(artifact_of(target))
        clock = itertools.count(7)
        return revoke(self.lists(), self.reports(), target, verb, reason, now=now, elapsed_us=lambda: next(clock))

    def refresh(self, data: bytes, now: int = NOW) -> bytes:
        """Return a bundle refreshed as the command does it."""
        self.lists().fresh(bundles.lists_of(data), now)
        return bundles.refresh(data, self.log)

    def versions(self, number: int = 0) -> list[Status]:
        """Return all versions of a list in the log, in its order."""
        records = (item.record for item in self.log.statements())
        return [record for record in records if isinstance(record, Status) and record.list == f"{BASE}:{number}"]


def listed_house(folder: Path) -> ListedHouse:
    """Return a house with status lists on a log in memory."""
    return ListedHouse(folder, MemoryLog())


def artifact_of(data: bytes) -> Statement:
    """Return the artifact of a bundle."""
    return statement.parse_transparent(bundle.decode(data).artifact)[0]


def entry_of(issued: Issued) -> StatusEntry:
    """Return where an artifact's status stands."""
    record = artifact_of(issued.bundle).record
    assert isinstance(record, Authorization)
    assert record.status is not None
    return record.status
