//! Looking through all items in one pass, without making an [`Item`] of each.
//!
//! Dormant items are looked at where they lie. Those that are awake are asked first how they look, beside the registry; then it looks again,
//! since some may have woken meanwhile. So a question about all items costs one pass over the rows, however long their names are, and one about
//! their numbers a look at those that are awake.

use std::collections::HashMap;

use p2p_wire::InfoHash;
use p2p_wire::control::{Item, State};
use tokio::sync::oneshot;

use super::registry::{Command, Registry};
use super::row::{Row, Slot};
use super::rows::Rows;
use super::tally::{Owned, Tally};
use super::torrent::Ask;
use super::view;
use crate::resume::Record;

/// How often those that woke meanwhile are asked; later ones are left out.
const ROUNDS: u32 = 3;

/// A look at all items, and what the awake ones answered so far.
pub(super) struct Survey {
    look: Look,
    known: HashMap<InfoHash, Item>,
    rounds: u32,
}

type Look = Box<dyn FnOnce(&Glances<'_>) + Send>;

impl Survey {
    /// `look` is called once, on the task of the registry: it must be quick.
    pub(super) fn new(look: impl FnOnce(&Glances<'_>) + Send + 'static) -> Box<Self> {
        Box::new(Self {
            look: Box::new(look),
            known: HashMap::new(),
            rounds: 0,
        })
    }
}

/// All items at one moment.
pub struct Glances<'a> {
    rows: &'a Rows,
    known: &'a HashMap<InfoHash, Item>,
}

impl<'a> Glances<'a> {
    /// Each, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Glance<'a>> + use<'a> {
        let known = self.known;
        self.rows
            .iter()
            .filter_map(move |(item, row)| match row.slot {
                Slot::Awake(_) => known.get(item).map(Glance::from),
                Slot::Dormant(_) | Slot::Busy(_) => Glance::of_row(*item, row),
            })
    }

    /// The numbers of those that belong to the user `whose`, or of all. Looks only at those that are awake.
    pub fn tally(&self, whose: Option<u32>) -> Tally {
        let mut tally = Tally::default();
        self.owned(whose).for_each(|owned| tally.join(&owned.tally));
        self.awake(whose).for_each(|one| tally.add(&one));
        tally
    }

    /// Those of the user `whose`, or of all, that are in error, in no order.
    pub fn failed(&self, whose: Option<u32>) -> impl Iterator<Item = Glance<'a>> {
        let dormant = self.owned(whose).flat_map(|owned| &owned.failed);
        let rows = self.rows;
        let dormant = dormant.filter_map(|item| Glance::of_row(*item, rows.get(item)?));
        let awake = self.awake(whose);
        dormant.chain(awake.filter(|one| one.state() == State::Error))
    }

    fn owned(&self, whose: Option<u32>) -> impl Iterator<Item = &'a Owned> + use<'a> {
        let owners = self.rows.tallies().owners.iter();
        let owners = owners.filter(move |(owner, _)| whose.is_none_or(|uid| **owner == uid));
        owners.map(|(_, owned)| owned)
    }

    fn awake(&self, whose: Option<u32>) -> impl Iterator<Item = Glance<'a>> + use<'a> {
        let known = self.known;
        let awake = self.rows.tallies().awake.iter();
        let awake = awake.filter_map(|item| known.get(item).map(Glance::from));
        awake.filter(move |one| whose.is_none_or(|uid| one.owner() == uid))
    }
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Glance<'a> {
    /// Which item.
    pub info_hash: InfoHash,
    of: Of<'a>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Row(&'a Row, &'a Record),
    Shown(&'a Item),
}

impl<'a> From<&'a Item> for Glance<'a> {
    fn from(item: &'a Item) -> Self {
        Self {
            info_hash: item.info_hash,
            of: Of::Shown(item),
        }
    }
}

