"""``log.toml``: where a log lies, and how its heads become public (specs/10 §9).

    database = "postgresql://log@db.example/exequatur"    # else log.db beside this file

    [publish]
    to = "public"                        # a directory beside this file, or s3://bucket/prefix
    endpoint = "https://s3.example"      # of the S3 server, and the region that it expects
    region = "eu-1"
    credentials = "s3.credentials"       # a file of keys as the AWS tools keep it; else the AWS environment's
    every = 1                            # seconds between rounds that nobody waits for

    [witness]
    policy = "witness.policy"            # a C2SP tlog-policy: the witnesses, where they are, the quorum
    required = true                      # nothing is shown that the quorum has not cosigned
    timeout = 5                          # seconds that a witness has to answer
    renew = 300                          # seconds after which a head that stays the newest is cosigned again

Without the file the log is a file beside it, and its heads are public at once.
"""

import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_verifier import shape
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.shape import Optional, record

from .storage import place as places
from .storage.place import Place


class Publish(NamedTuple):
    """Where tiles, bundles and checkpoints are copied to."""

    to: str
    endpoint: str | None = None
    region: str | None = None
    credentials: str | None = None
    every: int = 1


class Witness(NamedTuple):
    """Who cosigns, and whether heads wait for them."""

    policy: str
    required: bool = False
    timeout: int = 5
    renew: int = 300


class Settings(NamedTuple):
    """The settings of a log. Relative paths in them are relative to the file's folder."""

    database: str | None = None
    publish: Publish | None = None
    witness: Witness | None = None


def _seconds(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 86_400:
        raise MalformedError("not a number of seconds from 1 to 86,400")
    return value


_SETTINGS: Final = record(
    Settings,
    database=Optional(shape.text),
    publish=Optional(
        record(
            Publish,
            to=shape.text,
            endpoint=Optional(shape.text),
            region=Optional(shape.text),
            credentials=Optional(shape.text),
            every=Optional(_seconds),
        )
    ),
    witness=Optional(
        record(
            Witness,
            policy=shape.text,
            required=Optional(shape.boolean),
            timeout=Optional(_seconds),
            renew=Optional(_seconds),
        )
    ),
)


def place(settings: Settings, folder: Path) -> Place:
    """Return where the log of the settings in ``folder`` lies; raise ``MalformedError``."""
    if settings.database is None:
        return folder / "log.db"
    found = places.parse(settings.database)
    return folder / found if isinstance(found, Path) else found


def read(path: Path) -> Settings:
    """Return the settings in a file, or the defaults without one; raise ``MalformedError`` that names the field."""
    try:
        return _SETTINGS(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        return Settings()
    except (MalformedError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"{path}: {error}") from None
