-- What a log of the first format was made of, before alembic_version marked the format.
CREATE TABLE entries (
    leaf_index INTEGER NOT NULL,
    record_id BLOB NOT NULL,
    leaf_hash BLOB NOT NULL,
    kind TEXT NOT NULL,
    sub TEXT NOT NULL,
    iss TEXT NOT NULL,
    iat INTEGER NOT NULL,
    key_id BLOB NOT NULL,
    head_size INTEGER NOT NULL,
    series TEXT,
    number INTEGER,
    statement BLOB NOT NULL,
    PRIMARY KEY (leaf_index),
    CHECK (head_size > leaf_index),
    UNIQUE (record_id)
)
 STRICT;
CREATE INDEX entries_key ON entries (key_id);
CREATE INDEX entries_sub ON entries (sub);
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_series ON entries (series, number) WHERE series IS NOT NULL;
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries: what is logged stays as it is'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries: nothing is removed from a log'); END;
CREATE TRIGGER entries_next BEFORE INSERT ON entries WHEN NEW.leaf_index != coalesce((SELECT max(leaf_index) + 1 FROM entries), 0) BEGIN SELECT RAISE(ABORT, 'entries: indices are contiguous'); END;
CREATE TABLE keys (
    thumbprint BLOB NOT NULL,
    algorithm INTEGER NOT NULL,
    encoded BLOB NOT NULL,
    PRIMARY KEY (thumbprint, algorithm)
)
 STRICT;
CREATE TRIGGER keys_keep BEFORE UPDATE ON keys BEGIN SELECT RAISE(ABORT, 'keys: what is logged stays as it is'); END;
CREATE TRIGGER keys_stay BEFORE DELETE ON keys BEGIN SELECT RAISE(ABORT, 'keys: nothing is removed from a log'); END;
CREATE TABLE tiles (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number),
    CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192)
)
 STRICT;
CREATE TRIGGER tiles_stay BEFORE DELETE ON tiles BEGIN SELECT RAISE(ABORT, 'tiles: nothing is removed from a log'); END;
CREATE TRIGGER tiles_grow BEFORE UPDATE ON tiles WHEN NEW.level != OLD.level OR NEW.number != OLD.number OR length(NEW.hashes) <= length(OLD.hashes) OR substr(NEW.hashes, 1, length(OLD.hashes)) != OLD.hashes BEGIN SELECT RAISE(ABORT, 'tiles: a tile keeps its hashes and grows'); END;
CREATE TABLE heads (
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    iat INTEGER NOT NULL,
    protected BLOB NOT NULL,
    signature BLOB NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (size)
)
 STRICT;
CREATE TRIGGER heads_keep BEFORE UPDATE ON heads BEGIN SELECT RAISE(ABORT, 'heads: what is logged stays as it is'); END;
CREATE TRIGGER heads_stay BEFORE DELETE ON heads BEGIN SELECT RAISE(ABORT, 'heads: nothing is removed from a log'); END;
CREATE TRIGGER heads_next BEFORE INSERT ON heads WHEN NEW.size <= coalesce((SELECT max(size) FROM heads), 0) BEGIN SELECT RAISE(ABORT, 'heads: a new head is larger than all before it'); END;
CREATE TABLE head (
    id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    iat INTEGER NOT NULL,
    protected BLOB NOT NULL,
    signature BLOB NOT NULL,
    note BLOB NOT NULL,
    edge BLOB NOT NULL,
    PRIMARY KEY (id),
    CHECK (id = 1)
)
 STRICT;
CREATE TRIGGER head_stay BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'head: nothing is removed from a log'); END;
CREATE TRIGGER head_grow BEFORE UPDATE ON head WHEN NEW.size <= OLD.size OR NEW.iat < OLD.iat BEGIN SELECT RAISE(ABORT, 'head: the head only moves forward'); END;
