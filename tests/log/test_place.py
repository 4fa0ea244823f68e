"""Where a log may lie, spelled: a file or a database, and no secrets."""

from pathlib import Path

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_log.storage.place import Postgres, parse
from exequatur_verifier.errors import MalformedError


@pytest.mark.parametrize("text", ["log.db", "/var/lib/exequatur/log.db", "a:b.db"])
def test_a_path_is_a_file(text: str) -> None:
    assert parse(text) == Path(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://db.example/exequatur",
        "postgresql://log@db.example:5433/exequatur?sslmode=verify-full",
        "postgres://log@one.example,two.example:5433/exequatur",
        "postgresql:///exequatur?host=/run/postgresql",
        "postgresql://log@/?dbname=exequatur",
    ],
)
def test_a_url_is_a_database(text: str) -> None:
    assert parse(text) == Postgres(text)
    assert "?" not in str(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://log:secret@db.example/exequatur",
        "postgresql://log:@db.example/exequatur",
        "postgresql://log@db.example/exequatur?password=secret",
        "postgresql://log@db.example/exequatur?password=",
    ],
)
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    # L-40
    with pytest.raises(MalformedError, match="password file") as caught:
        parse(text)
    assert "secret" not in str(caught.value)
    with pytest.raises(MalformedError, match="password file"):
        BlockingLog.open(Postgres(text))


@pytest.mark.parametrize(
    "text", ["mysql://db.example/exequatur", "postgresql://db.example", "postgresql://db.example/"]
)
def test_what_names_no_database_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse(text)
