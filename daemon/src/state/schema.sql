-- resume/: one row per item, dormant or awake.
CREATE TABLE items (
    info_hash   BLOB PRIMARY KEY NOT NULL,
    record      BLOB NOT NULL,          -- see resume/: versioned, checked when read
    metainfo    BLOB                    -- the .torrent's bytes; NULL while only a magnet link is known
) WITHOUT ROWID;

-- engine/history: one row per item, peer and day of exchange.
CREATE TABLE transfers (
    id          INTEGER PRIMARY KEY,
    info_hash   BLOB NOT NULL,
    owner       INTEGER NOT NULL,       -- user id of whom the item belongs to
    name        TEXT NOT NULL,
    peer        TEXT NOT NULL,
    client      TEXT NOT NULL,
    downloaded  INTEGER NOT NULL,
    uploaded    INTEGER NOT NULL,
    started     INTEGER NOT NULL,       -- seconds since 1970
    ended       INTEGER NOT NULL,
    day         INTEGER NOT NULL,       -- of `ended`: days since 1970
    UNIQUE (info_hash, peer, day)
);
CREATE INDEX transfers_by_end ON transfers (ended);

-- control/settings: what was set by command; wins over the configuration file.
CREATE TABLE settings (
    key         TEXT PRIMARY KEY NOT NULL,
    value       TEXT NOT NULL           -- TOML
) WITHOUT ROWID;

-- tracker/registry: trackers.
CREATE TABLE trackers (
    name        TEXT PRIMARY KEY NOT NULL,
    url         TEXT NOT NULL,
    mode        TEXT,                   -- open, registered or listed, as it said at the last login
    fingerprint TEXT,                   -- SHA-256 of the certificate that the user trusts; NULL: authorities are asked
    configured  INTEGER NOT NULL,       -- 1: the row follows the configuration file
    added       INTEGER NOT NULL        -- order in which they came
) WITHOUT ROWID;

-- tracker/registry: the login of each user of this machine at a tracker.
CREATE TABLE logins (
    tracker     TEXT NOT NULL REFERENCES trackers (name) ON DELETE CASCADE,
    owner       INTEGER NOT NULL,       -- user id
    username    TEXT,                   -- NULL with all but node_id after a logout
    token       TEXT,
    node_id     TEXT,
    node_name   TEXT,
    announce    TEXT,                   -- announce URL with the passkey
    PRIMARY KEY (tracker, owner)
) WITHOUT ROWID;

-- tracker/queue: what must still reach a tracker.
CREATE TABLE publishes (
    id          INTEGER PRIMARY KEY,
    tracker     TEXT NOT NULL,          -- '' for the first one there is
    owner       INTEGER NOT NULL,       -- user id of whose login is used
    info_hash   BLOB NOT NULL,
    entry       TEXT,                   -- share/name that is published; NULL for a withdrawal
    request     TEXT                    -- JSON of the publish request; NULL for a withdrawal
);
CREATE INDEX publishes_by_tracker ON publishes (tracker, owner, id);
CREATE INDEX publishes_by_hash ON publishes (info_hash, tracker, owner);

-- share/: shares, and the entries in them that are items.
CREATE TABLE shares (
    id          INTEGER PRIMARY KEY,
    path        BLOB NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    owner       INTEGER NOT NULL,       -- user id of whom it belongs to
    configured  INTEGER NOT NULL,       -- 1: it follows the configuration file
    options     TEXT NOT NULL,          -- JSON: as it was asked for
    is_file     INTEGER NOT NULL,       -- 1: it was a file when it was shared
    left_out    TEXT NOT NULL DEFAULT '[]', -- JSON: globs of what gates want left out
    file_system INTEGER,                -- with the inode: what was mounted there when it was last looked at
    inode       INTEGER,
    UNIQUE (owner, name)
);
CREATE TABLE share_entries (
    share       INTEGER NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    entry       BLOB NOT NULL,          -- path below the share
    info_hash   BLOB NOT NULL,
    published   INTEGER NOT NULL DEFAULT 0,
    stamp       BLOB NOT NULL,          -- digests of the identity of its files when it was hashed
    size        INTEGER NOT NULL,
    PRIMARY KEY (share, entry)
) WITHOUT ROWID;
CREATE INDEX share_entries_by_hash ON share_entries (info_hash);

-- hooks/journal: what a hook must still be told, in order; a row goes when its hook has it.
CREATE TABLE hook_deliveries (
    id          INTEGER PRIMARY KEY,
    hook        TEXT NOT NULL,          -- file name, or plugin NAME
    event       TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    info_hash   BLOB,                   -- order is kept for each item
    body        TEXT NOT NULL,          -- the JSON that the hook reads
    UNIQUE (event_id, hook)
);

-- hooks/journal: what must still be told of a record that is on disk; written with it, gone when hook_deliveries has it.
CREATE TABLE hook_owed (
    info_hash   BLOB NOT NULL,
    topic       TEXT NOT NULL,
    name        TEXT NOT NULL,
    text        TEXT NOT NULL,
    PRIMARY KEY (info_hash, topic)
) WITHOUT ROWID;

-- hooks/journal: the last runs.
CREATE TABLE hook_runs (
    id          INTEGER PRIMARY KEY,
    run         TEXT NOT NULL           -- JSON
);

-- hooks/journal: items that a gate holds, or has let pass and that are not at their place yet.
CREATE TABLE hook_holds (
    info_hash   BLOB PRIMARY KEY NOT NULL,
    gate        TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    verdict     TEXT NOT NULL,          -- asking, refused or allowed
    held_by     TEXT NOT NULL,          -- the hook that was asked last
    reason      TEXT NOT NULL
) WITHOUT ROWID;

-- hooks/journal: what each plugin wants to hear, as it said last.
CREATE TABLE hook_plugins (
    name        TEXT PRIMARY KEY NOT NULL,
    manifest    TEXT NOT NULL           -- JSON
) WITHOUT ROWID;
