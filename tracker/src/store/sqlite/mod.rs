//! The store in SQLite: one writer thread with group commit, a few readers, write-ahead log, every commit synced.
//!
//! A write is a closure that the writer runs under a savepoint of its own inside a shared transaction; the callers of a batch are
//! answered after the one sync that makes all of it durable. So a hundred publishes at once cost one sync, and one that fails takes
//! nothing else down.

mod accounts;
mod catalogue;
mod hooks;
mod listing;
mod log;
mod open;
mod sessions;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::api::Visibility;
use rusqlite::Connection;

use self::threads::{Readers, Writer};
use super::{
    AccountRow, Answer, Change, FileQuery, FileRow, HeldRange, HookDue, LogLine, LogQuery, Mirror,
    NewAccount, NewFile, NewLine, NewSession, NodeRow, Store, StoreError,
};
use crate::ids::{AccountId, NodeId, SecretHash};

/// How many threads read.
const READERS: usize = 3;

/// A read that takes longer is broken off: no search of one user keeps the readers from all others.
const READ_TIME: Duration = Duration::from_secs(5);

/// The changes that a write makes to what is mirrored.
type Changes = Vec<Change>;

/// A store in an SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the database at `path`, made if there is none, checks it, and tells `mirror` all that is in it.
    /// The caller holds the lock of the state folder.
    pub fn open(path: &Path, mirror: Arc<dyn Mirror>) -> Result<Self, StoreError> {
        let writer = open::writer(path)?;
        hooks::prepare(&writer)?;
        let mut changes = Changes::new();
        accounts::load(&writer, &mut changes)?;
        catalogue::load(&writer, &mut changes)?;
        for change in changes {
            mirror.apply(change);
        }
        let readers = (0..READERS)
            .map(|_| open::reader(path))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Writer::start(writer, mirror)?,
            readers: Readers::start(readers, READ_TIME)?,
        })
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut Changes) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let answer = self.writer.write(work);
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Stopped)? })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let answer = self.readers.read(work);
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Stopped)? })
    }
}