impl<'a> Glance<'a> {
    /// One that is not awake; `None` for one that is, and while nobody knows how it looks.
    pub(super) fn of_row(info_hash: InfoHash, row: &'a Row) -> Option<Self> {
        let of = match &row.slot {
            Slot::Dormant(record) => Of::Row(row, record),
            Slot::Busy(looks) => Of::Shown(looks.as_deref()?),
            Slot::Awake(_) => return None,
        };
        Some(Self { info_hash, of })
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        match self.of {
            Of::Row(_, record) => &record.name,
            Of::Shown(item) => &item.name,
        }
    }

    /// User id of whom it belongs to.
    pub fn owner(&self) -> u32 {
        match self.of {
            Of::Row(_, record) => record.owner,
            Of::Shown(item) => item.owner_uid,
        }
    }

    /// Share it belongs to.
    pub fn share(&self) -> Option<&'a str> {
        match self.of {
            Of::Row(_, record) => record.share.as_deref(),
            Of::Shown(item) => item.share.as_deref(),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        match self.of {
            Of::Row(row, record) => view::state(record, &row.live()),
            Of::Shown(item) => item.state,
        }
    }

    /// Bytes wanted.
    pub fn size(&self) -> u64 {
        match self.of {
            Of::Row(_, record) => record.wanted_len,
            Of::Shown(item) => item.size,
        }
    }

    /// Bytes verified, or read so far.
    pub fn done(&self) -> u64 {
        match self.of {
            Of::Row(row, record) => view::done(record, &row.live()),
            Of::Shown(item) => item.done,
        }
    }

    /// Block bytes received and sent, over all sessions.
    pub fn moved(&self) -> (u64, u64) {
        match self.of {
            Of::Row(_, record) => (record.downloaded, record.uploaded),
            Of::Shown(item) => (item.downloaded, item.uploaded),
        }
    }

    /// Bytes/s received and sent.
    pub fn rates(&self) -> (u64, u64) {
        match self.of {
            Of::Row(..) => (0, 0),
            Of::Shown(item) => (item.down_rate, item.up_rate),
        }
    }

    /// Connected peers.
    pub fn peers(&self) -> u32 {
        match self.of {
            Of::Row(..) => 0,
            Of::Shown(item) => item.peers,
        }
    }

    /// When it was added, in seconds since 1970.
    pub fn added(&self) -> u64 {
        match self.of {
            Of::Row(_, record) => record.added,
            Of::Shown(item) => view::seconds_of(&item.added),
        }
    }

    /// All that is shown of it.
    pub fn item(&self) -> Item {
        match self.of {
            Of::Row(row, record) => view::item(self.info_hash, record, &row.live()),
            Of::Shown(item) => item.clone(),
        }
    }
}

impl Registry {
    pub(super) fn survey(&mut self, mut survey: Box<Survey>) {
        self.rows.count();
        let awake = self.rows.tallies().awake.iter();
        let unknown = awake.filter(|item| !survey.known.contains_key(item));
        let unknown: Vec<InfoHash> = unknown.copied().collect();
        if unknown.is_empty() || survey.rounds == ROUNDS {
            let Survey { look, known, .. } = *survey;
            look(&Glances {
                rows: &self.rows,
                known: &known,
            });
            return;
        }
        survey.rounds += 1;
        let mut answers = Vec::with_capacity(unknown.len());
        for item in unknown {
            let (reply, answer) = oneshot::channel();
            self.ask(item, Ask::Item(reply));
            answers.push(answer);
        }
        let ctx = self.ctx.clone();
        tokio::spawn(async move {
            for answer in answers {
                // One that went to sleep is a row again, and one that is gone is gone.
                if let Ok(item) = answer.await {
                    survey.known.insert(item.info_hash, item);
                }
            }
            if let Some(commands) = ctx.commands.upgrade() {
                let _ = commands.send(Command::Survey(survey)).await;
            }
        });
    }
}
