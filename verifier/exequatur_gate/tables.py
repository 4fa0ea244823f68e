"""The tables of ``state.db`` (specs/07 §2): one file holds all that a runtime must not forget.

Memory, uses, reservations and the records that no log has yet stand in one database, so that they change in
one transaction: a record without its reservation, or a number without its record, cannot exist
(specs/decisions/0005). Rows that belong together for ever stand alone in their table, under the key 1.
"""

from typing import Final

APPLICATION: Final = 0x45584551  # "EXEQ", for file(1)
VERSION: Final = 2

# The fields of a ``KnownHead``, in its order: a row is one.
_HEAD: Final = """
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    iat INTEGER NOT NULL,
    protected BLOB NOT NULL,
    signature BLOB NOT NULL,
    trust BLOB NOT NULL,
    note BLOB"""

# The newest version seen of each status list.
_STATUSES: Final = """CREATE TABLE statuses (
    list TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT"""

# What makes a state of that version one of the next. No policy that asks for approvals was admitted under version 1.
UPGRADES: Final = {
    1: ("ALTER TABLE policies ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0", _STATUSES),
}

# What is small, and read at every start; a damaged page of these is found before anything is decided.
VITAL: Final = ("identity", "memory", "chain", "heads", "forks", "policies", "statuses", "reservations")

TABLES: Final = (
    """CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    runtime BLOB NOT NULL CHECK (length(runtime) = 32),
    id BLOB NOT NULL CHECK (length(id) = 16)
) STRICT""",
    # What verification reads counts its changes in `generation`. `floor` is made of signed times only.
    """CREATE TABLE memory (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    unix INTEGER NOT NULL,
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE chain (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    prev BLOB
) STRICT""",
    f"CREATE TABLE heads ({_HEAD},\n    PRIMARY KEY (origin)\n) STRICT",
    f"""CREATE TABLE forks ({_HEAD},
    side TEXT NOT NULL CHECK (side IN ('remembered', 'presented')),
    PRIMARY KEY (origin, side)
) STRICT""",
    """CREATE TABLE policies (
    id BLOB PRIMARY KEY,
    owner BLOB NOT NULL,
    policy_set TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    iat INTEGER NOT NULL,
    approvals INTEGER NOT NULL DEFAULT 0
) STRICT""",
    _STATUSES,
    """CREATE TABLE proofs (
    origin TEXT NOT NULL,
    size1 INTEGER NOT NULL,
    root1 BLOB NOT NULL,
    size2 INTEGER NOT NULL,
    root2 BLOB NOT NULL,
    path BLOB NOT NULL,
    PRIMARY KEY (origin, size1, root1)
) STRICT""",
    """CREATE TABLE uses (
    authorization BLOB PRIMARY KEY,
    used INTEGER NOT NULL CHECK (used BETWEEN 1 AND allowed),
    allowed INTEGER NOT NULL
) STRICT""",
    # A row stands from admission to outcome. `pid` and `start` are the gate's; the four that may be null are
    # the governed process's, and stand before it runs. AUTOINCREMENT never gives a number out twice.
    """CREATE TABLE reservations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    verification BLOB NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    boot TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start INTEGER NOT NULL,
    child_pid INTEGER,
    child_start INTEGER,
    child_boot TEXT,
    child_autogroup INTEGER
) STRICT""",
    # Signed and in no log yet; `refused` is the code of the log that will never have it.
    """CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    statement BLOB NOT NULL,
    made INTEGER NOT NULL,
    refused TEXT
) STRICT""",
    # `times` denials like the one recorded at `since` that are in no record yet.
    """CREATE TABLE denials (
    code TEXT NOT NULL,
    step INTEGER NOT NULL,
    artifact BLOB NOT NULL,
    logged INTEGER NOT NULL,
    subject TEXT NOT NULL,
    since INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (code, step, artifact)
) STRICT""",
)
