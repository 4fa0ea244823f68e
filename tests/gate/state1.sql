-- The tables of a state of version 1, as that version made them.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    runtime BLOB NOT NULL CHECK (length(runtime) = 32),
    id BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;
CREATE TABLE memory (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    unix INTEGER NOT NULL,
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL
) STRICT;
CREATE TABLE chain (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    prev BLOB
) STRICT;
CREATE TABLE heads (
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    iat INTEGER NOT NULL,
    protected BLOB NOT NULL,
    signature BLOB NOT NULL,
    trust BLOB NOT NULL,
    note BLOB,
    PRIMARY KEY (origin)
) STRICT;
CREATE TABLE forks (
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    iat INTEGER NOT NULL,
    protected BLOB NOT NULL,
    signature BLOB NOT NULL,
    trust BLOB NOT NULL,
    note BLOB,
    side TEXT NOT NULL CHECK (side IN ('remembered', 'presented')),
    PRIMARY KEY (origin, side)
) STRICT;
CREATE TABLE policies (
    id BLOB PRIMARY KEY,
    owner BLOB NOT NULL,
    policy_set TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    iat INTEGER NOT NULL
) STRICT;
CREATE TABLE proofs (
    origin TEXT NOT NULL,
    size1 INTEGER NOT NULL,
    root1 BLOB NOT NULL,
    size2 INTEGER NOT NULL,
    root2 BLOB NOT NULL,
    path BLOB NOT NULL,
    PRIMARY KEY (origin, size1, root1)
) STRICT;
CREATE TABLE uses (
    authorization BLOB PRIMARY KEY,
    used INTEGER NOT NULL CHECK (used BETWEEN 1 AND allowed),
    allowed INTEGER NOT NULL
) STRICT;
CREATE TABLE reservations (
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
) STRICT;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    statement BLOB NOT NULL,
    made INTEGER NOT NULL,
    refused TEXT
) STRICT;
CREATE TABLE denials (
    code TEXT NOT NULL,
    step INTEGER NOT NULL,
    artifact BLOB NOT NULL,
    logged INTEGER NOT NULL,
    subject TEXT NOT NULL,
    since INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (code, step, artifact)
) STRICT;
