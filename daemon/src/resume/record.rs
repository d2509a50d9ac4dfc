//! What is remembered of one item.

use std::net::SocketAddr;

use p2p_wire::control::Limits;
use p2p_wire::{Bitfield, Layout};

use super::codec::{Damaged, Reader, Writer};
use super::{Have, Site};
use crate::engine::FileStamp;

const VERSION: u8 = 1;

/// Bytes of SHA-1 at the end of a record.
const CHECK_LEN: usize = 8;

/// One item, as the state database keeps it. While an item is dormant this is all there is of it in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Name to show.
    pub name: String,
    /// Lengths; `None` while the metadata is not known.
    pub layout: Option<Layout>,
    /// The metainfo has the one-file form.
    pub single_file: bool,
    /// BEP 27.
    pub private: bool,
    /// Where the data is.
    pub site: Site,
    /// Where it is being moved to. If a kill comes between, it is at the one or the other.
    pub moving: Option<Site>,
    /// User id of whom it belongs to.
    pub owner: u32,
    /// Share it belongs to.
    pub share: Option<String>,
    /// Announce URLs in tiers. Secrets.
    pub trackers: Vec<Vec<String>>,
    /// Globs of the wanted files; all when empty.
    pub only: Vec<String>,
    /// Bytes in wanted pieces; what `size` shows.
    pub wanted_len: u64,
    /// The only addresses to talk to; everybody when empty.
    pub only_peers: Vec<SocketAddr>,
    /// Addresses the user named, dialled again after a restart.
    pub peers: Vec<SocketAddr>,
    /// Pieces in order.
    pub sequential: bool,
    /// Stopped by the user.
    pub paused: bool,
    /// Rate limits of this item.
    pub limits: Limits,
    /// Connected peers at most.
    pub max_peers: Option<u32>,
    /// Pieces known to be good and synced, or claimed to be so while `check` says to read them.
    pub have: Have,
    /// Of those, the ones in files that changed since: each is read before it is served.
    pub suspect: Have,
    /// What must be read before `have` is believed.
    pub check: Check,
    /// `stamps` describe the files exactly: nothing was written since they were taken.
    pub clean: bool,
    /// Each file when it was last looked at, in the order of the metainfo; `None` for a file that is not there.
    pub stamps: Vec<Option<FileStamp>>,
    /// Block bytes sent, over all sessions.
    pub uploaded: u64,
    /// Block bytes received, over all sessions.
    pub downloaded: u64,
    /// Of those, thrown away.
    pub wasted: u64,
    /// Seconds since 1970.
    pub added: u64,
    /// Seconds since 1970.
    pub completed: Option<u64>,
}

/// What must be read before the item takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    No,
    /// Every piece; what is not good is fetched.
    All,
}

impl Record {
    /// Every wanted piece is there.
    pub fn is_complete(&self) -> bool {
        self.completed.is_some() && self.check == Check::No
    }

    /// The pieces that are good, of `pieces`: none as long as they are to be read first.
    pub fn held(&self, pieces: u32) -> Bitfield {
        match self.check {
            Check::No => self.have.to_bitfield(pieces),
            Check::All => Bitfield::new(pieces),
        }
    }

