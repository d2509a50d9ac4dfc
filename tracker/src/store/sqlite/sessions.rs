//! Sessions and the machines they are on.

use rusqlite::{Connection, OptionalExtension};

use super::Changes;
use super::accounts::node_row;
use crate::ids::{AccountId, NodeId, SecretHash};
use crate::store::{Change, NewSession, NodeRow, SessionRow, StoreError};

pub(super) fn begin(
    db: &Connection,
    changes: &mut Changes,
    new: &NewSession,
) -> Result<NodeRow, StoreError> {
    let known = match new.node {
        Some(public) => db
            .prepare_cached(
                "SELECT id, public, account, name, last_seen FROM nodes WHERE public = ?1 AND account = ?2",
            )?
            .query_row((&public[..], new.account.0), node_row)
            .optional()?,
        None => None,
    };
    let mut node = match known {
        Some(node) => node,
        None => {
            make_room(db, changes, new.account, new.max_nodes)?;
            // The name is settled below; the id is unique already.
            db.execute(
                "INSERT INTO nodes (public, account, name, last_seen) VALUES (?1, ?2, hex(?1), ?3)",
                (&new.fresh_node[..], new.account.0, new.now),
            )?;
            let id = u32::try_from(db.last_insert_rowid())
                .map_err(|_| StoreError::Database("too many machines".to_owned()))?;
            NodeRow {
                id: NodeId(id),
                public: new.fresh_node,
                account: new.account,
                name: String::new(),
                last_seen: new.now,
            }
        }
    };
    node.name = free_name(db, new.account, node.id, &new.node_name)?;
    node.last_seen = new.now;
    db.execute(
        "UPDATE nodes SET name = ?2, last_seen = ?3 WHERE id = ?1",
        (node.id.0, &node.name, new.now),
    )?;
    // A machine has one login: an earlier one of it was lost or is replaced.
    end_of_node(db, changes, node.id)?;
    db.execute(
        "INSERT INTO sessions (token, account, node, created) VALUES (?1, ?2, ?3, ?4)",
        (&new.token.0[..], new.account.0, node.id.0, new.now),
    )?;
    changes.push(Change::Node(node.clone()));
    changes.push(Change::Session(SessionRow {
        token: new.token,
        account: new.account,
        node: node.id,
    }));
    Ok(node)
}

pub(super) fn end(
    db: &Connection,
    changes: &mut Changes,
    token: SecretHash,
) -> Result<(), StoreError> {
    db.execute("DELETE FROM sessions WHERE token = ?1", [&token.0[..]])?;
    changes.push(Change::SessionGone(token));
    Ok(())
}

pub(super) fn end_all(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    except: Option<SecretHash>,
) -> Result<(), StoreError> {
    let mut select = db.prepare_cached("SELECT token FROM sessions WHERE account = ?1")?;
    let tokens = select
        .query_map([account.0], |row| Ok(SecretHash(row.get(0)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for token in tokens {
        if Some(token) != except {
            end(db, changes, token)?;
        }
    }
    Ok(())
}

pub(super) fn touch(
    db: &Connection,
    changes: &mut Changes,
    seen: &[(NodeId, i64)],
    idle_before: i64,
) -> Result<(), StoreError> {
    let mut update =
        db.prepare_cached("UPDATE nodes SET last_seen = max(last_seen, ?2) WHERE id = ?1")?;
    for (node, at) in seen {
        update.execute((node.0, at))?;
    }
    let mut select = db.prepare_cached(
        "SELECT token FROM sessions JOIN nodes ON nodes.id = sessions.node WHERE nodes.last_seen < ?1",
    )?;
    let idle = select
        .query_map([idle_before], |row| Ok(SecretHash(row.get(0)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    idle.into_iter()
        .try_for_each(|token| end(db, changes, token))
}

fn end_of_node(db: &Connection, changes: &mut Changes, node: NodeId) -> Result<(), StoreError> {
    let mut select = db.prepare_cached("SELECT token FROM sessions WHERE node = ?1")?;
    let tokens = select
        .query_map([node.0], |row| Ok(SecretHash(row.get(0)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    tokens
        .into_iter()
        .try_for_each(|token| end(db, changes, token))
}

/// Forgets the machines of the account that were not heard of for the longest time, so that one more fits.
fn make_room(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    max_nodes: u32,
) -> Result<(), StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id FROM nodes WHERE account = ?1 ORDER BY last_seen DESC, id DESC LIMIT -1 OFFSET ?2",
    )?;
    let rows = select.query_map((account.0, max_nodes.saturating_sub(1)), |row| row.get(0))?;
    for id in rows.collect::<Result<Vec<u32>, _>>()? {
        db.execute("DELETE FROM nodes WHERE id = ?1", [id])?;
        changes.push(Change::NodeGone(NodeId(id)));
    }
    Ok(())
}

/// `wanted`, or `wanted-2` and so on where another machine of the account has it.
fn free_name(
    db: &Connection,
    account: AccountId,
    node: NodeId,
    wanted: &str,
) -> Result<String, StoreError> {
    let mut taken =
        db.prepare_cached("SELECT 1 FROM nodes WHERE account = ?1 AND name = ?2 AND id <> ?3")?;
    let mut name = wanted.to_owned();
    for number in 2u32.. {
        if !taken.exists((account.0, &name, node.0))? {
            break;
        }
        name = format!("{wanted}-{number}");
    }
    Ok(name)
}
