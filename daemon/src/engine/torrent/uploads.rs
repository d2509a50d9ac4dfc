//! Blocks on their way to peers: what each peer waits for, what is being read, what was read and may be asked for again.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use p2p_wire::{Block, Layout, MAX_BLOCK_LEN};

use crate::net::Link;
use crate::storage::{Data, Inbox, MAX_READING, ReadJob, Tree};
use crate::swarm::PeerKey;

/// Read at once at most. Pieces up to this length are read whole. As small as that: what was just read is sent while the
/// cache of the core still holds it.
const RUN: u32 = 256 * 1024;

/// Bytes kept of what was read, for others who ask for the same. Few, so that buffers are used again while they are in the cache.
const KEPT: usize = 4 * 1024 * 1024;

/// Bytes of blocks that wait in a peer's link at most: what can no longer be cancelled cheaply.
const AHEAD: usize = 1024 * 1024;

/// Bytes that are read ahead for one peer: three whole runs, or as many short pieces as fit.
const READ_AHEAD: usize = 3 * RUN as usize;

/// What a run counts for at least: a peer that asks for bytes one by one must not have us keep, and read ahead, any number of them.
const LEAST: usize = 16 * 1024;

/// Buffers kept to be used again.
const SPARE: usize = 6;

/// A run of bytes of the content: offset and length.
type Run = (u64, u32);

/// The uploads of one torrent.
pub(super) struct Uploads {
    layout: Layout,
    waiting: HashMap<PeerKey, VecDeque<Block>>,
    reading: HashSet<Run>,
    reading_bytes: u64,
    /// With when each was last used, and the same in the order of that.
    kept: HashMap<Run, (Data, u64)>,
    used: BTreeMap<u64, Run>,
    kept_bytes: usize,
    clock: u64,
    spare: Vec<BytesMut>,
    /// Nothing is read while files move.
    pub(super) held_back: bool,
}

impl Uploads {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            waiting: HashMap::new(),
            reading: HashSet::new(),
            reading_bytes: 0,
            kept: HashMap::new(),
            used: BTreeMap::new(),
            kept_bytes: 0,
            clock: 0,
            spare: Vec::new(),
            held_back: false,
        }
    }

    /// The peer is to get this block. The swarm bounds how many a peer may have waiting.
    pub(super) fn push(&mut self, key: PeerKey, block: Block) {
        self.waiting.entry(key).or_default().push_back(block);
    }

    /// The peer wants that block no more; false if it has left already.
    pub(super) fn cancel(&mut self, key: PeerKey, block: Block, link: &Link) -> bool {
        if let Some(waiting) = self.waiting.get_mut(&key)
            && let Some(at) = waiting.iter().position(|queued| *queued == block)
        {
            waiting.remove(at);
            self.take_pages(block);
            return true;
        }
        link.cancel(block)
    }

    pub(super) fn forget(&mut self, key: PeerKey) {
        for block in self.waiting.remove(&key).unwrap_or_default() {
            self.take_pages(block);
        }
    }

    /// The pages of a block that were read ahead. Where they are dropped instead of sent, their pipe is free for another block.
    fn take_pages(&mut self, block: Block) -> Option<Data> {
        let run = self.run_of(block);
        match self.kept.get(&run)? {
            (Data::Pages(_), _) => self.drop_kept(run),
            (Data::Bytes(_), _) => None,
        }
    }

    pub(super) fn peers_waiting(&self) -> Vec<PeerKey> {
        let some = self.waiting.iter().filter(|(_, blocks)| !blocks.is_empty());
        some.map(|(key, _)| *key).collect()
    }

    /// Nothing is being read.
    pub(super) fn is_quiet(&self) -> bool {
        self.reading.is_empty()
    }

    /// Moves blocks whose bytes are there into the peer's link, and has the next ones read.
    pub(super) fn feed(&mut self, key: PeerKey, link: &Link, tree: &Arc<Tree>, inbox: &Arc<Inbox>) {
        let Some(mut waiting) = self.waiting.remove(&key) else {
            return;
        };
        let mut ahead = link.block_bytes();
        while ahead < AHEAD
            && let Some(block) = waiting.front()
            && let Some(data) = self.data(*block)
        {
            ahead += data.len();
            link.block(*block, data);
            waiting.pop_front();
        }
        let mut bytes = 0;
        let mut last = None;
        for block in &waiting {
            let run = self.run_of(*block);
            if last == Some(run) {
                continue;
            }
            last = Some(run);
            bytes += weight(run);
            if bytes > READ_AHEAD || self.held_back || self.reading_bytes >= MAX_READING {
                break;
            }
            if !self.kept.contains_key(&run) && self.reading.insert(run) {
                self.reading_bytes += u64::from(run.1);
                tree.disk().read(ReadJob {
                    tree: tree.clone(),
                    offset: run.0,
                    len: run.1,
                    once: is_long(*block),
                    buffer: self.spare.pop(),
                    inbox: inbox.clone(),
                });
            }
        }
        if !waiting.is_empty() {
            self.waiting.insert(key, waiting);
        }
    }

    /// A run was read, or could not be.
    pub(super) fn read(&mut self, offset: u64, len: u32, data: Option<Data>) {
        let run = (offset, len);
        if self.reading.remove(&run) {
            self.reading_bytes -= u64::from(len);
        }
        let Some(data) = data else { return };
        // What is read ahead for one peer must not push out what was read ahead for another.
        let most = KEPT.max(self.waiting.len() * READ_AHEAD);
        self.drop_kept(run);
        while self.kept_bytes + weight(run) > most
            && let Some((_, oldest)) = self.used.first_key_value()
        {
            // A buffer that no socket holds any more is used again. A small one would have to grow.
            if let Some(Data::Bytes(bytes)) = self.drop_kept(*oldest)
                && let Ok(buffer) = bytes.try_into_mut()
                && self.spare.len() < SPARE
                && buffer.capacity() >= LEAST
            {
                self.spare.push(buffer);
            }
        }
        self.kept_bytes += weight(run);
        self.clock += 1;
        self.used.insert(self.clock, run);
        self.kept.insert(run, (data, self.clock));
    }

    fn drop_kept(&mut self, run: Run) -> Option<Data> {
        let (data, used) = self.kept.remove(&run)?;
        self.used.remove(&used);
        self.kept_bytes -= weight(run);
        Some(data)
    }

    /// The length of the run under way that begins at `offset`.
    pub(super) fn reading_len(&self, offset: u64, read: Option<usize>) -> Option<u32> {
        let fits = |run: &&Run| run.0 == offset && read.is_none_or(|len| run.1 as usize == len);
        self.reading.iter().find(fits).map(|run| run.1)
    }

    fn data(&mut self, block: Block) -> Option<Data> {
        // Pages are for one peer; who else wants them has them read again.
        if let Some(pages) = self.take_pages(block) {
            return Some(pages);
        }
        let run = self.run_of(block);
        let from = usize::try_from(self.offset(block).checked_sub(run.0)?).ok()?;
        self.clock += 1;
        let (data, used) = self.kept.get_mut(&run)?;
        self.used.remove(used);
        self.used.insert(self.clock, run);
        *used = self.clock;
        let to = from.checked_add(block.len as usize)?;
        match data {
            Data::Bytes(bytes) if to <= bytes.len() => Some(bytes.slice(from..to).into()),
            _ => None,
        }
    }

    fn offset(&self, block: Block) -> u64 {
        u64::from(block.piece) * u64::from(self.layout.piece_len()) + u64::from(block.begin)
    }

    /// The run that holds a block: its piece, or a part of a long piece. A long block, and one that no part holds whole, is a run of its own.
    fn run_of(&self, block: Block) -> Run {
        let own = (self.offset(block), block.len);
        let Some(piece) = self.layout.check_block(block) else {
            return own;
        };
        let part = block.begin / RUN;
        if is_long(block) || (block.begin + block.len - 1) / RUN != part {
            return own;
        }
        let begin = part * RUN;
        let len = (self.layout.len_of(piece) - begin).min(RUN);
        (self.layout.offset(piece) + u64::from(begin), len)
    }
}

