//! Accounts and invitations.

use p2p_wire::api::ProblemType;
use rusqlite::{Connection, OptionalExtension, Row};

use super::Changes;
use crate::ids::{AccountId, SecretHash};
use crate::refusal::Refusal;
use crate::store::{AccountRow, Change, NewAccount, NodeRow, SessionRow, StoreError};

const COLUMNS: &str = "id, username, admin, disabled, generation, created";

/// All accounts, machines and sessions.
pub(super) fn load(db: &Connection, changes: &mut Changes) -> Result<(), StoreError> {
    let mut accounts = db.prepare(&format!("SELECT {COLUMNS} FROM accounts"))?;
    for row in accounts.query_map([], account_row)? {
        changes.push(Change::Account(row?));
    }
    let mut nodes = db.prepare("SELECT id, public, account, name, last_seen FROM nodes")?;
    for row in nodes.query_map([], node_row)? {
        changes.push(Change::Node(row?));
    }
    let mut sessions = db.prepare("SELECT token, account, node FROM sessions")?;
    let rows = sessions.query_map([], |row| {
        Ok(SessionRow {
            token: SecretHash(row.get(0)?),
            account: AccountId(row.get(1)?),
            node: crate::ids::NodeId(row.get(2)?),
        })
    })?;
    for row in rows {
        changes.push(Change::Session(row?));
    }
    Ok(())
}

pub(super) fn password(
    db: &Connection,
    username: &str,
) -> Result<Option<(AccountId, String)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, password FROM accounts WHERE username = ?1")?;
    Ok(statement
        .query_row([username], |row| Ok((AccountId(row.get(0)?), row.get(1)?)))
        .optional()?)
}

pub(super) fn create(
    db: &Connection,
    changes: &mut Changes,
    new: &NewAccount,
) -> Result<AccountRow, StoreError> {
    if let Some(code) = new.invite {
        // Before the name is looked at: without an invitation nobody learns which names exist.
        let used = db.execute(
            "UPDATE invites SET used_by = ?2 WHERE code = ?1 AND used_by IS NULL AND expires > ?3",
            (&code.0[..], &new.username, new.now),
        )?;
        if used == 0 {
            return Err(Refusal::new(
                ProblemType::BadInvite,
                "that invitation does not exist, was used or has expired",
                "Ask the tracker's administrator for a new one (p2p-tracker invite).",
            )
            .into());
        }
    }
    let made = db.execute(
        "INSERT INTO accounts (username, password, admin, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        (&new.username, &new.password_hash, new.admin, new.now),
    )?;
    if made == 0 {
        return Err(Refusal::new(
            ProblemType::NameTaken,
            format!("the name `{}` is taken", new.username),
            "Choose another name, or log in if it is yours.",
        )
        .into());
    }
    let id = u32::try_from(db.last_insert_rowid())
        .map_err(|_| StoreError::Database("too many accounts".to_owned()))?;
    changed(db, changes, AccountId(id))
}

pub(super) fn set_password(
    db: &Connection,
    account: AccountId,
    hash: &str,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE accounts SET password = ?2 WHERE id = ?1",
        (account.0, hash),
    )?;
    Ok(())
}

pub(super) fn rotate_passkey(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
) -> Result<AccountRow, StoreError> {
    db.execute(
        "UPDATE accounts SET generation = generation + 1 WHERE id = ?1",
        [account.0],
    )?;
    changed(db, changes, account)
}

pub(super) fn set_disabled(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    disabled: bool,
) -> Result<AccountRow, StoreError> {
    db.execute(
        "UPDATE accounts SET disabled = ?2 WHERE id = ?1",
        (account.0, disabled),
    )?;
    changed(db, changes, account)
}

/// Machines, sessions and shares go with it; its catalogue entries have gone before.
pub(super) fn remove(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
) -> Result<(), StoreError> {
    db.execute("DELETE FROM accounts WHERE id = ?1", [account.0])?;
    changes.push(Change::AccountGone(account));
    Ok(())
}

pub(super) fn create_invites(
    db: &Connection,
    codes: &[SecretHash],
    expires: i64,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO invites (code, expires) VALUES (?1, ?2)")?;
    for code in codes {
        insert.execute((&code.0[..], expires))?;
    }
    Ok(())
}

/// Reads the account as it is now, and reports it.
fn changed(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
) -> Result<AccountRow, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1");
    let row = db.query_row(&sql, [account.0], account_row).optional()?;
    let row = row.ok_or_else(|| {
        Refusal::not_found(
            "there is no such account any more",
            "See `p2p-tracker user ls`.",
        )
    })?;
    changes.push(Change::Account(row.clone()));
    Ok(row)
}

fn account_row(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    Ok(AccountRow {
        id: AccountId(row.get(0)?),
        username: row.get(1)?,
        admin: row.get(2)?,
        disabled: row.get(3)?,
        generation: row.get(4)?,
        created: row.get(5)?,
    })
}

/// `id, public, account, name, last_seen`.
pub(super) fn node_row(row: &Row<'_>) -> rusqlite::Result<NodeRow> {
    Ok(NodeRow {
        id: crate::ids::NodeId(row.get(0)?),
        public: row.get(1)?,
        account: AccountId(row.get(2)?),
        name: row.get(3)?,
        last_seen: row.get(4)?,
    })
}
