CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    admin INTEGER NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0 -- what its versions count for, in bytes
) STRICT;

CREATE TABLE invites (
    code BLOB PRIMARY KEY,
    expires INTEGER NOT NULL,
    used_by TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public BLOB NOT NULL UNIQUE,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE sessions (
    token BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account);
CREATE INDEX sessions_node ON sessions (node);

-- The raw `info` dictionary alone: announce URLs and comments of the publisher may hold secrets and are not kept.
CREATE TABLE metainfo (
    info_hash BLOB PRIMARY KEY,
    info BLOB NOT NULL,
    size INTEGER NOT NULL,
    pieces INTEGER NOT NULL,
    piece_len INTEGER NOT NULL,
    files INTEGER NOT NULL
) STRICT;

-- A name stays when all its versions are gone, so that a version number is never given twice.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    share TEXT NOT NULL,
    entry TEXT NOT NULL,
    last_version INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, share, entry)
) STRICT;

CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
    version INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    info_hash BLOB NOT NULL REFERENCES metainfo,
    visibility INTEGER NOT NULL,
    tags TEXT NOT NULL,
    published INTEGER NOT NULL,
    UNIQUE (entry, version)
) STRICT;
CREATE INDEX files_hash ON files (info_hash);

-- Which machines publish a version; a version goes with the last of them.
CREATE TABLE file_nodes (
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE,
    PRIMARY KEY (file, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_nodes_node ON file_nodes (node);

-- Which machines have a share of this name.
CREATE TABLE share_nodes (
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    share TEXT NOT NULL,
    node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE,
    PRIMARY KEY (account, share, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX share_nodes_node ON share_nodes (node);

CREATE VIRTUAL TABLE files_text USING fts5 (name, paths, tags, tokenize = 'trigram');

CREATE TABLE log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    event TEXT NOT NULL,
    account TEXT,
    node TEXT,
    info_hash BLOB,
    name TEXT,
    text TEXT NOT NULL,
    reader INTEGER -- the account that alone is shown it; NULL: whoever may see the content
) STRICT;
CREATE INDEX log_hash ON log (info_hash, seq);
CREATE INDEX log_account ON log (account, seq);
CREATE INDEX log_time ON log (time);

CREATE TABLE held (info_hash BLOB PRIMARY KEY, ranges TEXT NOT NULL) STRICT, WITHOUT ROWID;
