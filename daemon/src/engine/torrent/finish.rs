//! The end of a fetch: the gate before the release, and what is told of complete files and of the item.

use p2p_wire::Bitfield;
use p2p_wire::metainfo::{File, Info};

use super::super::view;
use super::Torrent;
use super::active::Active;
use super::disk::Work;
use crate::hooks::{Gate, Owed};

/// Files of items with more are not told one by one: each telling is journalled and starts every hook once more, and so many would push
/// all other events out of those that are kept for who reads them late.
const MOST_FILES: usize = 1_000;

/// Which files are told as complete.
pub(super) struct Told(Vec<bool>);

impl Told {
    /// Those that are on the disk already were told before; of unwanted ones nothing is told.
    pub(super) fn new(info: &Info, wanted: &[bool], durable: &Bitfield) -> Self {
        let files = info.files();
        if files.len() > MOST_FILES {
            return Self(vec![true; files.len()]);
        }
        let told = files.iter().enumerate().map(|(index, file)| {
            let is_wanted = wanted.get(index).copied().unwrap_or(true);
            file.padding || !is_wanted || is_whole(info, file, durable)
        });
        Self(told.collect())
    }

    /// The files that have become complete.
    fn news<'a>(&mut self, info: &'a Info, durable: &Bitfield) -> Vec<&'a File> {
        let files = self.0.iter_mut().zip(info.files());
        let news = files.filter(|(told, file)| !**told && is_whole(info, file, durable));
        let news = news.map(|(told, file)| {
            *told = true;
            file
        });
        news.collect()
    }
}

fn is_whole(info: &Info, file: &File, durable: &Bitfield) -> bool {
    let piece_len = u64::from(info.layout().piece_len());
    let mut pieces = file.offset / piece_len..(file.offset + file.len).div_ceil(piece_len);
    pieces.all(|piece| u32::try_from(piece).is_ok_and(|piece| durable.get(piece)))
}

impl Torrent {
    /// Puts a complete item at its place if no gate is there or it was passed; else looks for one, and the item sleeps while it is asked.
    pub(super) fn place_or_hold(&mut self, active: &mut Active) {
        let hooks = self.ctx.hooks.clone().filter(|_| !self.passed);
        let Some(hooks) = hooks else {
            self.place(active);
            return;
        };
        active.keeping.placing = true;
        let look = async move { Work::Gate(hooks.has(Gate::PreRelease).await) };
        active.keeping.work.spawn(look);
    }

    /// Tells of the files whose last piece is on the disk now.
    pub(super) fn tell_files(&self, active: &mut Active) {
        let durable = &active.keeping.durable;
        for file in active.told.news(&active.info, durable) {
            let text = format!("{} is complete", file.path.join("/"));
            self.emit("file.finished", text);
        }
    }

    /// What is written down with the record of a complete item, so that a kill right after it takes nothing from the hooks.
    pub(super) fn finished(&self) -> Owed {
        let path = view::path(&self.record);
        Owed {
            item: self.item,
            topic: "item.finished",
            name: self.record.name.clone(),
            text: format!("{} is complete: {}", self.record.name, path.display()),
        }
    }
}