impl Store for SqliteStore {
    fn passkey_secret(&self) -> Answer<'_, [u8; 32]> {
        self.read(open::passkey_secret)
    }

    fn password(&self, username: String) -> Answer<'_, Option<(AccountId, String)>> {
        self.read(move |db| accounts::password(db, &username))
    }
    fn create_account(&self, new: NewAccount) -> Answer<'_, AccountRow> {
        self.write(move |db, changes| accounts::create(db, changes, &new))
    }
    fn set_password(
        &self,
        account: AccountId,
        hash: String,
        except: Option<SecretHash>,
    ) -> Answer<'_, ()> {
        self.write(move |db, changes| {
            accounts::set_password(db, account, &hash)?;
            sessions::end_all(db, changes, account, except)
        })
    }
    fn rotate_passkey(&self, account: AccountId) -> Answer<'_, AccountRow> {
        self.write(move |db, changes| accounts::rotate_passkey(db, changes, account))
    }
    fn set_disabled(&self, account: AccountId, disabled: bool) -> Answer<'_, AccountRow> {
        self.write(move |db, changes| {
            if disabled {
                sessions::end_all(db, changes, account, None)?;
            }
            accounts::set_disabled(db, changes, account, disabled)
        })
    }
    fn remove_account(&self, account: AccountId) -> Answer<'_, ()> {
        self.write(move |db, changes| {
            catalogue::remove_account(db, changes, account)?;
            accounts::remove(db, changes, account)
        })
    }
    fn create_invites(&self, codes: Vec<SecretHash>, expires: i64) -> Answer<'_, ()> {
        self.write(move |db, _| accounts::create_invites(db, &codes, expires))
    }

    fn login(&self, new: NewSession) -> Answer<'_, NodeRow> {
        self.write(move |db, changes| sessions::begin(db, changes, &new))
    }
    fn logout(&self, token: SecretHash) -> Answer<'_, ()> {
        self.write(move |db, changes| sessions::end(db, changes, token))
    }
    fn logout_all(&self, account: AccountId) -> Answer<'_, ()> {
        self.write(move |db, changes| sessions::end_all(db, changes, account, None))
    }
    fn touch_nodes(&self, seen: Vec<(NodeId, i64)>, idle_before: i64) -> Answer<'_, ()> {
        self.write(move |db, changes| sessions::touch(db, changes, &seen, idle_before))
    }

    fn publish(&self, new: NewFile) -> Answer<'_, (FileRow, bool)> {
        self.write(move |db, changes| catalogue::publish(db, changes, &new))
    }
    fn unpublish(&self, account: AccountId, info_hash: InfoHash) -> Answer<'_, Vec<FileRow>> {
        self.write(move |db, changes| catalogue::unpublish(db, changes, account, info_hash))
    }
    fn withdraw(
        &self,
        account: AccountId,
        node: NodeId,
        info_hash: InfoHash,
    ) -> Answer<'_, Vec<FileRow>> {
        self.write(move |db, changes| catalogue::withdraw(db, changes, account, node, info_hash))
    }
    fn patch(
        &self,
        account: AccountId,
        info_hash: InfoHash,
        tags: Option<Vec<String>>,
        visibility: Option<Visibility>,
    ) -> Answer<'_, Vec<FileRow>> {
        self.write(move |db, changes| {
            catalogue::patch(db, changes, account, info_hash, tags, visibility)
        })
    }
    fn files(&self, query: FileQuery) -> Answer<'_, Vec<FileRow>> {
        self.read(move |db| listing::list(db, &query))
    }
    fn entries_of(&self, info_hash: InfoHash) -> Answer<'_, Vec<FileRow>> {
        self.read(move |db| listing::entries_of(db, info_hash))
    }
    fn named(
        &self,
        owner: String,
        share: String,
        entry: String,
        version: Option<u32>,
    ) -> Answer<'_, Option<FileRow>> {
        self.read(move |db| listing::named(db, &owner, &share, &entry, version))
    }
    fn info(&self, info_hash: InfoHash) -> Answer<'_, Option<Vec<u8>>> {
        self.read(move |db| listing::info(db, info_hash))
    }

    fn append_log(&self, lines: Vec<NewLine>) -> Answer<'_, Vec<LogLine>> {
        self.write(move |db, _| log::append(db, lines))
    }
    fn log(&self, query: LogQuery) -> Answer<'_, Vec<LogLine>> {
        self.read(move |db| log::read(db, &query))
    }
    fn prune_log(&self, before: i64, max_lines: u64) -> Answer<'_, bool> {
        self.write(move |db, _| log::prune(db, before, max_lines))
    }

    fn merge_held(&self, held: Vec<(InfoHash, Vec<HeldRange>)>) -> Answer<'_, ()> {
        self.write(move |db, _| log::merge_held(db, &held))
    }
    fn held(&self, info_hash: InfoHash) -> Answer<'_, Vec<HeldRange>> {
        self.read(move |db| log::held(db, info_hash))
    }

    fn hook_want(&self, events: Vec<&'static str>) -> Answer<'_, ()> {
        self.write(move |db, _| hooks::want(db, &events))
    }
    fn hook_due(&self, after: i64, limit: u32) -> Answer<'_, Vec<HookDue>> {
        self.read(move |db| hooks::due(db, after, limit))
    }
    fn hook_told(&self, id: i64, hook: String) -> Answer<'_, ()> {
        self.write(move |db, _| hooks::told(db, id, &hook))
    }
    fn hook_done(&self, id: i64) -> Answer<'_, ()> {
        self.write(move |db, _| hooks::done(db, id))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, ()> {
        let answer = self.writer.backup(to);
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Stopped)? })
    }
    fn ready(&self) -> Answer<'_, ()> {
        // Through the writer's queue: a writer that hangs is none.
        let written = self.write(|_, _| Ok(()));
        let read = self.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?));
        Box::pin(async move {
            written.await?;
            read.await
        })
    }
    fn close(&self) -> Answer<'_, ()> {
        let done = self.writer.close();
        Box::pin(async move {
            // The sender is dropped without a word when the thread has ended already.
            let _ = done.await;
            Ok(())
        })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, OperationInterrupted, ReadOnly,
            SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Unavailable("the disk is full".to_owned()),
            Some(SystemIoFailure | CannotOpen | ReadOnly) => Self::Unavailable(error.to_string()),
            Some(OperationInterrupted) => Self::TooLong,
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
