//! The tracker as a whole: its parts, and what they do together.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use p2p_wire::InfoHash;
use p2p_wire::api::{AvailabilitySummary, FileEntry, TrackerInfo};
use tokio::sync::{Notify, Semaphore};

use crate::accounts::{Accounts, Directory, PasskeyKey};
use crate::catalogue::{Catalogue, Listings};
use crate::config::Config;
use crate::hooks::Hooks;
use crate::ids::{AccountId, NodeId};
use crate::journal::Journal;
use crate::lock::lock;
use crate::metrics::Counters;
use crate::points::{Points, Silent};
use crate::refusal::Refusal;
use crate::reporting::Turns;
use crate::store::sqlite::SqliteStore;
use crate::store::{Change, FileRow, HeldRange, Mirror, NewLine, Store, StoreError};
use crate::swarms::{Caps, Swarms};
use crate::throttle::Throttle;
use crate::time::{Clock, rfc3339, unix_now};

/// Seconds between two looks for what expired.
pub const EXPIRE_EVERY: u64 = 10;
/// Lines of the log a minute about what the clients of one account do: a machine with some thousand items that starts, and no flood.
const LINES_PER_MINUTE: u32 = 3_000;
/// KiB of large request bodies that are read and worked on at once.
pub(crate) const BODIES_KIB: u32 = 256 * 1_024;
/// Seconds between two writes of what is kept lazily: when machines were seen, who held what.
pub const FLUSH_EVERY: u64 = 60;

/// A tracker: everything but its sockets.
pub struct Tracker {
    config: RwLock<Arc<Config>>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Who.
    pub accounts: Accounts,
    /// What.
    pub catalogue: Catalogue,
    /// Who has what, by announces.
    pub swarms: Arc<Swarms>,
    points: Arc<Mutex<Points>>,
    /// What happens.
    pub journal: Journal,
    /// Who is told and asked.
    pub hooks: Hooks,
    /// Room for large bodies, in KiB.
    pub(crate) bodies: Semaphore,
    /// Whose report is being taken.
    pub(crate) turns: Turns,
    /// Whose port is being tested.
    pub(crate) tests: Turns,
    /// Lines of the log by account, so that nobody writes it full.
    lines: Throttle<AccountId>,
    /// What is counted.
    pub counters: Counters,
    /// For what expires.
    pub clock: Clock,
}

/// What the store's writer keeps up to date.
struct Known {
    directory: Arc<Directory>,
    listings: Arc<Listings>,
    points: Arc<Mutex<Points>>,
    /// Told when accounts or listings changed.
    changed: Arc<Notify>,
    swarms: Arc<Swarms>,
    clock: Clock,
}

impl Mirror for Known {
    fn apply(&self, change: Change) {
        self.directory.apply(&change);
        if matches!(change, Change::Account(_) | Change::Listing(..)) {
            self.changed.notify_one();
        }
        match change {
            Change::Listing(hash, listing) => {
                // The listing first: whoever registers points looks at it again under their lock.
                let gone = listing.is_none();
                self.listings.set(hash, listing);
                if gone {
                    lock(&self.points).forget(&hash);
                }
            }
            Change::NodeGone(node) => self.leave(node),
            Change::AccountGone(account) => self.bar(account),
            Change::Account(row) if row.disabled => self.bar(row.id),
            _ => {}
        }
    }
}

impl Known {
    fn leave(&self, node: NodeId) {
        while lock(&self.points)
            .leave_one(node, self.clock.now())
            .is_some()
        {}
    }

    /// What the account's machines hold, and where its peers are, is told to nobody any more.
    fn bar(&self, account: AccountId) {
        let machines = lock(&self.points).machines_of(account);
        machines.into_iter().for_each(|node| self.leave(node));
        self.swarms.bar(account);
    }
}

