//! Accounts, machines and sessions in memory, as the store's writer reports them: no request waits for the database to know who asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::ids::{AccountId, NodeId, SecretHash};
use crate::store::{AccountRow, Change, NodeRow, SessionRow};

/// A machine, with when it was last heard of.
#[derive(Debug)]
pub struct Machine {
    /// As the database has it.
    pub row: NodeRow,
    last_seen: AtomicI64,
    flushed: AtomicI64,
}

impl Machine {
    /// Seconds since 1970.
    pub fn last_seen(&self) -> i64 {
        self.last_seen.load(Ordering::Relaxed)
    }
}

/// Who a session belongs to.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account.
    pub account: Arc<AccountRow>,
    /// The machine.
    pub node: Arc<Machine>,
    /// The session.
    pub token: SecretHash,
}

#[derive(Default)]
struct Tables {
    accounts: HashMap<AccountId, Arc<AccountRow>>,
    by_name: HashMap<String, AccountId>,
    nodes: HashMap<NodeId, Arc<Machine>>,
    sessions: HashMap<SecretHash, SessionRow>,
}

/// All of them.
#[derive(Default)]
pub struct Directory {
    tables: RwLock<Tables>,
}

impl Directory {
    /// Takes a committed change.
    pub fn apply(&self, change: &Change) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Account(row) => {
                tables.by_name.insert(row.username.clone(), row.id);
                tables.accounts.insert(row.id, Arc::new(row.clone()));
            }
            Change::AccountGone(id) => {
                if let Some(row) = tables.accounts.remove(id) {
                    tables.by_name.remove(&row.username);
                }
                tables.nodes.retain(|_, machine| machine.row.account != *id);
                tables.sessions.retain(|_, session| session.account != *id);
            }
            Change::Node(row) => {
                let seen = || AtomicI64::new(row.last_seen);
                let machine = Machine {
                    row: row.clone(),
                    last_seen: seen(),
                    flushed: seen(),
                };
                tables.nodes.insert(row.id, Arc::new(machine));
            }
            Change::NodeGone(id) => {
                tables.nodes.remove(id);
                tables.sessions.retain(|_, session| session.node != *id);
            }
            Change::Session(row) => {
                tables.sessions.insert(row.token, row.clone());
            }
            Change::SessionGone(token) => {
                tables.sessions.remove(token);
            }
            Change::Listing(..) => {}
        }
    }

    /// The session of a token; notes that its machine was heard of `now`, in seconds since 1970.
    pub fn login(&self, token: SecretHash, now: i64) -> Option<Login> {
        let tables = self.read();
        let session = tables.sessions.get(&token)?;
        let account = Arc::clone(tables.accounts.get(&session.account)?);
        let node = Arc::clone(tables.nodes.get(&session.node)?);
        node.last_seen.fetch_max(now, Ordering::Relaxed);
        Some(Login {
            account,
            node,
            token,
        })
    }

    /// An account by number.
    pub fn account(&self, id: AccountId) -> Option<Arc<AccountRow>> {
        self.read().accounts.get(&id).cloned()
    }

    /// An account by name.
    pub fn account_named(&self, name: &str) -> Option<Arc<AccountRow>> {
        let tables = self.read();
        tables
            .by_name
            .get(name)
            .and_then(|id| tables.accounts.get(id))
            .cloned()
    }

    /// All accounts by name.
    pub fn accounts(&self) -> Vec<Arc<AccountRow>> {
        let mut all: Vec<_> = self.read().accounts.values().cloned().collect();
        all.sort_by(|a, b| a.username.cmp(&b.username));
        all
    }

    /// All machines with the names of their accounts, by account and name.
    pub fn machines(&self) -> Vec<(String, Arc<Machine>)> {
        let tables = self.read();
        let with_account = |machine: &Arc<Machine>| {
            let account = tables.accounts.get(&machine.row.account)?;
            Some((account.username.clone(), Arc::clone(machine)))
        };
        let mut all: Vec<_> = tables.nodes.values().filter_map(with_account).collect();
        all.sort_by(|a, b| (&a.0, &a.1.row.name).cmp(&(&b.0, &b.1.row.name)));
        all
    }

    /// `account/node`.
    pub fn node_name(&self, node: NodeId) -> Option<String> {
        let tables = self.read();
        let machine = tables.nodes.get(&node)?;
        let account = tables.accounts.get(&machine.row.account)?;
        Some(format!("{}/{}", account.username, machine.row.name))
    }

    /// The machines that were heard of since the last call, and when.
    pub fn take_seen(&self) -> Vec<(NodeId, i64)> {
        let tables = self.read();
        let fresh = |machine: &Arc<Machine>| {
            let seen = machine.last_seen();
            (machine.flushed.swap(seen, Ordering::Relaxed) != seen)
                .then_some((machine.row.id, seen))
        };
        tables.nodes.values().filter_map(fresh).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}
