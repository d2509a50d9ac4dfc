-- Events that have hooks: what is told of the others is not written down.
CREATE TABLE IF NOT EXISTS hook_wanted (event TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- What hooks must still be told, written in the transaction that makes it true.
CREATE TABLE IF NOT EXISTS hook_due (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    event TEXT NOT NULL,
    time INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    account TEXT NOT NULL,
    share TEXT,
    entry TEXT,
    version INTEGER,
    info_hash BLOB,
    size INTEGER,
    -- The names of the hooks that have heard, one a line.
    told TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TRIGGER IF NOT EXISTS tell_account_created AFTER INSERT ON accounts
WHEN EXISTS (SELECT 1 FROM hook_wanted WHERE event = 'account.created')
BEGIN
    INSERT INTO hook_due (event, account) VALUES ('account.created', NEW.username);
END;

CREATE TRIGGER IF NOT EXISTS tell_file_published AFTER INSERT ON files
WHEN EXISTS (SELECT 1 FROM hook_wanted WHERE event = 'file.published')
BEGIN
    INSERT INTO hook_due (event, account, share, entry, version, info_hash, size)
    SELECT 'file.published', a.username, e.share, e.entry, NEW.version, NEW.info_hash, m.size
    FROM entries e JOIN accounts a ON a.id = e.account JOIN metainfo m ON m.info_hash = NEW.info_hash
    WHERE e.id = NEW.entry;
END;

CREATE TRIGGER IF NOT EXISTS tell_file_removed BEFORE DELETE ON files
WHEN EXISTS (SELECT 1 FROM hook_wanted WHERE event = 'file.removed')
BEGIN
    INSERT INTO hook_due (event, account, share, entry, version, info_hash, size)
    SELECT 'file.removed', a.username, e.share, e.entry, OLD.version, OLD.info_hash, m.size
    FROM entries e JOIN accounts a ON a.id = e.account JOIN metainfo m ON m.info_hash = OLD.info_hash
    WHERE e.id = OLD.entry;
END;
