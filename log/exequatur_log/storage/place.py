"""Where a log lies: a file, or a PostgreSQL database of its own.

    /var/lib/exequatur/log.db                                     a file: SQLite, embedded
    postgresql://log@db.example/exequatur?sslmode=verify-full     a database; several hosts if it fails over

The URL is libpq's, so TLS (``sslmode``, ``sslrootcert``), sockets (``host=/run/postgresql``) and further hosts are
said as everywhere. It never holds a password: that is what the password file (``PGPASSFILE``, ``~/.pgpass``) is
for, which others cannot read, while URLs stand in settings, process lists and messages.
"""

from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from exequatur_verifier.errors import MalformedError

_SCHEMES: Final = ("postgresql", "postgres")


class Postgres(NamedTuple):
    """A database, by a URL that ``parse`` has checked. One log lies in one database."""

    url: str

    def __str__(self) -> str:
        """Return how messages call it: without what the connection is made with."""
        return self.url.partition("?")[0]


Place = Path | Postgres


def parse(text: str) -> Place:
    """Return the place that a line of settings names; raise ``MalformedError``."""
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    if scheme not in _SCHEMES:
        raise MalformedError(f"a log lies in a file or at postgresql://…, not at {scheme}://")
    place = Postgres(text)
    check(place)
    return place


def check(place: Postgres) -> None:
    """Raise ``MalformedError`` for a URL that holds a password or names no database."""
    parts = urlsplit(place.url)
    query = parse_qs(parts.query, keep_blank_values=True)
    if "password" in query or ":" in parts.netloc.rpartition("@")[0]:
        raise MalformedError("a password stands in the URL of the database; put it into the password file (PGPASSFILE)")
    if not parts.path.strip("/") and not query.keys() & {"dbname", "database"}:
        raise MalformedError(f"{place} names no database; a log has one of its own")
