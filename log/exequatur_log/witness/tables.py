"""The tables of a witness's memory (specs/11 §5): who it is, which logs it knows, what it cosigned, what it keeps.

A log has one row in ``cosigned``: its checkpoint that was cosigned last, as it was given out. Evidence, and what was
lost, is only added to.
"""

from typing import Final

APPLICATION: Final = 0x45585157  # "EXQW", for file(1)
VERSION: Final = 1
TABLES: Final = (
    "CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 1), name TEXT NOT NULL, vkeys TEXT NOT NULL) STRICT",
    "CREATE TABLE logs (vkey TEXT PRIMARY KEY, origin TEXT NOT NULL) STRICT",
    """CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    time INTEGER NOT NULL,
    note BLOB NOT NULL
) STRICT""",
    """CREATE TABLE evidence (
    number INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    time INTEGER NOT NULL,
    held BLOB,
    presented BLOB NOT NULL,
    proof BLOB NOT NULL,
    UNIQUE (origin, kind, size, root)
) STRICT""",
    # A checkpoint with a cosignature of this witness that is newer than what it remembers.
    "CREATE TABLE lost (origin TEXT NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL) STRICT",
    # Also against our own mistakes: what was cosigned only grows, and evidence stays.
    """CREATE TRIGGER cosigned_grows BEFORE UPDATE ON cosigned
    WHEN NEW.origin <> OLD.origin OR NEW.size < OLD.size OR NEW.time < OLD.time
      OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
    BEGIN SELECT RAISE(ABORT, 'what was cosigned only grows'); END""",
    *(
        f"CREATE TRIGGER {table}_stays_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'a witness forgets nothing'); END"
        for table, verb in (
            *((table, "DELETE") for table in ("identity", "logs", "cosigned", "evidence", "lost")),
            *((table, "UPDATE") for table in ("identity", "logs", "evidence", "lost")),
        )
    ),
)
