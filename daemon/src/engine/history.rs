//! The kept history of transfers: one row for each item, peer and day, so that a peer that comes again and again does not push out the others.

use p2p_wire::InfoHash;
use p2p_wire::control::{HistoryList, Transfer};

use super::view::time_text;
use crate::state::{State, StateError};

/// Rows in one answer at most.
const MAX_ROWS: u32 = 10_000;

/// Rows that are kept, the newest: some tens of megabytes, however many connections there were.
const MAX_KEPT: i64 = 100_000;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// What was exchanged with one peer, over one connection or a part of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which item.
    pub info_hash: InfoHash,
    /// User id of whom it belongs to.
    pub owner: u32,
    /// Its name.
    pub name: String,
    /// `address:port`: where it takes connections, if that is known.
    pub peer: String,
    /// Its program.
    pub client: String,
    /// Block bytes received.
    pub downloaded: u64,
    /// Block bytes sent.
    pub uploaded: u64,
    /// Seconds since 1970.
    pub started: u64,
    /// Seconds since 1970.
    pub ended: u64,
}

/// The newest transfers first, of `owner`'s items alone if one is given. `filter.item` is a full info-hash, or else nothing is found.
pub async fn history(
    state: &State,
    filter: HistoryList,
    owner: Option<u32>,
) -> Result<Vec<Transfer>, StateError> {
    let item: Option<Option<InfoHash>> = filter.item.map(|text| text.parse().ok());
    if item == Some(None) {
        return Ok(Vec::new());
    }
    let item = item.flatten().map(|item| item.0.to_vec());
    let limit = filter.limit.unwrap_or(100).min(MAX_ROWS);
    let rows = state.call(move |tx| {
        let mut query = tx.prepare(
            "SELECT info_hash, name, peer, client, downloaded, uploaded, started, ended FROM transfers
             WHERE (?1 IS NULL OR info_hash = ?1) AND (?2 IS NULL OR owner = ?2)
             ORDER BY ended DESC, id DESC LIMIT ?3",
        )?;
        let rows = query.query_map((item, owner, limit), |row| {
            Ok(Transfer {
                info_hash: InfoHash(row.get(0)?),
                name: row.get(1)?,
                peer: row.get(2)?,
                client: row.get(3)?,
                downloaded: row.get::<_, i64>(4)?.max(0) as u64,
                uploaded: row.get::<_, i64>(5)?.max(0) as u64,
                started: time_text(row.get::<_, i64>(6)?.max(0) as u64),
                ended: time_text(row.get::<_, i64>(7)?.max(0) as u64),
            })
        })?;
        rows.collect()
    });
    rows.await
}

/// Writes sessions, in one transaction with whatever else `tx` holds.
pub(crate) fn insert(tx: &rusqlite::Connection, sessions: &[Session]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO transfers (info_hash, owner, name, peer, client, downloaded, uploaded, started, ended, day)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (info_hash, peer, day) DO UPDATE SET
             owner = excluded.owner, name = excluded.name, client = excluded.client,
             downloaded = downloaded + excluded.downloaded, uploaded = uploaded + excluded.uploaded,
             started = min(started, excluded.started), ended = max(ended, excluded.ended)",
    )?;
    for session in sessions {
        insert.execute((
            &session.info_hash.0[..],
            session.owner,
            &session.name,
            &session.peer,
            &session.client,
            session.downloaded as i64,
            session.uploaded as i64,
            session.started as i64,
            session.ended as i64,
            (session.ended / DAY) as i64,
        ))?;
    }
    forget(tx, MAX_KEPT)
}

/// Deletes all but the newest rows.
fn forget(tx: &rusqlite::Connection, kept: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM transfers WHERE id <= (SELECT max(id) FROM transfers) - ?";
    tx.prepare_cached(sql)?.execute([kept]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn transfers_come_back_newest_first_and_by_item() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let sessions: Vec<Session> = (0..3)
            .map(|n| Session {
                info_hash: InfoHash([n % 2; 20]),
                owner: u32::from(n),
                name: format!("item {n}"),
                peer: format!("127.0.0.1:{n}"),
                client: "p2p".into(),
                downloaded: u64::from(n),
                uploaded: 5,
                started: 0,
                ended: 60,
            })
            .collect();
        state.call(move |tx| insert(tx, &sessions)).await.unwrap();
        let names = |rows: Vec<Transfer>| rows.into_iter().map(|t| t.name).collect::<Vec<_>>();
        let all = history(&state, HistoryList::default(), None).await.unwrap();
        assert_eq!(all[0].ended, "1970-01-01T00:01:00Z");
        assert_eq!(names(all), ["item 2", "item 1", "item 0"]);
        let filter = HistoryList {
            item: Some(InfoHash([0; 20]).to_string()),
            limit: Some(1),
        };
        assert_eq!(
            names(history(&state, filter, None).await.unwrap()),
            ["item 2"]
        );
        let own = history(&state, HistoryList::default(), Some(1)).await;
        assert_eq!(names(own.unwrap()), ["item 1"]);
        let none = HistoryList {
            item: Some("big".into()),
            limit: None,
        };
        assert!(history(&state, none, None).await.unwrap().is_empty());
        state.call(|tx| forget(tx, 2)).await.unwrap();
        let all = history(&state, HistoryList::default(), None).await.unwrap();
        assert_eq!(names(all), ["item 2", "item 1"]);
    }

    #[tokio::test]
    async fn a_peer_that_comes_again_and_again_has_one_row_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let session = |peer: u8, ended: u64| Session {
            info_hash: InfoHash([7; 20]),
            owner: 0,
            name: "item".into(),
            peer: format!("10.0.0.{peer}:6881"),
            client: "p2p".into(),
            downloaded: 3,
            uploaded: 1,
            started: ended - 60,
            ended,
        };
        let again = (0..500).map(|n| session(1, DAY + 100 + n));
        let others = [session(2, DAY + 50), session(1, 2 * DAY + 5)];
        let sessions: Vec<Session> = again.chain(others).collect();
        state.call(move |tx| insert(tx, &sessions)).await.unwrap();
        let rows = history(&state, HistoryList::default(), None).await.unwrap();
        let shown = rows
            .iter()
            .map(|row| (&row.peer[..], row.downloaded, row.uploaded));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                ("10.0.0.1:6881", 3, 1),
                ("10.0.0.1:6881", 1_500, 500),
                ("10.0.0.2:6881", 3, 1)
            ]
        );
        assert_eq!(rows[1].started, "1970-01-02T00:00:40Z");
        assert_eq!(rows[1].ended, "1970-01-02T00:09:59Z");
    }
}