impl Tracker {
    /// Opens the database and starts the journal. The caller holds the lock of the state folder.
    pub async fn open(config: Config, database: &Path) -> Result<Arc<Self>, StoreError> {
        let clock = Clock::start();
        let points = Arc::new(Mutex::new(Points::new(
            rand::random(),
            config.accounts.max_nodes,
        )));
        let known = Known {
            directory: Arc::default(),
            listings: Arc::default(),
            points: Arc::clone(&points),
            changed: Arc::default(),
            swarms: Arc::default(),
            clock,
        };
        let state = database.parent().unwrap_or(Path::new("."));
        let hooks = Hooks::new(state, Arc::clone(&known.changed));
        let (directory, listings) = (Arc::clone(&known.directory), Arc::clone(&known.listings));
        let swarms = Arc::clone(&known.swarms);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(database, Arc::new(known))?);
        let passkeys = PasskeyKey::new(store.passkey_secret().await?);
        Ok(Arc::new(Self {
            accounts: Accounts::new(Arc::clone(&store), directory, passkeys),
            catalogue: Catalogue::new(Arc::clone(&store), listings),
            journal: Journal::start(Arc::clone(&store)),
            config: RwLock::new(Arc::new(config)),
            hooks,
            swarms,
            store,
            points,
            bodies: Semaphore::new(BODIES_KIB as usize),
            turns: Turns::default(),
            tests: Turns::default(),
            lines: Throttle::default(),
            counters: Counters::default(),
            clock,
        }))
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a new configuration; what was read from the old one at the start (listeners, database, folders) stays.
    pub fn reconfigure(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// What it says of itself.
    pub fn info(&self) -> TrackerInfo {
        let config = self.config();
        TrackerInfo {
            name: config.tracker.name.clone(),
            mode: config.tracker.mode,
            server: concat!("p2p-tracker/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The piece points. The lock is held for one item's work at most, or a pass over the numbers of one machine's items.
    pub fn points(&self) -> MutexGuard<'_, Points> {
        lock(&self.points)
    }

    /// Bounds on places in swarms.
    pub fn caps(&self, config: &Config) -> Caps {
        Caps {
            account: config.limits.peers_per_account,
            all: config.limits.peers,
        }
    }

    /// What is known of the pieces of a content, in one line; without reports, what announces say.
    pub fn summary(&self, hash: &InfoHash) -> AvailabilitySummary {
        let silent = self.swarms.silent(hash);
        let known = self.points().item(hash).map(|item| item.summary(silent));
        known.unwrap_or_else(|| {
            let pieces = self
                .catalogue
                .listings()
                .get(hash)
                .map_or(0, |listing| listing.pieces);
            let Silent { seeds, leeches } = silent;
            AvailabilitySummary {
                seeds,
                partial: 0,
                unknown: leeches,
                least: seeds,
                most: seeds,
                nobody: if seeds == 0 { pieces } else { 0 },
                copies: f64::from(seeds),
            }
        })
    }

    /// A row of the catalogue with what is known of its swarm.
    pub fn file_entry(&self, file: FileRow) -> FileEntry {
        let counts = self.swarms.counts(&file.info_hash);
        FileEntry {
            copies: self.summary(&file.info_hash).copies,
            info_hash: file.info_hash,
            owner: file.owner,
            share: file.share,
            entry: file.entry,
            version: file.version,
            newest: file.newest,
            size: file.size,
            pieces: file.pieces,
            piece_len: file.piece_len,
            files: file.files,
            tags: file.tags,
            visibility: file.visibility,
            published: rfc3339(file.published),
            seeds: counts.seeds,
            leeches: counts.leeches,
        }
    }

    /// How the log names who did something: `account/node`, the account, or nobody known.
    pub fn who(&self, account: AccountId, node: Option<NodeId>) -> String {
        let directory = self.accounts.directory();
        node.and_then(|node| directory.node_name(node))
            .or_else(|| {
                directory
                    .account(account)
                    .map(|account| account.username.clone())
            })
            .unwrap_or_else(|| "somebody".to_owned())
    }

    /// Writes what happened to a published file to the log; nothing is written about what nobody published.
    /// `text` gets who it was and the name of the entry.
    pub fn record(
        &self,
        event: &'static str,
        account: AccountId,
        node: Option<NodeId>,
        hash: InfoHash,
        text: impl FnOnce(&str, &str) -> String,
    ) {
        let Some(listing) = self.catalogue.listings().get(&hash) else {
            return;
        };
        let may = self.lines.take(account, LINES_PER_MINUTE, Instant::now());
        if may.is_err() {
            self.journal.miss();
            return;
        }
        let who = self.who(account, node);
        let node_name = node.and_then(|node| self.accounts.directory().node_name(node));
        self.journal.record(NewLine {
            time: 0,
            event,
            account: self
                .accounts
                .directory()
                .account(account)
                .map(|account| account.username.clone()),
            node: node_name.and_then(|name| name.split_once('/').map(|(_, node)| node.to_owned())),
            info_hash: Some(hash),
            name: Some(listing.name.clone()),
            text: text(&who, listing.entry_name()),
            reader: listing.reader,
        });
    }

    /// Takes away peers and machines that were not heard of.
    pub fn expire(&self) {
        let now = self.clock.now();
        for (hash, removed) in self.swarms.expire(now) {
            for row in removed {
                self.record("left", row.account, row.node, hash, |who, file| {
                    format!("{who} left {file} without a word")
                });
            }
        }
        let silent = self.points().silent(now);
        for node in silent {
            let left = || {
                let mut points = self.points();
                // It may have been heard of again meanwhile.
                points
                    .is_silent(node, now)
                    .then(|| points.leave_one(node, now))?
            };
            while let Some((account, hash)) = left() {
                if self.swarms.leave(hash, node) {
                    let text = |who: &str, file: &str| format!("{who} left {file} without a word");
                    self.record("left", account, Some(node), hash, text);
                }
            }
        }
    }

    /// Writes what is kept lazily.
    pub async fn flush(&self) -> Result<(), Refusal> {
        let config = self.config();
        let now = unix_now();
        let idle = i64::try_from(config.accounts.session_idle.0.as_secs()).unwrap_or(i64::MAX);
        self.store
            .touch_nodes(
                self.accounts.directory().take_seen(),
                now.saturating_sub(idle),
            )
            .await?;
        let held = self.take_held();
        if !held.is_empty() {
            self.store.merge_held(held).await?;
        }
        Ok(())
    }

    /// Drops old lines of the log.
    pub async fn prune_log(&self) -> Result<(), Refusal> {
        let log = &self.config().log;
        let keep = i64::try_from(log.keep.0.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000);
        let before = crate::time::unix_millis().saturating_sub(keep);
        // In slices, so that other writes come in between.
        while self.store.prune_log(before, log.max_lines).await? {}
        Ok(())
    }

    /// Writes all that is not on the disk yet and closes the database.
    pub async fn close(&self) {
        self.journal.flush().await;
        if let Err(error) = self.flush().await {
            tracing::warn!("not all could be written at the end: {error}");
        }
        if let Err(error) = self.store.close().await {
            tracing::warn!("closing the database: {error}");
        }
    }

    fn take_held(&self) -> Vec<(InfoHash, Vec<HeldRange>)> {
        let (now, unix) = (self.clock.now(), unix_now());
        let name = |(first, last, node, at): (u32, u32, NodeId, u32)| {
            let holder = self.accounts.directory().node_name(node)?;
            Some(HeldRange {
                first,
                last,
                holder,
                at: unix - i64::from(now.saturating_sub(at)),
            })
        };
        let changed = self.points().changed();
        changed
            .into_iter()
            .filter_map(|handle| self.points().take_held(handle, now))
            .map(|(hash, ranges)| (hash, ranges.into_iter().filter_map(name).collect()))
            .collect()
    }
}
