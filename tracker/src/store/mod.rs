//! What must survive a restart: accounts, machines, logins, the catalogue, the log, the last known holders.
//!
//! [`Store`] is all that the tracker knows of its database. Rules that an implementation keeps:
//! - What a method acknowledged is on the disk, synced.
//! - A method that failed changed nothing.
//! - Each commit's [`Change`]s go to the [`Mirror`] in the order of the commits and before the caller hears of it. What answers requests
//!   from memory therefore never runs ahead of the disk, nor differs from it, whoever gave up waiting.

mod rows;
pub mod sqlite;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use p2p_wire::InfoHash;

use crate::ids::{AccountId, NodeId, SecretHash};
use crate::refusal::Refusal;

pub use rows::*;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, read-only or failing.
    #[error("the disk is full or failed: {0}")]
    Unavailable(String),
    /// The queue of the writer is full.
    #[error("too many writes are waiting")]
    Busy,
    /// What was asked takes too long to read.
    #[error("the answer takes too long to find")]
    TooLong,
    /// The store was closed.
    #[error("the store is closed")]
    Stopped,
    /// The database is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Anything else that the database says.
    #[error("database: {0}")]
    Database(String),
    /// The data do not allow it.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Holds in memory what requests need at once; see the module's doc for what it may rely on.
pub trait Mirror: Send + Sync + 'static {
    /// Takes one committed change. Called from the writer: short, no waiting.
    fn apply(&self, change: Change);
}

/// What a method answers, when the database has.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The database behind the tracker.
pub trait Store: Send + Sync + 'static {
    /// The key of the passkeys' MAC.
    fn passkey_secret(&self) -> Answer<'_, [u8; 32]>;

    /// Number and password hash of an account.
    fn password(&self, username: String) -> Answer<'_, Option<(AccountId, String)>>;
    /// Makes an account; refused when the name is taken or the invitation is not good.
    fn create_account(&self, new: NewAccount) -> Answer<'_, AccountRow>;
    /// Sets a password and ends all logins of the account but `except`.
    fn set_password(
        &self,
        account: AccountId,
        hash: String,
        except: Option<SecretHash>,
    ) -> Answer<'_, ()>;
    /// Makes every earlier passkey of the account invalid.
    fn rotate_passkey(&self, account: AccountId) -> Answer<'_, AccountRow>;
    /// Disables (and ends all logins) or enables an account.
    fn set_disabled(&self, account: AccountId, disabled: bool) -> Answer<'_, AccountRow>;
    /// Removes an account and all that is its own.
    fn remove_account(&self, account: AccountId) -> Answer<'_, ()>;
    /// Adds invitations that can be used until `expires`, in seconds since 1970.
    fn create_invites(&self, codes: Vec<SecretHash>, expires: i64) -> Answer<'_, ()>;

    /// Makes a session, and its machine where it is new.
    fn login(&self, new: NewSession) -> Answer<'_, NodeRow>;
    /// Ends a session.
    fn logout(&self, token: SecretHash) -> Answer<'_, ()>;
    /// Ends all sessions of an account.
    fn logout_all(&self, account: AccountId) -> Answer<'_, ()>;
    /// Notes when machines were last heard of, in seconds since 1970, and ends sessions of those not heard of since `idle_before`.
    fn touch_nodes(&self, seen: Vec<(NodeId, i64)>, idle_before: i64) -> Answer<'_, ()>;

    /// Publishes; refused when the share belongs to another machine.
    fn publish(&self, new: NewFile) -> Answer<'_, (FileRow, bool)>;
    /// Removes all the account's entries of that content. Answers what is gone.
    fn unpublish(&self, account: AccountId, info_hash: InfoHash) -> Answer<'_, Vec<FileRow>>;
    /// Takes a machine's part of the account's entries of that content away; an entry goes with its last machine. Answers what is gone;
    /// refused when the machine has no part.
    fn withdraw(
        &self,
        account: AccountId,
        node: NodeId,
        info_hash: InfoHash,
    ) -> Answer<'_, Vec<FileRow>>;
    /// Changes tags or visibility of the account's entries of that content.
    fn patch(
        &self,
        account: AccountId,
        info_hash: InfoHash,
        tags: Option<Vec<String>>,
        visibility: Option<p2p_wire::api::Visibility>,
    ) -> Answer<'_, Vec<FileRow>>;
    /// A page of the catalogue.
    fn files(&self, query: FileQuery) -> Answer<'_, Vec<FileRow>>;
    /// All entries of a content, newest first.
    fn entries_of(&self, info_hash: InfoHash) -> Answer<'_, Vec<FileRow>>;
    /// One version of a name, the newest if none is given.
    fn named(
        &self,
        owner: String,
        share: String,
        entry: String,
        version: Option<u32>,
    ) -> Answer<'_, Option<FileRow>>;
    /// The raw `info` dictionary.
    fn info(&self, info_hash: InfoHash) -> Answer<'_, Option<Vec<u8>>>;

    /// Appends to the log; answers the lines with their numbers.
    fn append_log(&self, lines: Vec<NewLine>) -> Answer<'_, Vec<LogLine>>;
    /// Reads the log, newest first.
    fn log(&self, query: LogQuery) -> Answer<'_, Vec<LogLine>>;
    /// Drops some of the lines older than `before` (milliseconds since 1970) or beyond the newest `max_lines`; true when there may be more.
    fn prune_log(&self, before: i64, max_lines: u64) -> Answer<'_, bool>;

    /// Lays what is known of the holders of pieces over what was known before.
    fn merge_held(&self, held: Vec<(InfoHash, Vec<HeldRange>)>) -> Answer<'_, ()>;
    /// The last known holders of the pieces of a content, ascending.
    fn held(&self, info_hash: InfoHash) -> Answer<'_, Vec<HeldRange>>;

    /// Has events written down for hooks from now on, and no others.
    fn hook_want(&self, events: Vec<&'static str>) -> Answer<'_, ()>;
    /// What hooks must still be told behind the row `after`, oldest first.
    fn hook_due(&self, after: i64, limit: u32) -> Answer<'_, Vec<HookDue>>;
    /// One hook has been told of a row.
    fn hook_told(&self, id: i64, hook: String) -> Answer<'_, ()>;
    /// All have: the row goes.
    fn hook_done(&self, id: i64) -> Answer<'_, ()>;

    /// Writes a whole and consistent copy to a new file, while work goes on.
    fn backup(&self, to: PathBuf) -> Answer<'_, ()>;
    /// Whether it reads and takes writes.
    fn ready(&self) -> Answer<'_, ()>;
    /// Finishes what waits and closes. Later calls fail with [`StoreError::Stopped`].
    fn close(&self) -> Answer<'_, ()>;
}
