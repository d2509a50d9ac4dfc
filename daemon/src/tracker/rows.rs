//! The rows of the table `trackers`.

use p2p_wire::Fingerprint;
use p2p_wire::api::Mode;
use rusqlite::{OptionalExtension as _, Row, params};

use super::registry::{Account, Entry, Health, Secret};

pub(super) fn follow_file(
    db: &rusqlite::Connection,
    rows: &[(String, String)],
) -> rusqlite::Result<()> {
    let mut query = db.prepare("SELECT name FROM trackers WHERE configured = 1")?;
    let known: Vec<String> = query
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in known {
        if !rows.iter().any(|(configured, _)| *configured == name) {
            db.execute("DELETE FROM trackers WHERE name = ?1", [name])?;
        }
    }
    for (name, url) in rows {
        let found: Option<(String, bool)> = db
            .query_row(
                "SELECT url, configured FROM trackers WHERE name = ?1",
                [name],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match found {
            Some((old, _)) if old == *url => {}
            Some((old, false)) => tracing::warn!(
                "tracker {name} is {old} by command and {url} in the configuration file; the command wins"
            ),
            Some((_, true)) => {
                db.execute("DELETE FROM trackers WHERE name = ?1", [name])?;
                insert(db, name, url, true, None)?;
            }
            None => insert(db, name, url, true, None)?,
        }
    }
    Ok(())
}

pub(super) fn insert(
    db: &rusqlite::Connection,
    name: &str,
    url: &str,
    configured: bool,
    fingerprint: Option<Fingerprint>,
) -> rusqlite::Result<()> {
    let next: i64 = db.query_row(
        "SELECT COALESCE(MAX(added), 0) + 1 FROM trackers",
        [],
        |row| row.get(0),
    )?;
    db.execute(
        "INSERT INTO trackers (name, url, configured, added, fingerprint) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            name,
            url,
            configured,
            next,
            fingerprint.map(|fingerprint| fingerprint.to_string())
        ],
    )?;
    Ok(())
}

pub(super) fn read_row(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let login = match (
        row.get::<_, Option<String>>("username")?,
        row.get::<_, Option<String>>("token")?,
        row.get::<_, Option<String>>("announce")?,
    ) {
        (Some(username), Some(token), Some(announce)) => Some(Account {
            username,
            token: Secret::new(token),
            node_name: row
                .get::<_, Option<String>>("node_name")?
                .unwrap_or_default(),
            announce: Secret::new(announce),
        }),
        _ => None,
    };
    let mode: Option<String> = row.get("mode")?;
    let fingerprint: Option<String> = row.get("fingerprint")?;
    Ok(Entry {
        name: row.get("name")?,
        url: row.get("url")?,
        login,
        node_id: row.get("node_id")?,
        mode: mode.and_then(|name| mode_from(&name)),
        fingerprint: fingerprint.and_then(|text| text.parse().ok()),
        configured: row.get("configured")?,
        health: Health::Untried,
    })
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Open => "open",
        Mode::Registered => "registered",
        Mode::Listed => "listed",
    }
}

pub(super) fn mode_from(name: &str) -> Option<Mode> {
    [Mode::Open, Mode::Registered, Mode::Listed]
        .into_iter()
        .find(|mode| mode_name(*mode) == name)
}
