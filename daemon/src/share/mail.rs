//! What happens elsewhere and concerns a share, until its task takes it.
//!
//! Nobody who tells a share something waits for it: one whose disk does not answer takes nothing for hours, and the publishes of all others go
//! on meanwhile. So letters that say the same are one, and there are never more than items and entries.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2p_wire::InfoHash;
use tokio::sync::Notify;

use crate::tracker::{Outcome, OutcomeKind};

/// The letters to one share.
#[derive(Clone, Default)]
pub(super) struct Mailbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    letters: Mutex<Letters>,
    came: Notify,
    expected: Mutex<HashMap<InfoHash, Awaited>>,
}

/// An item of which entries are on their way.
#[derive(Default)]
struct Awaited {
    entries: usize,
    outcome: Option<OutcomeKind>,
}

/// That an entry is on its way to the share, whose publish may be answered before it is there.
pub(super) struct Expected {
    mail: Mailbox,
    item: InfoHash,
}

impl Expected {
    /// What became of its publish. For the share, once it has the entry: from then on it hears of it by letter.
    pub(super) fn outcome(self) -> Option<OutcomeKind> {
        let expected = self.mail.expected();
        expected.get(&self.item)?.outcome.clone()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut expected = self.mail.expected();
        if let Some(awaited) = expected.get_mut(&self.item) {
            awaited.entries -= 1;
            if awaited.entries == 0 {
                expected.remove(&self.item);
            }
        }
    }
}

/// What came since the last time.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// What became of publishes; the last word for each item.
    pub(super) outcomes: HashMap<InfoHash, OutcomeKind>,
    /// Entries whose item, which they shared with another entry, is gone.
    pub(super) renewed: HashSet<PathBuf>,
    /// Announce URLs changed.
    pub(super) logins: bool,
    /// Something was mounted or unmounted, somewhere.
    pub(super) mounts: bool,
    /// A gate let an item pass.
    pub(super) passed: bool,
}

impl Mailbox {
    pub(super) fn outcome(&self, outcome: &Outcome) {
        // That an item left the catalogue changes nothing here: its entry went before.
        if outcome.kind != OutcomeKind::Unpublished {
            if let Some(awaited) = self.expected().get_mut(&outcome.item) {
                awaited.outcome = Some(outcome.kind.clone());
            }
            self.put(|letters| {
                letters.outcomes.insert(outcome.item, outcome.kind.clone());
            });
        }
    }

    /// An entry of this item is on its way. To be called before it is published.
    pub(super) fn expect(&self, item: InfoHash) -> Expected {
        self.expected().entry(item).or_default().entries += 1;
        let mail = self.clone();
        Expected { mail, item }
    }

    pub(super) fn renew(&self, entry: PathBuf) {
        self.put(|letters| {
            letters.renewed.insert(entry);
        });
    }

    pub(super) fn logins(&self) {
        self.put(|letters| letters.logins = true);
    }

    pub(super) fn mounts(&self) {
        self.put(|letters| letters.mounts = true);
    }

    pub(super) fn passed(&self) {
        self.put(|letters| letters.passed = true);
    }

    /// Waits until there is something, and takes all of it.
    pub(super) async fn take(&self) -> Letters {
        self.0.came.notified().await;
        std::mem::take(&mut *self.letters())
    }

    fn put(&self, write: impl FnOnce(&mut Letters)) {
        write(&mut self.letters());
        self.0.came.notify_one();
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<InfoHash, Awaited>> {
        let expected = self.0.expected.lock();
        expected.unwrap_or_else(PoisonError::into_inner)
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        let letters = self.0.letters.lock();
        letters.unwrap_or_else(PoisonError::into_inner)
    }
}
