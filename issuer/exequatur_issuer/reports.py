"""The authority's reports: enforcement records in one chain for its key, kept before they are sent (specs/01 R-03).

A report that is held back shows as a gap, and two reports of one number as a fork. So the chain stands in the journal,
which all processes of an authority share: a report gets its number, is signed and kept in one transaction, and who
sends next sends what others have left, in order.
"""

from hashlib import sha256
from typing import NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.records import Enforcement, Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims

from .journal import Journal
from .log import Log, Refusal


class ReportError(ExequaturError):
    """The log refuses a report; what it reports has happened all the same."""


class _Last(NamedTuple):
    seq: int
    id: bytes | None


class Reports:
    """The reports of an authority's key; one object serves one thread. Raises ``JournalError``."""

    def __init__(self, *, iss: str, signer: Signer, journal: Journal, log: Log) -> None:
        self._iss = iss
        self._signer = signer
        self._key = signer.public_key.thumbprint
        self._journal = journal
        self._log = log

    def keep(self, report: Enforcement, subject: str, now: int) -> bytes:
        """Sign a report as the next of the chain, keep it, and return its id. ``seq`` and ``prev`` are set here."""
        with self._journal.transaction() as file:
            row = file.execute("SELECT seq, prev FROM chains WHERE key = ?", (self._key,)).fetchone()
            last = self._logged() if row is None else _Last(*row)
            seq = last.seq + 1
            unique = sha256(b"report %d %d %s" % (seq, now, last.id or b"")).digest()[:16]
            claims = Claims(self._iss, subject, now, unique)
            entry = statement.sign(report._replace(seq=seq, prev=last.id), claims, self._signer)
            record = statement.parse(entry).id
            file.execute("INSERT INTO reports VALUES (?, ?, ?)", (self._key, seq, entry))
            file.execute("INSERT OR REPLACE INTO chains VALUES (?, ?, ?)", (self._key, seq, record))
        return record

    def send(self) -> int:
        """Register what is kept, in order, and return how many reports that were.

        Raises ``LogUnavailableError``, after which it is safe to repeat, and ``ReportError`` for one that the log
        refuses; if that was the last, it is as if it had not been made.
        """
        with self._journal.transaction() as file:
            rows = file.execute(
                "SELECT seq, statement FROM reports WHERE key = ? ORDER BY seq", (self._key,)
            ).fetchall()
        answers = self._log.register([entry for _, entry in rows]) if rows else []
        refused: Refusal | None = None
        with self._journal.transaction() as file:
            for (seq, entry), answer in zip(rows, answers, strict=True):
                if isinstance(answer, Refusal):
                    refused = answer
                    # Another process may have followed it already; then it stays a gap, and audits tell.
                    former = statement.parse(entry).record
                    assert isinstance(former, Enforcement)
                    file.execute(
                        "UPDATE chains SET seq = ?, prev = ? WHERE key = ? AND seq = ?",
                        (seq - 1, former.prev, self._key, seq),
                    )
                file.execute("DELETE FROM reports WHERE key = ? AND seq = ?", (self._key, seq))
        if refused is not None:
            raise ReportError(f"the log does not register the report: {refused.code}: {refused.detail}")
        return len(rows)

    def about(self, subject: str) -> list[Enforcement]:
        """Return the last reports of this key on a subject that stand in the log, the newest first."""
        found = self._log.newest(Kind.ENFORCEMENT, subject=subject, key_id=self._key, most=1000)
        records = (statement.parse(placed.statement).record for placed in found)
        return [record for record in records if isinstance(record, Enforcement)]

    def _logged(self) -> _Last:
        """Return the last report of the chain in the log: this journal knows of none, and may have replaced another."""
        for placed in self._log.newest(Kind.ENFORCEMENT, key_id=self._key):
            parsed = statement.parse(placed.statement)
            assert isinstance(parsed.record, Enforcement)
            return _Last(parsed.record.seq, parsed.id)
        return _Last(0, None)