/// Whether it is worth to be sent from the page cache: a pipe costs as much for a short one.
fn is_long(block: Block) -> bool {
    block.len == MAX_BLOCK_LEN
}

/// What a run counts for among those that are kept.
fn weight(run: Run) -> usize {
    (run.1 as usize).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_however_little_is_asked_for() {
        let mut uploads = Uploads::new(Layout::new(1 << 30, 4 * 1024 * 1024).unwrap());
        for number in 0..100_000u32 {
            let block = Block {
                piece: number / 1_000,
                begin: RUN * (1 + number % 15) - 1,
                len: 2 + number % 1_000,
            };
            let (offset, len) = uploads.run_of(block);
            uploads.read(offset, len, Some(vec![0; len as usize].into()));
            assert!(uploads.data(block).is_some());
        }
        assert_eq!(uploads.kept.len(), uploads.used.len());
        assert!(uploads.kept.len() <= KEPT / LEAST, "{}", uploads.kept.len());
        let newest = uploads.used.last_key_value().map(|(_, run)| *run);
        assert!(newest.is_some_and(|run| uploads.kept.contains_key(&run)));
    }

    #[test]
    fn a_long_block_is_a_run_of_its_own_and_pages_go_to_one_peer() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut uploads = Uploads::new(Layout::new(1 << 20, 1 << 20).unwrap());
        let block = Block {
            piece: 0,
            begin: MAX_BLOCK_LEN,
            len: MAX_BLOCK_LEN,
        };
        let (offset, len) = uploads.run_of(block);
        assert_eq!((offset, len), (u64::from(MAX_BLOCK_LEN), MAX_BLOCK_LEN));
        let read = Data::of(&file, offset, len as usize);
        let are_pages = matches!(read, Data::Pages(_));
        uploads.read(offset, len, Some(read));
        let given = uploads.data(block).expect("was read");
        assert_eq!(given.len(), len as usize);
        assert_eq!(uploads.data(block).is_none(), are_pages);
        assert_eq!(uploads.kept_bytes == 0, are_pages);
        // A peer that leaves does not keep a pipe filled.
        uploads.push(PeerKey(1), block);
        uploads.read(offset, len, Some(Data::of(&file, offset, len as usize)));
        uploads.forget(PeerKey(1));
        assert_eq!(uploads.kept_bytes == 0, are_pages);
        // Nor does a block that nobody wants any more.
        uploads.push(PeerKey(2), block);
        uploads.read(offset, len, Some(Data::of(&file, offset, len as usize)));
        assert!(uploads.cancel(PeerKey(2), block, &Link::default()));
        assert_eq!(uploads.kept_bytes == 0, are_pages);
    }

    #[test]
    fn every_block_lies_in_its_run() {
        let layout = Layout::new(10_000_000, 4 * 1024 * 1024).unwrap();
        let uploads = Uploads::new(layout);
        for (piece, begin, len) in [(0, 0, 16_384), (1, RUN - 8, 16), (2, 1_611_000, 392)] {
            let block = Block { piece, begin, len };
            let (offset, run) = uploads.run_of(block);
            let at = uploads.offset(block);
            assert!(offset <= at && at + u64::from(len) <= offset + u64::from(run));
            assert!(offset + u64::from(run) <= layout.total_len());
        }
    }
}