    /// The bytes to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.0.push(VERSION);
        w.bytes(self.name.as_bytes());
        w.option(self.layout, |w, layout| {
            w.uint(layout.total_len());
            w.uint(layout.piece_len().into());
        });
        let flags = [
            self.single_file,
            self.private,
            self.sequential,
            self.paused,
            self.clean,
            self.check == Check::All,
        ];
        w.0.push(
            flags
                .iter()
                .enumerate()
                .map(|(bit, set)| u8::from(*set) << bit)
                .sum(),
        );
        self.site.put(&mut w);
        w.option(self.moving.as_ref(), |w, site| site.put(w));
        w.uint(self.owner.into());
        w.option(self.share.as_deref(), |w, share| w.bytes(share.as_bytes()));
        w.list(self.trackers.iter(), |w, tier| {
            w.list(tier.iter(), |w, url| w.bytes(url.as_bytes()));
        });
        w.list(self.only.iter(), |w, glob| w.bytes(glob.as_bytes()));
        w.uint(self.wanted_len);
        for addrs in [&self.only_peers, &self.peers] {
            w.list(addrs.iter(), |w, addr| w.bytes(addr.to_string().as_bytes()));
        }
        w.option(self.limits.down, Writer::uint);
        w.option(self.limits.up, Writer::uint);
        w.option(self.max_peers, |w, max| w.uint(max.into()));
        self.have.put(&mut w);
        self.suspect.put(&mut w);
        w.list(self.stamps.iter(), |w, stamp| {
            w.option(stamp.as_ref(), put_stamp);
        });
        for number in [self.uploaded, self.downloaded, self.wasted, self.added] {
            w.uint(number);
        }
        w.option(self.completed, Writer::uint);
        let check = check_of(&w.0);
        w.0.extend_from_slice(&check);
        w.0
    }

    /// Reads what [`Record::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let (body, check) = bytes
            .len()
            .checked_sub(CHECK_LEN)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(Damaged("cut short"))?;
        if check_of(body) != *check {
            return Err(Damaged("its checksum is wrong"));
        }
        let mut r = Reader(body);
        if r.byte()? != VERSION {
            return Err(Damaged("of another version"));
        }
        let name = r.text()?;
        let layout = r.option(|r| {
            let (total, piece) = (r.uint()?, r.small()?);
            Layout::new(total, piece).ok_or(Damaged("lengths that cannot be"))
        })?;
        let flags = r.byte()?;
        let flag = |bit: u8| flags & (1 << bit) != 0;
        let record = Self {
            name,
            layout,
            single_file: flag(0),
            private: flag(1),
            sequential: flag(2),
            paused: flag(3),
            clean: flag(4),
            check: match flag(5) {
                true => Check::All,
                false => Check::No,
            },
            site: Site::take(&mut r)?,
            moving: r.option(Site::take)?,
            owner: r.small()?,
            share: r.option(Reader::text)?,
            trackers: r.list(|r| r.list(Reader::text))?,
            only: r.list(Reader::text)?,
            wanted_len: r.uint()?,
            only_peers: r.list(take_addr)?,
            peers: r.list(take_addr)?,
            limits: Limits {
                down: r.option(Reader::uint)?,
                up: r.option(Reader::uint)?,
            },
            max_peers: r.option(Reader::small)?,
            have: Have::take(&mut r)?,
            suspect: Have::take(&mut r)?,
            stamps: r.list(|r| r.option(take_stamp))?,
            uploaded: r.uint()?,
            downloaded: r.uint()?,
            wasted: r.uint()?,
            added: r.uint()?,
            completed: r.option(Reader::uint)?,
        };
        if !r.0.is_empty() {
            return Err(Damaged("too long"));
        }
        Ok(record)
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK_LEN] {
    let mut digest = [[0; 20]];
    p2p_hash::sha1_many(&[body], &mut digest);
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&digest[0][..CHECK_LEN]);
    check
}

fn put_stamp(w: &mut Writer, stamp: &FileStamp) {
    w.uint(stamp.file_system);
    w.uint(stamp.inode);
    w.uint(stamp.size);
    w.wide(stamp.mtime_ns);
    w.wide(stamp.ctime_ns);
}

fn take_stamp(r: &mut Reader<'_>) -> Result<FileStamp, Damaged> {
    Ok(FileStamp {
        file_system: r.uint()?,
        inode: r.uint()?,
        size: r.uint()?,
        mtime_ns: r.wide()?,
        ctime_ns: r.wide()?,
    })
}

fn take_addr(r: &mut Reader<'_>) -> Result<SocketAddr, Damaged> {
    r.text()?.parse().map_err(|_| Damaged("not an address"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> Record {
        let mut have = Bitfield::new(20);
        have.set(3);
        Record {
            name: "big.iso".into(),
            layout: Layout::new(300_000, 16_384),
            single_file: true,
            private: true,
            site: Site::Staged("/srv/p2p".into()),
            moving: None,
            owner: 1_000,
            share: None,
            trackers: vec![vec!["http://t/announce".into()], vec![]],
            only: vec!["*.bin".into()],
            wanted_len: 300_000,
            only_peers: vec![],
            peers: vec!["[::1]:6881".parse().unwrap()],
            sequential: false,
            paused: true,
            limits: Limits {
                down: None,
                up: Some(u64::MAX),
            },
            max_peers: Some(3),
            have: Have::Some(have.clone()),
            suspect: Have::Some(have),
            check: Check::No,
            clean: true,
            stamps: vec![
                None,
                Some(FileStamp {
                    file_system: u64::MAX,
                    inode: 1,
                    size: 2,
                    mtime_ns: -3,
                    ctime_ns: i128::MAX,
                }),
            ],
            uploaded: 1,
            downloaded: 2,
            wasted: 3,
            added: 4,
            completed: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut record = sample();
        assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record.clone()));
        record.site = Site::Fetched {
            path: "/a".into(),
            aside: "/b".into(),
        };
        record.moving = Some(Site::Foreign("/c".into()));
        record.have = Have::All;
        record.check = Check::All;
        record.layout = None;
        record.completed = Some(77);
        assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record.clone()));
    }

    #[test]
    fn a_record_with_any_byte_changed_is_refused() {
        let bytes = sample().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Record::from_bytes(&damaged).is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..len]).is_err());
        }
    }

    proptest! {
        #[test]
        fn bytes_with_a_right_checksum_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION];
            bytes.extend(body);
            let check = check_of(&bytes);
            bytes.extend(check);
            let _ = Record::from_bytes(&bytes);
        }
    }
}
