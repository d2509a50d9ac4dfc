//! The rows of the tables `trackers` and `logins`.

use p2p_wire::Fingerprint;
use p2p_wire::api::Mode;
use rusqlite::{OptionalExtension as _, Row, params};

use super::book::{Account, Health, Login, Secret, Tracker};

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

pub(super) fn read_tracker(row: &Row<'_>) -> rusqlite::Result<Tracker> {
    let mode: Option<String> = row.get("mode")?;
    let fingerprint: Option<String> = row.get("fingerprint")?;
    Ok(Tracker {
        name: row.get("name")?,
        url: row.get("url")?,
        mode: mode.and_then(|name| mode_from(&name)),
        fingerprint: fingerprint.and_then(|text| text.parse().ok()),
        configured: row.get("configured")?,
        health: Health::Untried,
    })
}

/// A login with the tracker and the user it is for.
pub(super) fn read_login(row: &Row<'_>) -> rusqlite::Result<((String, u32), Login)> {
    let account = match (
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
    let login = Login {
        account,
        node_id: row.get("node_id")?,
        ended: false,
    };
    Ok(((row.get("tracker")?, row.get("owner")?), login))
}

/// Keeps what the tracker `name` said of itself.
pub(super) fn set_mode(
    db: &rusqlite::Connection,
    name: &str,
    mode: Mode,
) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE trackers SET mode = ?2 WHERE name = ?1",
        params![name, mode_name(mode)],
    )
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
