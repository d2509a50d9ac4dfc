//! Items that a gate holds: what was asked, what was said, and the table that keeps it. Nothing is served that has a row here and was not
//! allowed, so a row is there before the item is, and goes after it was let pass.

use p2p_wire::InfoHash;
use rusqlite::{Connection, params};

use super::event::{Gate, new_id};
use super::journal::Journal;
use crate::state::StateError;

/// An item that a gate holds, or has let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which gate.
    pub gate: Gate,
    /// The same each time the question is asked.
    pub event_id: String,
    /// What came of it so far.
    pub verdict: HoldVerdict,
    /// The hook that was asked last; empty before the first answer.
    pub by: String,
    /// What it said.
    pub reason: String,
}

/// See [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldVerdict {
    /// No answer yet, or "ask again later".
    Asking,
    /// Held until someone decides.
    Refused,
    /// It may pass.
    Allowed,
}

impl Hold {
    /// A question not asked yet.
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            event_id: new_id(),
            verdict: HoldVerdict::Asking,
            by: String::new(),
            reason: String::new(),
        }
    }

    /// A sentence for the item's line.
    pub fn text(&self) -> String {
        let gate = self.gate.name();
        match (self.verdict, self.by.is_empty()) {
            (HoldVerdict::Refused, _) => format!("refused by {gate} {}: {}", self.by, self.reason),
            (HoldVerdict::Allowed, _) => format!("{gate} let it pass"),
            (HoldVerdict::Asking, true) => format!("{gate} is asked"),
            (HoldVerdict::Asking, false) => format!("{gate} {}: {}", self.by, self.reason),
        }
    }
}

impl Journal {
    /// All holds.
    pub(super) async fn holds(&self) -> Result<Vec<(InfoHash, Hold)>, StateError> {
        self.0
            .call(|tx| {
                let sql =
                    "SELECT info_hash, gate, event_id, verdict, held_by, reason FROM hook_holds";
                let mut query = tx.prepare(sql)?;
                let rows = query.query_map([], |row| {
                    let (gate, verdict): (String, String) = (row.get(1)?, row.get(3)?);
                    let known = Gate::of(&gate).zip(HoldVerdict::of(&verdict));
                    // What cannot be read holds on: someone must decide.
                    let (gate, verdict) = known.unwrap_or((Gate::PreRelease, HoldVerdict::Refused));
                    let hold = Hold {
                        gate,
                        verdict,
                        event_id: row.get(2)?,
                        by: row.get(4)?,
                        reason: row.get(5)?,
                    };
                    Ok((InfoHash(row.get(0)?), hold))
                })?;
                rows.collect()
            })
            .await
    }

    /// Keeps a hold; it is on disk when this returns.
    pub(super) async fn hold(&self, item: InfoHash, hold: Hold) -> Result<(), StateError> {
        self.0
            .call(move |tx| {
                tx.execute(
                    "INSERT OR REPLACE INTO hook_holds VALUES (?, ?, ?, ?, ?, ?)",
                    params![
                        item.0,
                        hold.gate.name(),
                        hold.event_id,
                        hold.verdict.name(),
                        hold.by,
                        hold.reason
                    ],
                )
                .map(drop)
            })
            .await
    }

    /// Keeps what came of a question, if that is the one still asked.
    pub(super) async fn answered(&self, item: InfoHash, hold: Hold) -> Result<(), StateError> {
        let sql = "UPDATE hook_holds SET verdict = ?, held_by = ?, reason = ?
            WHERE info_hash = ? AND event_id = ?";
        self.0
            .call(move |tx| {
                let verdict = hold.verdict.name();
                let row = params![verdict, hold.by, hold.reason, item.0, hold.event_id];
                tx.execute(sql, row).map(drop)
            })
            .await
    }

    /// Nothing holds the item any more.
    pub(super) async fn release(&self, item: InfoHash) -> Result<(), StateError> {
        let sql = "DELETE FROM hook_holds WHERE info_hash = ?";
        let job = move |tx: &Connection| tx.execute(sql, [item.0]).map(drop);
        self.0.call(job).await
    }
}

impl HoldVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Refused => "refused",
            Self::Allowed => "allowed",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [Self::Asking, Self::Refused, Self::Allowed];
        all.into_iter().find(|verdict| verdict.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[tokio::test]
    async fn a_hold_survives_with_who_holds_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let journal = Journal::new(state);
        let item = InfoHash([3; 20]);
        let mut hold = Hold::new(Gate::PreRelease);
        journal.hold(item, hold.clone()).await.unwrap();
        hold.verdict = HoldVerdict::Refused;
        hold.by = "10-scan".into();
        hold.reason = "infected".into();
        journal.answered(item, hold.clone()).await.unwrap();
        let another = Hold::new(Gate::PreRelease);
        journal.answered(item, another).await.unwrap();
        assert_eq!(journal.holds().await.unwrap(), [(item, hold.clone())]);
        assert_eq!(hold.text(), "refused by pre-release 10-scan: infected");
        journal.release(item).await.unwrap();
        assert!(journal.holds().await.unwrap().is_empty());
    }
}
